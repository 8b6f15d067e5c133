"""An operator looks at the outbox, publishes again what was lost, and what was given up on."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, update

from eventworker.db import clock, short_transaction
from eventworker.engine.reconciler import LIMIT, Tally
from eventworker.event import Event
from eventworker.outbox import queue, record
from eventworker.outbox.table import DEAD, LOST, READY, outbox_table
from tests.helpers.commands import Commands
from tests.helpers.databases import effects, outbox_states
from tests.helpers.events import make_event
from tests.helpers.line import Line
from tests.helpers.plugins import Plugin, time_limits
from tests.helpers.probe_plugins import install_plugins
from tests.helpers.rabbit import channel_at
from tests.servers import Vhost

QUEUE = "storyboard_events"


@pytest.fixture
def line(engine: Engine, vhost: Vhost) -> Iterator[Line]:
    """A plugin that is owed everything."""
    with time_limits():
        made = Line(engine, vhost, Plugin("ledger"))
        yield made
    made.transport.close()


@pytest.fixture
def command(
    engine: Engine, vhost: Vhost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Commands:
    install_plugins(tmp_path / "plugins", monkeypatch, "ledger")
    url = engine.url.render_as_string(hide_password=False)
    return Commands(
        tmp_path / "eventworker.conf",
        f"[database]\nconnection = {url}\n[notifications]\ndriver = rabbit\n"
        f"rabbit_host = {vhost.host}\nrabbit_port = {vhost.port}\nrabbit_userid = {vhost.user}\n"
        f"rabbit_password = {vhost.password}\nrabbit_virtual_host = {vhost.vhost}\n"
        "[plugins]\nonly = ledger\n",
    )


def send(line: Line, count: int) -> list[Event]:
    """What was sent an hour ago."""
    sent = line.send(*(make_event(resource_id=number) for number in range(count)))
    line.sent_earlier(timedelta(hours=1), *sent)
    return sent


def move(line: Line, event: Event, state: int) -> None:
    with short_transaction(line.engine) as connection:
        chosen = update(outbox_table).where(outbox_table.c.id == event.id)
        connection.execute(chosen.values(state=state, republished=3, check_at=None, error="why"))


def test_status_says_how_many_are_where(line: Line, command: Commands) -> None:
    one, *_others = send(line, 3)
    move(line, one, LOST)
    status = command("outbox", "status", "-O", "json").json
    counts = {name: status[name] for name in ("ready", "unproven", "dead", "lost")}
    assert counts == {"ready": 0, "unproven": 2, "dead": 0, "lost": 1}
    assert (status["driver"], status["waiting_in_queue"], status["trouble"]) == ("rabbit", 3, None)
    assert status["oldest_unproven"]
    assert "waiting in queue: 3" in " ".join(command("outbox", "status").out.split())


def test_what_the_broker_lost_is_published_again_by_hand(
    line: Line, command: Commands, vhost: Vhost
) -> None:
    send(line, 2)
    line.consume()
    send(line, 3)
    with channel_at(vhost) as channel:
        channel.queue_purge(QUEUE)
    rehearsal = command("outbox", "reconcile", "--dry-run", "-O", "json").json
    assert (rehearsal["republished"], rehearsal["handled"]) == (3, 2)
    assert READY not in outbox_states(line.engine)
    done = command("outbox", "reconcile")
    assert (done.code, done.out.partition(";")[0]) == (0, "3 events are published again")
    line.publish()
    line.consume()
    assert effects(line.engine) == ["ledger"] * 5
    assert command("outbox", "reconcile", "-O", "json").json["republished"] == 0


def test_by_hand_a_queue_is_not_published_twice_unless_that_is_meant(
    line: Line, command: Commands
) -> None:
    send(line, 2)
    refused = command("outbox", "reconcile")
    assert (refused.code, refused.out) == (1, "")
    assert "2 events wait in the queue" in refused.err
    forced = command("outbox", "reconcile", "--force", "-O", "json").json
    assert forced["republished"] == 2
    line.publish()
    line.consume()
    assert effects(line.engine) == ["ledger"] * 2


def test_by_hand_nothing_that_may_wait_in_the_queue_is_given_up_however_often(
    line: Line, command: Commands, vhost: Vhost
) -> None:
    (event,) = send(line, 1)
    for _ in range(LIMIT + 1):
        forced = command("outbox", "reconcile", "--force", "-O", "json").json
        assert (forced["republished"], forced["lost"]) == (1, 0)
        line.publish()
        line.sent_earlier(timedelta(hours=1), event)
    # Nor has it used up the times that the daemon may do so.
    with channel_at(vhost) as channel:
        channel.queue_purge(QUEUE)
    assert line.look() == Tally(republished=1)
    line.publish()
    line.consume()
    assert effects(line.engine) == ["ledger"]


@pytest.mark.parametrize(("state", "name"), [(DEAD, "dead"), (LOST, "lost")])
def test_what_was_given_up_on_is_listed_and_published_again(
    line: Line, command: Commands, vhost: Vhost, state: int, name: str
) -> None:
    one, two, good = send(line, 3)
    with channel_at(vhost) as channel:
        channel.queue_purge(QUEUE)
    move(line, one, state)
    move(line, two, state)
    listed = command("outbox", "list", "--state", name, "-O", "json").json
    assert [(row["id"], row["error"]) for row in listed] == [
        (str(one.id), "why"),
        (str(two.id), "why"),
    ]
    rehearsal = command("outbox", "retry", "--state", name, "--dry-run", "-O", "json").json
    assert rehearsal["changed"] == 2
    refused = command("outbox", "retry", str(one.id), str(good.id))
    assert refused.code == 1
    assert f"{good.id}: it is neither dead nor lost" in refused.err
    assert refused.out == "1 event is published again\n"
    assert command("outbox", "retry", "--state", name).out == "1 event is published again\n"
    assert command("outbox", "list", "--state", name, "-O", "json").json == []
    line.publish()
    line.consume()
    assert effects(line.engine) == ["ledger"] * 2
    assert {line.rows()[each.id].republished for each in (one, two)} == {0}


def test_one_that_was_dead_for_long_has_its_whole_time_in_the_outbox(
    line: Line, command: Commands
) -> None:
    event = make_event()
    with short_transaction(line.engine) as connection:
        record(connection, event)
        queue.bury(connection, event.id, "too long")
        long_ago = {"settled_at": clock(-80 * 86400.0)}
        connection.execute(update(outbox_table).values(long_ago))
    assert command("outbox", "retry", str(event.id)).code == 0
    line.publish()
    row = line.rows()[event.id]
    assert row.sent_at - row.settled_at < timedelta(minutes=1)


def test_retry_needs_to_be_told_what(line: Line, command: Commands) -> None:
    assert command("outbox", "retry").code == 2
    assert command("outbox", "retry", "--state", "lost", str(make_event().id)).code == 2


def test_a_broker_that_is_away_is_said_and_the_rest_is_shown(
    sqlite_engine: Engine, tmp_path: Path
) -> None:
    command = Commands(
        tmp_path / "eventworker.conf",
        f"[database]\nconnection = {sqlite_engine.url}\n[notifications]\nrabbit_port = 1\n",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("eventworker.cli.outbox._PATIENCE", 0.5)
        status = command("outbox", "status", "-O", "json").json
    assert (status["ready"], status["waiting_in_queue"]) == (0, None)
    assert "localhost:1" in status["trouble"]


def test_without_a_broker_nothing_is_to_be_reconciled(engine: Engine, tmp_path: Path) -> None:
    url = engine.url.render_as_string(hide_password=False)
    text = f"[database]\nconnection = {url}\n[notifications]\ndriver = sql\n"
    command = Commands(tmp_path / "eventworker.conf", text)
    refused = command("outbox", "reconcile")
    assert (refused.code, "the outbox is the queue" in refused.err) == (1, True)
    status = command("outbox", "status", "-O", "json").json
    assert (status["waiting_in_queue"], status["trouble"]) == (None, None)
