"""Whom events are owed to: listing, retiring, and owing past events."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, insert, text, update

from eventworker import migrations
from eventworker.db import short_transaction
from eventworker.event import Event
from eventworker.inbox import backlog, registry
from eventworker.inbox.claims import Outcome, note
from eventworker.inbox.operations import backfill
from eventworker.outbox import queue, record
from eventworker.outbox.past import past_events
from eventworker.outbox.table import SENT, outbox_table
from tests.helpers.commands import Commands
from tests.helpers.databases import count, deliveries, outcomes
from tests.helpers.events import make_event
from tests.helpers.probe_plugins import install_plugins
from tests.servers import wait_until


@pytest.fixture
def engine(engine: Engine) -> Engine:
    """A database with the tables and two registered plugins: ledger is 1, late is 2."""
    with short_transaction(engine) as connection:
        registry.sync(connection, ["ledger", "late"], [])
    return engine


@pytest.fixture
def command(engine: Engine, tmp_path: Path) -> Commands:
    return Commands.of(engine, tmp_path)


def ago(**parts: float) -> datetime:
    return datetime.now(UTC) - timedelta(**parts)


def recorded(engine: Engine, **fields: Any) -> Event:
    """An event in the outbox, ready."""
    event = make_event(**fields)
    with short_transaction(engine) as connection:
        record(connection, event)
    return event


def handled(engine: Engine, **fields: Any) -> Event:
    """An event that was sent, and that ledger is done with."""
    event = recorded(engine, **fields)
    with short_transaction(engine) as connection:
        queue.settle(connection, [event.id])
        note(connection, event.id, [1], Outcome.DONE)
    return event


def owed(engine: Engine, plugin: int) -> set[object]:
    return {row.event_id for row in deliveries(engine) if row.plugin == plugin}


def states(engine: Engine) -> dict[str, str]:
    with engine.connect() as connection:
        return {each.name: each.state for each in registry.read(connection)}


def test_the_list_joins_the_registry_with_what_is_installed_here(
    engine: Engine, command: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_plugins(tmp_path, monkeypatch, "ledger", "fresh", "idle", broken="late")
    command.path.write_text(command.path.read_text() + "[plugins]\ndisabled = idle\n")
    with short_transaction(engine) as connection:
        registry.sync(connection, ["gone"], [])

    rows = {row["name"]: row for row in command("plugins", "list", "-O", "json").json}

    assert (rows["ledger"]["state"], rows["ledger"]["here"]) == ("on", "loaded")
    assert (rows["ledger"]["distribution"], rows["ledger"]["lane"]) == ("probes", "main")
    assert rows["late"]["state"] == "on"
    assert rows["late"]["here"].startswith("broken: ModuleNotFoundError")
    assert (rows["gone"]["state"], rows["gone"]["here"]) == ("on", "not installed")
    assert (rows["fresh"]["state"], rows["fresh"]["since"]) == ("new", None)
    assert rows["idle"]["here"] == "off: disabled by [plugins] disabled"


def test_the_list_shows_what_filters_let_through(
    engine: Engine, command: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_plugins(tmp_path, monkeypatch, "ledger", declares=PICKY)
    install_plugins(tmp_path / "b", monkeypatch, "late", distribution="others")
    command.path.write_text(
        command.path.read_text()
        + "[plugin:ledger]\nresources = story/comment, task\ncondition = status<300\n"
    )

    rows = {row["name"]: row for row in command("plugins", "list", "-O", "json").json}

    shown = {name: rows["ledger"][name] for name in ("resources", "methods", "conditions")}
    assert shown == {
        "resources": ["story/comment"],
        "methods": ["POST"],
        "conditions": ["status < 300", "its wants()"],
    }
    assert rows["ledger"]["wants"] == "story/comment; POST; status < 300; its wants()"
    assert (rows["late"]["resources"], rows["late"]["wants"]) == (None, "all")


PICKY = """
resources, methods = {'story', 'user'}, ['post']

def wants(self, event):
    if event.resource_id == 13:
        raise ValueError
    return event.resource_id != 7
