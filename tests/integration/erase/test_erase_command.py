"""``eventworker erase``, and what the built-in plugins and spools erase."""

from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert

from eventworker.capture.spool import waiting
from eventworker.capture.spool.store import Store
from eventworker.db import clock, short_transaction
from eventworker.outbox.table import outbox_table
from eventworker.transport import Message
from eventworker.workers.subscription.tables import notification_table
from tests.helpers.commands import Commands
from tests.helpers.databases import count
from tests.helpers.erasing import CANARY, by_ada, ready, sent
from tests.helpers.events import make_event


def test_the_command_says_what_it_did_and_leaves_a_line_in_the_log(
    engine: Engine, command: Commands
) -> None:
    event = sent(engine, by_ada())

    looked = command("erase", "--author", "7", "--dry-run")
    assert (looked.code, looked.out) == (
        0,
        "author 7: would be erased: 1 of eventworker_outbox\n",
    )
    assert "erased:" not in looked.err

    result = command("erase", "--event", str(event.id), "-O", "json")
    assert (result.code, result.json) == (
        0,
        {
            "erased": {"eventworker_outbox": 1},
            "waiting": 0,
            "held": 0,
            "failed": {},
            "not_here": ["audit", "hooks"],
            "dry_run": False,
        },
    )
    assert f"erased: event {event.id}" in result.err
    assert "eventworker_outbox=1" in result.err


def test_the_command_ends_with_1_while_something_is_left(engine: Engine, command: Commands) -> None:
    ready(engine, by_ada())
    result = command("erase", "--author", "7")
    assert (result.code, result.out) == (1, "author 7: erased: nothing\n")
    assert "1 event is left: still to be handled" in result.err
    assert command("erase", "--author", "7", "--open").code == 0
    assert count(engine, outbox_table) == 0


def test_a_person_is_asked_back(engine: Engine, command: Commands) -> None:
    sent(engine, by_ada())
    asked = command("erase", "--author", "7", terminal=True)
    assert asked.code == 2
    assert "add --yes" in asked.err
    assert command("erase", "--author", "7", "--dry-run", terminal=True).code == 0
    assert count(engine, outbox_table) == 1
    assert command("erase", "--author", "7", "--yes", terminal=True).code == 0
    assert count(engine, outbox_table) == 0


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--author", "7", "--event", "01976a4e-0000-7000-8000-000000000001"),
        ("--event", "7"),
        ("--resource", "story"),
    ],
)
def test_a_command_line_that_says_too_little_or_too_much_is_refused(
    command: Commands, words: tuple[str, ...]
) -> None:
    assert command("erase", *words).code == 2


def test_the_built_in_plugin_erases_its_notifications(engine: Engine, command: Commands) -> None:
    event = sent(engine, by_ada(resource="story", resource_id=42))
    command.path.write_text(command.path.read_text() + "[plugin:subscription]\nenabled = True\n")
    for author, number in (("7", 42), ("8", 42), ("8", 43)):
        with short_transaction(engine) as connection:
            connection.execute(
                insert(notification_table).values(
                    event_id=event.id if author == "7" else make_event().id,
                    subscriber_id="1",
                    author_id=author,
                    event_type="story_changed",
                    resource="story",
                    resource_id=str(number),
                    info=CANARY,
                    created_at=clock(),
                )
            )
    for words, left in (
        (("--event", str(event.id)), 2),
        (("--resource", "story/42"), 1),
        (("--author", "8"), 0),
    ):
        result = command("erase", *words, "-O", "json")
        assert result.json["erased"]["plugin subscription"] == 1, result
        assert count(engine, notification_table) == left
        assert "subscription" not in result.json["not_here"]


def test_a_spool_is_erased_where_it_is_named(
    engine: Engine, command: Commands, tmp_path: Path
) -> None:
    path = tmp_path / "events.spool"
    with closing(Store(path)) as store:
        messages = [Message.of(by_ada()), Message.of(by_ada()), Message.of(make_event(author_id=8))]
        store.write(lambda connection: waiting.append(connection, messages))
        (first, *_) = store.read(lambda connection: waiting.head(connection, 3, 2**20))
        refusal = waiting.Refusal(first, CANARY, again=False)
        store.write(lambda connection: waiting.settle(connection, [], [refusal]))

    kept = command("erase", "--author", "7", "--spool", str(path))
    assert kept.code == 1
    assert f"1 of spool {path}" in kept.out
    assert "1 event is left: still to be handled" in kept.err

    assert command("erase", "--author", "7", "--spool", str(path), "--open").code == 0
    with closing(Store(path, create=False)) as store:
        numbers = store.read(waiting.summary)
        assert (numbers["waiting"], numbers["refused"]) == (1, 0)
        store.maintain("PRAGMA wal_checkpoint(TRUNCATE)")
    assert CANARY.encode() not in path.read_bytes()


def test_a_spool_that_is_not_there_is_an_error(command: Commands, tmp_path: Path) -> None:
    assert command("erase", "--author", "7", "--spool", str(tmp_path / "none")).code == 1
