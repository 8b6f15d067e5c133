"""Which plugins an event is owed to, as the database remembers it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from sqlalchemy import Engine

from eventworker.db import short_transaction
from eventworker.errors import DatabaseUnavailable
from eventworker.inbox import anonymous, quarantine, registry
from eventworker.inbox.quarantine import quarantine_table
from tests.helpers.databases import rows
from tests.servers import wait_until


def sync(engine: Engine, on: list[str], off: list[str] | None = None) -> None:
    with short_transaction(engine) as connection:
        registry.sync(connection, on, off or [])


def known(engine: Engine) -> dict[str, tuple[int, str]]:
    with short_transaction(engine) as connection:
        return {each.name: (each.number, each.state) for each in registry.read(connection)}


def test_a_plugin_gets_the_next_number_and_keeps_it(engine: Engine) -> None:
    sync(engine, ["b", "a"])
    sync(engine, ["c", "a", "b"])
    assert known(engine) == {"b": (1, "on"), "a": (2, "on"), "c": (3, "on")}


def test_a_name_in_neither_list_keeps_its_state(engine: Engine) -> None:
    sync(engine, ["a", "b"])
    sync(engine, ["a"], ["b"])
    sync(engine, [])
    assert known(engine) == {"a": (1, "on"), "b": (2, "off")}


def test_a_plugin_that_is_off_is_on_again_when_it_is_found(engine: Engine) -> None:
    sync(engine, ["a"])
    sync(engine, [], ["a"])
    sync(engine, ["a"])
    assert known(engine) == {"a": (1, "on")}


def test_what_is_off_and_was_never_on_is_not_remembered(engine: Engine) -> None:
    sync(engine, [], ["a"])
    assert known(engine) == {}


def test_names_are_one_without_regard_to_case(engine: Engine) -> None:
    sync(engine, ["Audit"])
    sync(engine, ["AUDIT"])
    sync(engine, [], ["audit"])
    assert known(engine) == {"Audit": (1, "off")}
    with short_transaction(engine) as connection:
        assert registry.numbers(connection, ["aUDIT", "unknown"]) == {"aUDIT": 1}


def test_a_retired_plugin_is_owed_nothing_until_it_is_installed_again(engine: Engine) -> None:
    sync(engine, ["a"])
    with short_transaction(engine) as connection:
        assert registry.retire(connection, "A")
        assert not registry.retire(connection, "unknown")
    sync(engine, [], ["a"])
    assert known(engine) == {"a": (1, "retired")}
    sync(engine, ["a"])
    assert known(engine) == {"a": (1, "on")}


def answered(work: Callable[[], None]) -> bool:
    try:
        work()
    except DatabaseUnavailable:
        return False
    return True


def test_daemons_that_start_at_once_give_each_plugin_one_number(engine: Engine) -> None:
    names = [f"plugin{number}" for number in range(5)]
    start = Barrier(4)

    def start_up(turn: int) -> None:
        start.wait()
        # A deadlock, which MariaDB may find here, is waited for like a database that is away.
        wait_until(lambda: answered(lambda: sync(engine, names[turn:] + names[:turn])))

    with ThreadPoolExecutor(4) as pool:
        for started in [pool.submit(start_up, turn) for turn in range(4)]:
            started.result()
    assert sorted(known(engine)) == names
    assert sorted(number for number, _ in known(engine).values()) == [1, 2, 3, 4, 5]


def put(engine: Engine, body: bytes, reason: str = "no", **properties: object) -> None:
    with short_transaction(engine) as connection:
        quarantine.put(connection, body, reason, properties)


def test_the_quarantine_keeps_any_bytes_as_they_came(engine: Engine) -> None:
    bodies = [b"", b"\x00", b"\xff\xfe\x00", bytes(range(256)) * 5000, b"\\ud800"]
    for body in bodies:
        put(engine, body, "NUL \x00 in the reason", key="NUL \x00", odd=b"\xff", long="x" * 99999)
    kept = rows(engine, quarantine_table)
    assert [row.body for row in kept] == bodies
    assert all("in the reason" in row.reason for row in kept)


def test_bytes_that_are_delivered_again_are_kept_once(engine: Engine) -> None:
    put(engine, b"x", routing_key="story")
    put(engine, b"x", routing_key="story")
    put(engine, b"x", routing_key="task")
    put(engine, b"y", routing_key="story")
    assert [row.body for row in rows(engine, quarantine_table)] == [b"x", b"x", b"y"]


def identify(engine: Engine) -> Callable[[bytes, bool], object]:
    def ask(body: bytes, redelivered: bool) -> object:
        with short_transaction(engine) as connection:
            return anonymous.identify(connection, body, redelivered)

    return ask


def test_equal_bodies_without_ids_are_different_events_until_one_is_redelivered(
    engine: Engine,
) -> None:
    ask = identify(engine)
    first, second = ask(b"x", False), ask(b"x", False)
    assert first != second
    assert ask(b"x", True) == second
    assert ask(b"x", True) == second


def test_a_redelivery_of_what_was_never_seen_gets_an_id_that_it_keeps(engine: Engine) -> None:
    ask = identify(engine)
    ask(b"y", False)
    given = ask(b"x", True)
    assert ask(b"x", True) == given


def test_the_id_of_what_is_acked_is_not_given_to_a_later_event(engine: Engine) -> None:
    ask = identify(engine)
    done = ask(b"x", False)
    with short_transaction(engine) as connection:
        anonymous.forget(connection, b"x", done)  # type: ignore[arg-type]
    # A later, equal event, prefetched and given back before anybody had looked at it.
    assert ask(b"x", True) != done
