"""Looking at deliveries that are not done, and replaying or discarding them."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, delete, update

from eventworker.db import clock, short_transaction
from eventworker.event import Event
from eventworker.inbox import backlog, estate, quarantine, registry
from eventworker.inbox.backlog import DEAD, RETRY, Failure, delivery_table, event_table
from eventworker.inbox.claims import Outcome
from eventworker.inbox.operations import replay, selection
from eventworker.inbox.operations.selection import Selection
from eventworker.inbox.quarantine import quarantine_table
from tests.helpers.commands import Commands
from tests.helpers.databases import count, deliveries, outcomes, restart_numbers
from tests.helpers.events import make_event

DAY = timedelta(days=1)


@pytest.fixture
def engine(engine: Engine) -> Engine:
    """A database with the tables and two registered plugins: audit is 1, hooks is 2."""
    restart_numbers(engine, delivery_table, quarantine_table)
    with short_transaction(engine) as connection:
        registry.sync(connection, ["audit", "Hooks"], [])
    return engine


@pytest.fixture
def command(engine: Engine, tmp_path: Path) -> Commands:
    return Commands.of(engine, tmp_path)


def dead(engine: Engine, plugin: int = 1, **fields: Any) -> Event:
    event = make_event(**fields)
    with short_transaction(engine) as connection:
        backlog.fail_first(connection, event, plugin, Failure("it broke", "Traceback\n  line"))
    return event


def retrying(engine: Engine, plugin: int = 1, **fields: Any) -> Event:
    event = make_event(**fields)
    with short_transaction(engine) as connection:
        failure = Failure("not now", "Traceback", delay=3600.0)
        backlog.fail_first(connection, event, plugin, failure)
    return event


def pending(engine: Engine, plugin: int = 1, **fields: Any) -> Event:
    event = make_event(**fields)
    with short_transaction(engine) as connection:
        backlog.park(connection, event, [plugin])
    return event


def quarantined(engine: Engine, body: bytes, **properties: Any) -> None:
    with short_transaction(engine) as connection:
        quarantine.put(connection, body, "no good", properties)


def states(engine: Engine) -> dict[UUID, str]:
    return {row.event_id: row.state for row in deliveries(engine)}


def ids(engine: Engine) -> dict[UUID, str]:
    return {row.event_id: str(row.id) for row in deliveries(engine)}


def make_older(engine: Engine, event: Event, age: timedelta) -> None:
    with short_transaction(engine) as connection:
        connection.execute(
            update(delivery_table)
            .where(delivery_table.c.event_id == event.id)
            .values(created_at=clock(-age.total_seconds()))
        )


def due_now(engine: Engine, plugins: list[int]) -> list[backlog.Due]:
    with short_transaction(engine) as connection:
        return backlog.claim(connection, plugins, 100, 60.0, "host/1")


def test_the_list_is_newest_first_with_the_quarantine_at_its_end(
    engine: Engine, command: Commands
) -> None:
    quarantined(engine, b"{")
    dead(engine)
    retrying(engine, 2)
    pending(engine)

    rows = command("deliveries", "list", "-O", "json").json

    assert [row["state"] for row in rows] == ["pending", "retry", "dead", "quarantined"]
    assert [row["plugin"] for row in rows] == ["audit", "Hooks", "audit", None]
    assert rows[2]["error"] == "it broke"
    assert rows[3]["id"] == "q1"


def test_the_list_is_a_table_for_people(engine: Engine, command: Commands) -> None:
    dead(engine)

    head, row = command("deliveries", "list").out.splitlines()

    assert head.split()[:5] == ["ID", "STATE", "PLUGIN", "RESOURCE", "ATTEMPTS"]
    assert row.split()[:5] == ["1", "dead", "audit", "story", "1"]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (["--state", "dead"], {"story", "task"}),
        (["--state", "pending"], {"branch"}),
        (["--plugin", "AUDIT"], {"story", "branch"}),
        (["--resource", "task"], {"task"}),
        (["--since", "1d"], {"story", "branch"}),
        (["--state", "dead", "--plugin", "hooks"], {"task"}),
        (["--state", "quarantined"], {None}),
        (["--state", "all"], {"story", "task", "branch", None}),
    ],
)
def test_filters_narrow_the_list(
    engine: Engine, command: Commands, filters: list[str], expected: set[str | None]
) -> None:
    dead(engine)
    make_older(engine, dead(engine, 2, resource="task"), 2 * DAY)
    pending(engine, resource="branch")
    quarantined(engine, b"{")
    if "--since" in filters:
        with short_transaction(engine) as connection:
            connection.execute(delete(quarantine_table))

    rows = command("deliveries", "list", "-O", "json", *filters).json

    assert {row["resource"] for row in rows} == expected


def test_a_list_at_its_limit_says_so(engine: Engine, command: Commands) -> None:
    for _ in range(3):
        dead(engine)

    result = command("deliveries", "list", "--limit", "2", "-O", "json")

    assert len(result.json) == 2
    assert "there may be more" in result.err


def test_a_plugin_that_nobody_knows_is_an_error(engine: Engine, command: Commands) -> None:
    result = command("deliveries", "list", "--plugin", "nope")
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        "eventworker: no plugin nope is registered; see: eventworker plugins list\n"
    )


def test_show_has_the_event_the_error_and_the_traceback(engine: Engine, command: Commands) -> None:
    event = dead(engine, resource_after={"title": "x\x1b[2J"})

    shown = command("deliveries", "show", "1", "-O", "json").json
    text = command("deliveries", "show", "1").out

    assert shown["event_id"] == str(event.id)
    assert shown["event"]["resource_after"] == {"title": "x\x1b[2J"}
    assert shown["traceback"] == "Traceback\n  line"
    assert "\x1b" not in text
    assert "      line" in text


def test_show_of_a_delivery_whose_event_is_not_there_yet(engine: Engine, command: Commands) -> None:
    with short_transaction(engine) as connection:
        estate.blame(connection, UUID(int=1), 1, Failure("the process died", delay=5.0), "gone")

    shown = command("deliveries", "show", "1", "-O", "json").json

    assert (shown["event"], shown["resource"], shown["state"]) == (None, None, "retry")


def test_show_of_quarantined_bytes(engine: Engine, command: Commands) -> None:
    quarantined(engine, b"\xff{", routing_key="story")

    shown = command("deliveries", "show", "q1", "-O", "json").json

    assert shown["body"] == "\\xff{"
    assert shown["properties"] == {"routing_key": "story"}
    assert shown["error"] == "no good"


@pytest.mark.parametrize("name", ["7", "q7"])
def test_show_of_nothing_is_an_error(engine: Engine, command: Commands, name: str) -> None:
    result = command("deliveries", "show", name)
    assert (result.code, result.err) == (1, f"eventworker: there is no delivery {name}\n")


def test_a_retried_dead_letter_is_due_with_all_its_attempts(
    engine: Engine, command: Commands
) -> None:
    event = dead(engine)

    result = command("deliveries", "retry", "1")

    assert (result.code, result.out) == (0, "1 delivery is due now\n")
    assert "deliveries due now: 1" in result.err
    assert outcomes(engine) == {(event.id, 1): Outcome.RETRY}
    (due,) = due_now(engine, [1])
    assert (due.event.id, due.attempts) == (event.id, 1)


def test_a_retrying_delivery_need_not_wait(engine: Engine, command: Commands) -> None:
    retrying(engine)
    assert due_now(engine, [1]) == []

    command("deliveries", "retry", "--state", "retry")

    assert len(due_now(engine, [1])) == 1


def test_filters_choose_what_is_retried_and_leave_the_rest(
    engine: Engine, command: Commands
) -> None:
    chosen, other = dead(engine, 1), dead(engine, 2)

    result = command("deliveries", "retry", "--plugin", "audit", "-O", "json")

    assert result.json == {"changed": 1, "refused": {}, "dry_run": False}
    assert states(engine) == {chosen.id: RETRY, other.id: DEAD}
    assert outcomes(engine)[other.id, 2] is Outcome.DEAD


def test_a_dry_run_counts_and_changes_nothing(engine: Engine, command: Commands) -> None:
    dead(engine)
    retrying(engine)
    pending(engine)
    quarantined(engine, b"{")
    before = deliveries(engine)

    retry = command("deliveries", "retry", "--state", "all", "--dry-run")
    discard = command("deliveries", "discard", "--state", "all", "--dry-run", terminal=True)

    assert retry.out == "2 deliveries would be due now\n"
    assert "q1: it still is no event" in retry.err
    assert discard.out == "4 deliveries would be discarded\n"
    assert deliveries(engine) == before


def test_ids_that_cannot_be_retried_are_named_and_the_others_are(
    engine: Engine, command: Commands
) -> None:
    waiting, failed = pending(engine), dead(engine)
    numbers = ids(engine)

    result = command("deliveries", "retry", numbers[waiting.id], numbers[failed.id], "99", "q9")

    assert result.code == 1
    assert result.out == "1 delivery is due now\n"
    assert f"eventworker: {numbers[waiting.id]}: it is pending\n" in result.err
    assert "eventworker: 99: there is no such delivery (any more)\n" in result.err
    assert "eventworker: q9: there is no such entry (any more)\n" in result.err


def test_what_is_being_called_right_now_is_left_alone(engine: Engine, command: Commands) -> None:
    retrying(engine)
    command("deliveries", "retry", "1")
    assert len(due_now(engine, [1])) == 1

    by_id = command("deliveries", "retry", "1")
    by_filter = command("deliveries", "discard", "--plugin", "audit")

    assert "1: its plugin is being called right now" in by_id.err
    assert by_filter.out == "0 deliveries are discarded\n"
    assert [row.attempts for row in deliveries(engine)] == [1]


def test_more_than_one_bite_is_one_transaction(
    engine: Engine, command: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "BITE", 2)
    for _ in range(5):
        dead(engine)

    with short_transaction(engine) as connection:
        assert replay.retry(connection, Selection(plugin="audit")) == 5
        connection.rollback()
    assert set(states(engine).values()) == {DEAD}

    assert command("deliveries", "retry", "--state", "dead").out == "5 deliveries are due now\n"
    assert set(outcomes(engine).values()) == {Outcome.RETRY}


def test_a_discarded_delivery_is_gone_and_its_inbox_row_says_so(
    engine: Engine, command: Commands
) -> None:
    event, other = dead(engine), dead(engine, 2)

    result = command("deliveries", "discard", ids(engine)[event.id], "--reason", "a\ntest")

    assert result.out == "1 delivery is discarded\n"
    assert r"reason=a\ntest" in result.err
    assert states(engine) == {other.id: DEAD}
    assert outcomes(engine) == {(event.id, 1): Outcome.DISCARDED, (other.id, 2): Outcome.DEAD}


def test_pending_and_quarantined_can_be_discarded(engine: Engine, command: Commands) -> None:
    event = pending(engine)
    quarantined(engine, b"{")

    result = command("deliveries", "discard", "1", "q1")

    assert result.out == "2 deliveries are discarded\n"
    assert outcomes(engine) == {(event.id, 1): Outcome.DISCARDED}
    assert count(engine, quarantine_table) == 0


@pytest.mark.parametrize("verb", ["retry", "discard"])
def test_without_ids_and_filters_nothing_is_chosen(
    engine: Engine, command: Commands, verb: str
) -> None:
    dead(engine)

    nothing = command("deliveries", verb)
    both = command("deliveries", verb, "1", "--state", "dead")

    assert (nothing.code, both.code) == (2, 2)
    assert "name deliveries by id, or choose them" in nothing.err
    assert "not by both" in both.err
    assert set(states(engine).values()) == {DEAD}


def test_a_discard_of_many_asks_back_on_a_terminal(engine: Engine, command: Commands) -> None:
    for _ in range(2):
        dead(engine)

    asked = command("deliveries", "discard", "--state", "dead", terminal=True)
    assert (asked.code, len(deliveries(engine))) == (2, 2)
    assert "2 deliveries would be discarded; add --yes" in asked.err

    done = command("deliveries", "discard", "--state", "dead", "--yes", terminal=True)
    assert (done.code, deliveries(engine)) == (0, [])


def test_a_script_is_not_asked(engine: Engine, command: Commands) -> None:
    for _ in range(2):
        dead(engine)
    assert command("deliveries", "discard", "--state", "dead").code == 0
    assert deliveries(engine) == []


def test_quarantined_bytes_that_are_an_event_now_are_owed_to_every_plugin(
    engine: Engine, command: Commands
) -> None:
    body = make_event(resource_after={"text": "x" * 3000}).encode()
    event_id = UUID("01976a4e-0000-7000-8000-000000000001")
    quarantined(engine, body, message_id=str(event_id), source="storyboard")
    with short_transaction(engine) as connection:
        registry.sync(connection, [], ["hooks"])

    result = command("deliveries", "retry", "q1")

    assert (result.code, result.out) == (0, "1 delivery is due now\n")
    assert outcomes(engine) == {(event_id, 1): Outcome.PENDING, (event_id, 2): Outcome.SKIPPED}
    assert count(engine, quarantine_table) == 0
    (due,) = due_now(engine, [1, 2])
    assert (due.event.id, due.event.source, due.plugin) == (event_id, "storyboard", 1)


def test_quarantined_bytes_that_still_are_no_event_stay_and_the_reason_is_told(
    engine: Engine, command: Commands
) -> None:
    quarantined(engine, b'{"method": 5}')

    result = command("deliveries", "retry", "--state", "quarantined")

    assert result.code == 1
    assert "eventworker: q1: it still is no event: " in result.err
    assert count(engine, quarantine_table) == 1


@pytest.mark.parametrize("label", [{"content_encoding": "gzip"}, {"content_type": "text/plain"}])
def test_what_was_refused_by_its_label_is_refused_again(
    engine: Engine, command: Commands, label: dict[str, str]
) -> None:
    quarantined(engine, make_event().encode(), **label)
    result = command("deliveries", "retry", "q1")
    assert result.code == 1
    assert "is not read" in result.err


def test_the_size_limit_of_a_replay_is_the_configured_one(
    engine: Engine, command: Commands
) -> None:
    quarantined(engine, make_event(resource_after={"text": "x" * 3000}).encode())
    text = command.path.read_text()

    command.path.write_text(text + "max_event_bytes = 2000\n")
    assert command("deliveries", "retry", "q1").code == 1
    command.path.write_text(text + "max_event_bytes = 5000\n")
    assert command("deliveries", "retry", "q1").code == 0


def test_a_replay_that_would_be_owed_to_nobody_is_refused_and_changes_nothing(
    engine: Engine, command: Commands
) -> None:
    dead(engine)
    quarantined(engine, make_event().encode())
    with short_transaction(engine) as connection:
        registry.sync(connection, [], ["audit", "hooks"])

    result = command("deliveries", "retry", "1", "q1")

    assert result.code == 1
    assert "owed to nobody" in result.err
    assert set(states(engine).values()) == {DEAD}
    assert count(engine, quarantine_table) == 1


def test_what_is_quarantined_has_no_plugin_to_choose_by(engine: Engine, command: Commands) -> None:
    result = command("deliveries", "list", "--state", "quarantined", "--plugin", "audit")
    assert result.code == 2


def test_without_tables_the_verbs_say_what_to_run(database_url: str, tmp_path: Path) -> None:
    command = Commands(tmp_path / "c.conf", f"[database]\nconnection = {database_url}\n")
    result = command("deliveries", "list")
    assert (result.code, result.out) == (1, "")
    assert "run: eventworker --config-file FILE db upgrade" in result.err


def test_an_event_is_stored_once_however_often_it_is_replayed(
    engine: Engine, command: Commands
) -> None:
    dead(engine)
    for _ in range(3):
        command("deliveries", "retry", "1")
    assert count(engine, event_table) == 1
    assert [row.state for row in deliveries(engine)] == [RETRY]


def test_json_output_is_one_document_also_for_an_empty_list(
    engine: Engine, command: Commands
) -> None:
    assert json.loads(command("-O", "json", "deliveries", "list").out) == []
