"""Looking at effects that are not done, having them performed, discarding them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, literal, select, update

from eventworker import effects
from eventworker.db import clock, short_transaction
from eventworker.effects import Effect, queue
from eventworker.effects.table import effect_table
from eventworker.event import Event
from tests.helpers.commands import Commands
from tests.helpers.databases import restart_numbers
from tests.helpers.effects import Mailer, add, waiting
from tests.helpers.events import make_event
from tests.helpers.plugins import Workshop, loaded, time_limits


@pytest.fixture(autouse=True)
def _limits() -> Iterator[None]:
    with time_limits():
        yield


@pytest.fixture
def engine(engine: Engine) -> Engine:
    restart_numbers(engine, effect_table)
    return engine


@pytest.fixture
def command(engine: Engine, tmp_path: Path) -> Commands:
    return Commands.of(engine, tmp_path)


class Refused(Exception):
    pass


def refuse(_: Effect) -> None:
    raise Refused("no such address")


@pytest.fixture
def event(engine: Engine) -> Event:
    """One event whose effects are dead (1), retrying (2) and pending (3), and of another plugin
    pending (4)."""
    event = make_event()
    mailer, hooks = (
        Mailer(add("dead", "retry", "pending"), refuse),
        Mailer(add("hook"), name="Hooks"),
    )
    limits = {"effect_max_attempts": 1}
    shop = Workshop(engine, loaded(mailer, **limits), loaded(hooks))
    shop.dispatch(event)
    with short_transaction(engine) as connection:
        later = update(effect_table).where(effect_table.c.n != 1).values(due_at=clock(3600.0))
        connection.execute(later)
        hook = effect_table.c.plugin == 2
        connection.execute(update(effect_table).where(hook).values(due_at=clock(7200.0)))
    shop.performer.run_due()
    with short_transaction(engine) as connection:
        second = effect_table.c.payload == '"retry"'
        retrying = {"state": "retry", "attempts": 3, "error": "not now"}
        connection.execute(update(effect_table).where(second).values(retrying))
    return event


def states(engine: Engine) -> list[tuple[int, str, int]]:
    return [(row.id, row.state, row.attempts) for row in waiting(engine)]


def test_the_list_is_newest_first_and_tells_the_keys(command: Commands, event: Event) -> None:
    rows = command("effects", "list", "-O", "json").json
    assert [(row["id"], row["state"], row["plugin"]) for row in rows] == [
        (4, "pending", "Hooks"),
        (3, "pending", "mailer"),
        (2, "retry", "mailer"),
        (1, "dead", "mailer"),
    ]
    assert rows[0]["key"] == f"{event.id}/hooks/1"
    assert [row["n"] for row in rows[1:]] == [3, 2, 1]
    assert rows[3]["error"] == "Refused: no such address"


def test_the_list_is_a_table_for_people(command: Commands, event: Event) -> None:
    done = command("effects", "list", "--state", "dead")
    header, row = done.out.splitlines()
    assert header.split() == ["ID", "STATE", "KEY", "ATTEMPTS", "DUE", "AT", "ERROR"]
    assert f"{event.id}/mailer/1" in row


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        (["--state", "pending"], [4, 3]),
        (["--state", "all"], [4, 3, 2, 1]),
        (["--plugin", "MAILER"], [3, 2, 1]),
        (["--plugin", "hooks", "--state", "dead"], []),
        (["--since", "1h"], [4, 3, 2, 1]),
        (["--limit", "2"], [4, 3]),
    ],
)
def test_filters_choose(
    command: Commands, event: Event, filters: list[str], ids: list[int]
) -> None:
    rows = command("effects", "list", *filters, "-O", "json").json
    assert [row["id"] for row in rows] == ids


def test_an_event_and_an_age_choose_too(command: Commands, engine: Engine, event: Event) -> None:
    other = make_event()
    Workshop(engine, loaded(Mailer(add("other")))).dispatch(other)
    with short_transaction(engine) as connection:
        mine = effect_table.c.event_id == event.id
        connection.execute(update(effect_table).where(mine).values(created_at=clock(-7200.0)))
    for chosen in (["--event", str(other.id)], ["--since", "1h"]):
        (row,) = command("effects", "list", *chosen, "-O", "json").json
        assert row["event_id"] == str(other.id)
    assert command("effects", "list", "--event", "no").code == 2


def test_show_tells_payload_error_and_traceback(command: Commands, event: Event) -> None:
    shown = command("effects", "show", "1", "-O", "json").json
    assert (shown["payload"], shown["state"], shown["attempts"]) == ("dead", "dead", 1)
    assert shown["key"] == f"{event.id}/mailer/1"
    assert "Refused" in shown["traceback"]
    text = command("effects", "show", "1").out
    assert "Traceback" in text
    missing = command("effects", "show", "99")
    assert (missing.code, missing.err) == (1, "eventworker: there is no effect 99\n")


def test_show_has_what_an_effect_shares(command: Commands, engine: Engine) -> None:
    def body(session: Any, _: Any) -> None:
        effects.add_each(session, select(literal(7).label("to")), shared={"text": "hello"})

    Workshop(engine, loaded(Mailer(body))).dispatch(make_event())
    shown = command("effects", "show", "1", "-O", "json").json
    assert shown["payload"] == {"text": "hello", "to": 7}
    assert "shared" not in shown


def test_retry_makes_them_due_with_all_attempts(
    command: Commands, engine: Engine, event: Event
) -> None:
    rehearsed = command("effects", "retry", "--plugin", "mailer", "--dry-run")
    assert rehearsed.out == "3 effects would be due now\n"
    assert states(engine)[0] == (1, "dead", 1)
    assert command("effects", "retry", "--plugin", "mailer").out == "3 effects are due now\n"
    assert states(engine) == [(1, "retry", 0), (2, "retry", 0), (3, "retry", 0), (4, "pending", 0)]
    with short_transaction(engine) as connection:
        assert [due.id for due in queue.claim(connection, 1, 10, 60.0, "me")] == [1, 2, 3]
        assert queue.claim(connection, 2, 10, 60.0, "me") == []


def test_ids_choose_and_what_cannot_be_done_is_refused_with_the_reason(
    command: Commands, engine: Engine, event: Event
) -> None:
    command("effects", "retry", "3")
    with short_transaction(engine) as connection:
        assert len(queue.claim(connection, 1, 10, 60.0, "host/1")) == 1
    done = command("effects", "retry", "1", "3", "99")
    assert done.code == 1
    assert done.out == "1 effect is due now\n"
    assert "eventworker: 3: its plugin is being called right now\n" in done.err
    assert "eventworker: 99: there is no such effect (any more)\n" in done.err
    discarded = command("effects", "discard", "3", "-O", "json")
    assert discarded.code == 1
    assert discarded.json["changed"] == 0
    assert len(states(engine)) == 4


def test_discard_deletes_and_says_so_in_the_log(
    command: Commands, engine: Engine, event: Event
) -> None:
    rehearsed = command("effects", "discard", "--state", "dead", "--dry-run", "-O", "json").json
    assert rehearsed == {"changed": 1, "refused": {}, "dry_run": True}
    done = command("effects", "discard", "--state", "dead", "--reason", "test data")
    assert done.out == "1 effect is discarded\n"
    assert [row[0] for row in states(engine)] == [2, 3, 4]
    assert "effects discarded: 1" in done.err
    assert "test data" in done.err
    assert command("effects", "discard", "2", "4").out == "2 effects are discarded\n"
    assert [row[0] for row in states(engine)] == [3]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["retry"], "name effects by id, or choose them by --state, --plugin, --event or --since"),
        (["discard", "1", "--state", "dead"], "either by id or by filters"),
        (["retry", "q1"], "no id such as 17"),
    ],
)
def test_a_choice_that_is_none_is_a_usage_error(
    command: Commands, event: Event, arguments: list[str], said: str
) -> None:
    done = command("effects", *arguments)
    assert done.code == 2
    assert said in done.err


def test_an_unknown_plugin_is_no_empty_list(command: Commands, event: Event) -> None:
    done = command("effects", "list", "--plugin", "nobody")
    assert done.code == 1
    assert "no plugin nobody is registered" in done.err


def test_retiring_and_resuming_tell_how_many_effects_wait(
    command: Commands, engine: Engine, event: Event
) -> None:
    command("plugins", "pause", "mailer")
    assert "2 effects wait" in command("plugins", "resume", "mailer").out
    retired = command("plugins", "retire", "mailer")
    assert "eventworker effects discard --plugin mailer" in retired.out
    assert command("plugins", "retire", "mailer", "-O", "json").json["effects"] == 3