"""


def test_a_backfill_owes_what_the_filters_admit(
    engine: Engine, command: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_plugins(tmp_path, monkeypatch, "late", declares=PICKY)
    command.path.write_text(
        command.path.read_text() + "[plugin:late]\ncondition = resource_id != 9\n"
    )
    wanted = {handled(engine, resource_id=8).id, recorded(engine, resource_id=13).id}
    for unwanted in ({"resource": "task"}, {"method": "PUT"}, {"resource_id": 9}, {}):
        handled(engine, **unwanted)

    rehearsed = command("plugins", "backfill", "late", "--since", "1d", "--dry-run", "-O", "json")
    assert rehearsed.json["owed"] == 2
    assert owed(engine, 2) == set()
    assert command("plugins", "backfill", "late", "--since", "1d").out.startswith("2 past events")
    assert owed(engine, 2) == wanted


def test_a_backfill_of_a_plugin_that_is_not_here_is_narrowed_by_the_file(
    engine: Engine, command: Commands
) -> None:
    command.path.write_text(command.path.read_text() + "[plugin:late]\nresources = task\n")
    handled(engine)
    wanted = handled(engine, resource="task")
    command("plugins", "backfill", "late", "--since", "1d")
    assert owed(engine, 2) == {wanted.id}


def test_a_backfill_of_a_plugin_that_is_broken_here_leaves_nothing_out(
    engine: Engine, command: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its group may have options of its own of our names, as a consumer knows, too."""
    own = 'options = [cfg.ListOpt("methods", help="Ways to paint.")]'
    install_plugins(tmp_path, monkeypatch, "late", declares=own)
    command.path.write_text(command.path.read_text() + "[plugin:late]\nmethods = oil\n")
    event = handled(engine)
    assert command("plugins", "backfill", "late", "--since", "1d").code == 0
    assert owed(engine, 2) == {event.id}


def test_a_list_says_nothing_on_standard_error_about_what_it_lists(
    engine: Engine, command: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_plugins(tmp_path, monkeypatch, broken="late")
    result = command("plugins", "list")
    assert (result.code, result.err) == (0, "")


def test_a_retired_plugin_is_owed_nothing_more(engine: Engine, command: Commands) -> None:
    event = make_event()
    with short_transaction(engine) as connection:
        backlog.park(connection, event, [2])

    result = command("plugins", "retire", "LATE")

    assert result.code == 0
    assert "1 delivery of it stay" in result.out
    assert "eventworker deliveries discard --plugin LATE" in result.out
    assert states(engine) == {"ledger": "on", "late": "retired"}
    assert "plugin=LATE" in result.err


def test_an_unknown_plugin_can_be_neither_retired_nor_backfilled(
    engine: Engine, command: Commands
) -> None:
    for words in (["retire", "nope"], ["backfill", "nope", "--since", "1d"]):
        result = command("plugins", *words)
        assert (result.code, result.out) == (1, "")
        assert "no plugin nope is registered" in result.err


def test_past_events_are_owed_once_to_the_plugin_that_came_later(
    engine: Engine, command: Commands
) -> None:
    past = {handled(engine).id, handled(engine).id, recorded(engine).id}

    first = command("plugins", "backfill", "late", "--since", "1d")
    second = command("plugins", "backfill", "late", "--since", "1d")

    assert first.out == "3 past events owed to late\n"
    assert second.out == "0 past events owed to late\n"
    assert owed(engine, 2) == past
    assert owed(engine, 1) == set()
    assert {outcomes(engine)[event_id, 2] for event_id in past} == {Outcome.PENDING}


def test_the_bodies_are_there_when_the_rows_are_called(engine: Engine, command: Commands) -> None:
    event = handled(engine, resource_after={"title": "x"}, source="tracker")

    command("plugins", "backfill", "late", "--since", "1d")

    with short_transaction(engine) as connection:
        (due,) = backlog.claim(connection, [2], 10, 60.0, "host/1")
    assert due.event == event


def test_what_the_plugin_has_an_outcome_for_is_left_out(engine: Engine, command: Commands) -> None:
    done, skipped, new = (handled(engine) for _ in range(3))
    with short_transaction(engine) as connection:
        note(connection, done.id, [2], Outcome.DONE)
        note(connection, skipped.id, [2], Outcome.SKIPPED)

    command("plugins", "backfill", "late", "--since", "1d")

    assert owed(engine, 2) == {new.id}
    assert outcomes(engine)[skipped.id, 2] is Outcome.SKIPPED


def test_events_of_other_plugins_backlogs_are_past_events_too(
    engine: Engine, command: Commands
) -> None:
    event = make_event()
    with short_transaction(engine) as connection:
        backlog.fail_first(connection, event, 1, backlog.Failure("broken"))

    result = command("plugins", "backfill", "late", "--since", "1d", "-O", "json")

    assert result.json == {"plugin": "late", "owed": 1, "dry_run": False}
    assert owed(engine, 2) == {event.id}


def test_events_before_the_given_time_are_left_out(engine: Engine, command: Commands) -> None:
    handled(engine, time=ago(hours=3))
    young = handled(engine, time=ago(hours=1))

    command("plugins", "backfill", "late", "--since", ago(hours=2).isoformat())
    assert owed(engine, 2) == {young.id}

    command("plugins", "backfill", "late", "--since", "4h")
    assert len(owed(engine, 2)) == 2


def test_a_dry_run_counts_each_event_once_and_owes_nothing(
    engine: Engine, command: Commands
) -> None:
    both = handled(engine)
    handled(engine)
    with short_transaction(engine) as connection:
        backlog.store(connection, both)

    result = command("plugins", "backfill", "late", "--since", "1d", "--dry-run")

    assert result.out == "2 past events would be owed to late\n"
    assert owed(engine, 2) == set()


def test_events_that_could_never_be_published_and_bytes_that_are_none_are_left_out(
    engine: Engine, command: Commands
) -> None:
    buried, garbage, good = recorded(engine), handled(engine), handled(engine)
    with short_transaction(engine) as connection:
        queue.bury(connection, buried.id, "unroutable")
        connection.execute(
            update(outbox_table).where(outbox_table.c.id == garbage.id).values(body=b"{")
        )

    command("plugins", "backfill", "late", "--since", "1d")

    assert owed(engine, 2) == {good.id}


def test_more_events_than_one_bite_are_all_owed(
    engine: Engine, command: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backfill, "_BITE", 3)
    with short_transaction(engine) as connection:
        connection.execute(
            insert(outbox_table),
            [
                {
                    "id": event.id,
                    "time": event.time,
                    "source": "",
                    "resource": "story",
                    "body": b"{" if number in (3, 4, 5) else event.encode(),
                    "state": SENT,
                }
                for number, event in enumerate(make_event() for _ in range(10))
            ],
        )

    assert command("plugins", "backfill", "late", "--since", "1d").out.startswith("7 past events")


def test_what_the_inbox_does_not_remember_is_not_owed_a_second_time(
    engine: Engine, command: Commands
) -> None:
    for since in ("15d", ago(days=15).isoformat()):
        result = command("plugins", "backfill", "late", "--since", since)
        assert (result.code, result.out) == (1, "")
        assert "[retention] inbox_days = 14" in result.err
    assert command("plugins", "backfill", "late", "--since", "13d").code == 0


@pytest.mark.parametrize("word", ["off", "retired"])
def test_nothing_is_owed_to_a_plugin_that_is_not_on(
    engine: Engine, command: Commands, word: str
) -> None:
    handled(engine)
    with short_transaction(engine) as connection:
        if word == "off":
            registry.sync(connection, [], ["late"])
        else:
            registry.retire(connection, "late")

    result = command("plugins", "backfill", "late", "--since", "1d")

    assert result.code == 1
    assert f"plugin late is {word}" in result.err


def waiters(engine: Engine) -> int | None:
    with engine.connect() as connection:
        return connection.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted"))


def test_a_conflict_with_a_consumer_is_tried_again(
    postgres_url: str, new_engine: Callable[[str], Engine]
) -> None:
    """The database resolves a deadlock by failing one of the two; here, twice, the backfill."""
    engine = new_engine(postgres_url)
    migrations.upgrade(engine)
    with short_transaction(engine) as connection:
        registry.sync(connection, ["late"], [])
    event = recorded(engine)
    deadlock = "RAISE EXCEPTION 'deadlock detected' USING ERRCODE = '40P01'"
    with engine.begin() as connection:
        for statement in (
            "CREATE SEQUENCE conflicts",
            "CREATE FUNCTION conflict() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            f"IF nextval('conflicts') < 3 THEN {deadlock}; END IF; RETURN NEW; END $$",
            "CREATE TRIGGER conflict BEFORE INSERT ON eventworker_inbox "
            "FOR EACH ROW EXECUTE FUNCTION conflict()",
        ):
            connection.exec_driver_sql(statement)
    request = backfill.Backfill("late", timedelta(days=1), timedelta(days=14), past_events())
    assert backfill.run(engine, request) == 1
    assert owed(engine, 1) == {event.id}


def test_an_event_that_is_handled_meanwhile_is_not_owed(
    postgres_url: str, new_engine: Callable[[str], Engine]
) -> None:
    engine, consumer = new_engine(postgres_url), new_engine(postgres_url)
    migrations.upgrade(engine)
    with short_transaction(engine) as connection:
        registry.sync(connection, ["ledger", "late"], [])
    contested, other = recorded(engine), recorded(engine)
    results: list[int] = []
    request = backfill.Backfill("late", timedelta(days=1), timedelta(days=14), past_events())

    # Given a consumer in the middle of handling one of the events
    with consumer.connect() as handling:
        note(handling, contested.id, [2], Outcome.DONE)
        thread = threading.Thread(target=lambda: results.append(backfill.run(engine, request)))
        thread.start()
        wait_until(lambda: waiters(engine) == 1, 60, "the backfill does not meet the consumer")
        handling.commit()
    thread.join(timeout=60)

    # Then only the other one is owed
    assert results == [1]
    assert owed(engine, 2) == {other.id}
    assert outcomes(engine)[contested.id, 2] is Outcome.DONE
    assert count(engine, outbox_table) == 2
