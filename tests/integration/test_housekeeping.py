"""What has been kept long enough goes; what somebody may still need stays."""

import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from oslo_config import cfg
from sqlalchemy import Engine, Table, literal, select, update

from eventworker import effects
from eventworker.db import short_transaction
from eventworker.effects.table import effect_table, shared_table
from eventworker.engine import housekeeping
from eventworker.engine.loader import Discovery, Loaded
from eventworker.engine.preflight import check_retention
from eventworker.errors import ConfigError, Reject
from eventworker.event import Event
from eventworker.inbox import anonymous, backlog, quarantine
from eventworker.inbox.anonymous import anonymous_table
from eventworker.inbox.backlog import Failure, delivery_table, event_table
from eventworker.inbox.claims import FirstClaim, Outcome, inbox_table, note, run_once
from eventworker.inbox.cursor import cursor_table
from eventworker.inbox.operations import replay
from eventworker.inbox.operations.selection import Selection
from eventworker.inbox.quarantine import quarantine_table
from eventworker.outbox import queue, record
from eventworker.outbox.table import LOST, outbox_table
from tests.helpers.databases import count, outcomes, rows
from tests.helpers.effects import Mailer
from tests.helpers.events import make_event
from tests.helpers.ordered import InOrder
from tests.helpers.ordered import record as ordered
from tests.helpers.plugins import Workshop, loaded, time_limits

AGED: dict[Table, tuple[str, ...]] = {
    outbox_table: ("settled_at", "time"),
    inbox_table: ("at",),
    delivery_table: ("due_at", "created_at"),
    event_table: ("stored_at", "time"),
    quarantine_table: ("received_at",),
    anonymous_table: ("at",),
    cursor_table: ("at",),
    effect_table: ("due_at", "created_at"),
    shared_table: ("created_at",),
}


@pytest.fixture(autouse=True)
def _limits() -> Iterator[None]:
    with time_limits():
        yield


def age(engine: Engine, days: float) -> None:
    """Everything that is there happened so much earlier."""
    with short_transaction(engine) as connection:
        for table, columns in AGED.items():
            for row in connection.execute(table.select()).all():
                mine = [column == row._mapping[column] for column in table.primary_key.columns]
                older = {
                    name: row._mapping[name] - timedelta(days=days)
                    for name in columns
                    if row._mapping[name] is not None
                }
                connection.execute(update(table).where(*mine).values(**older))


def clean(engine: Engine, conf: cfg.ConfigOpts) -> dict[str, int]:
    return {name: gone for name, gone in housekeeping.clean(engine, conf.retention).items() if gone}


@pytest.fixture
def sent_and_ready(engine: Engine) -> Any:
    with short_transaction(engine) as connection:
        sent, ready = record(connection, make_event()), record(connection, make_event())
        queue.settle(connection, [sent.id])
    return ready.id


def test_nothing_is_deleted_before_its_time(
    engine: Engine, conf: cfg.ConfigOpts, sent_and_ready: object
) -> None:
    age(engine, 2.9)
    assert clean(engine, conf) == {}


def test_a_sent_event_goes_and_one_that_was_not_sent_stays_for_ever(
    engine: Engine, conf: cfg.ConfigOpts, sent_and_ready: object
) -> None:
    age(engine, 5000)
    assert clean(engine, conf) == {"eventworker_outbox": 1}
    assert [row.id for row in rows(engine, outbox_table)] == [sent_and_ready]


def test_sent_and_lost_events_go_many_at_a_time(engine: Engine, conf: cfg.ConfigOpts) -> None:
    with short_transaction(engine) as connection:
        sent = [record(connection, make_event()).id for _ in range(3)]
        queue.settle(connection, sent)
        connection.execute(
            update(outbox_table).where(outbox_table.c.id == sent[0]).values(state=LOST)
        )
    age(engine, 4)
    assert clean(engine, conf) == {"eventworker_outbox": 3}


def test_an_event_that_could_never_be_published_is_kept_as_long_as_a_dead_letter(
    engine: Engine, conf: cfg.ConfigOpts
) -> None:
    with short_transaction(engine) as connection:
        queue.bury(connection, record(connection, make_event()).id, "too long")
    age(engine, 89)
    assert clean(engine, conf) == {}
    age(engine, 2)
    assert clean(engine, conf) == {"eventworker_outbox": 1}


def test_one_that_was_sent_before_it_was_found_unpublishable_goes_with_those_that_were_sent(
    engine: Engine, conf: cfg.ConfigOpts
) -> None:
    """The inbox knows it for so long after it was sent first, and it may still come back."""
    with short_transaction(engine) as connection:
        event = record(connection, make_event())
        queue.settle(connection, [event.id])
    age(engine, 2)
    (sent,) = rows(engine, outbox_table)
    with short_transaction(engine) as connection:
        queue.bury(connection, event.id, "too long")
    (buried,) = rows(engine, outbox_table)
    assert buried.settled_at == sent.settled_at
    assert clean(engine, conf) == {}
    age(engine, 2)
    assert clean(engine, conf) == {"eventworker_outbox": 1}


def test_what_is_deleted_and_was_never_known_to_be_handled_is_told(
    engine: Engine, conf: cfg.ConfigOpts, caplog: pytest.LogCaptureFixture
) -> None:
    with short_transaction(engine) as connection:
        handled, unproven, lost = (record(connection, make_event()) for _ in range(3))
        queue.settle(connection, [handled.id])
        queue.settle(connection, [unproven.id, lost.id], check_in=300.0)
        is_lost = {"state": LOST, "check_at": None}
        connection.execute(update(outbox_table).where(outbox_table.c.id == lost.id).values(is_lost))
    assert clean(engine, conf) == {}
    assert caplog.text == ""
    age(engine, 4)
    assert clean(engine, conf) == {"eventworker_outbox": 3}
    (told,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert "2 events" in told.message
    assert {str(event.id) in told.message for event in (unproven, lost)} == {True}
    assert str(handled.id) not in told.message


def test_the_memory_of_what_is_done_outlives_the_events_body(
    engine: Engine, conf: cfg.ConfigOpts
) -> None:
    with short_transaction(engine) as connection:
        event = record(connection, make_event())
        queue.settle(connection, [event.id])
    run_once(engine, FirstClaim(event.id, 1), lambda session: None)
    age(engine, 4)
    clean(engine, conf)
    assert count(engine, outbox_table) == 0
    assert outcomes(engine) == {(event.id, 1): Outcome.DONE}
    age(engine, 11)
    assert clean(engine, conf) == {"eventworker_inbox": 1}


def test_what_is_owed_stays_with_its_body_however_old(engine: Engine, conf: cfg.ConfigOpts) -> None:
    pending, retrying = make_event(), make_event()
    with short_transaction(engine) as connection:
        backlog.park(connection, pending, [1])
        backlog.fail_first(connection, retrying, 1, Failure("no", delay=0.0))
    age(engine, 5000)
    assert clean(engine, conf) == {}
    with short_transaction(engine) as connection:
        claimed = backlog.claim(connection, [1], 10, 60.0, "me")
    assert {due.event.id for due in claimed} == {pending.id, retrying.id}


def test_a_dead_letter_stays_for_its_days_with_its_body_and_its_inbox_row(
    engine: Engine, conf: cfg.ConfigOpts
) -> None:
    event = make_event()
    with short_transaction(engine) as connection:
        backlog.fail_first(connection, event, 1, Failure("no"))
    age(engine, 89)
    assert clean(engine, conf) == {}
    age(engine, 2)
    assert clean(engine, conf) == {
        "eventworker_delivery": 1,
        "eventworker_inbox": 1,
        "eventworker_event": 1,
    }


def test_a_body_that_nobody_refers_to_goes_but_not_while_it_is_fresh(
    engine: Engine, conf: cfg.ConfigOpts
) -> None:
    with short_transaction(engine) as connection:
        backlog.store(connection, make_event())
    assert clean(engine, conf) == {}
    age(engine, 0.1)
    assert clean(engine, conf) == {"eventworker_event": 1}


def test_quarantine_and_anonymous_ids_go_in_their_time(
    engine: Engine, conf: cfg.ConfigOpts
) -> None:
    with short_transaction(engine) as connection:
        quarantine.put(connection, b"x", "no", {})
        anonymous.identify(connection, b"x", False)
    age(engine, 13)
    assert clean(engine, conf) == {}
    age(engine, 2)
    assert clean(engine, conf) == {"eventworker_anonymous": 1}
    age(engine, 80)
    assert clean(engine, conf) == {"eventworker_quarantine": 1}


def test_dead_effects_go_in_their_time_and_what_they_shared_with_the_last_of_them(
    engine: Engine, conf: cfg.ConfigOpts
) -> None:
    def body(session: Any, _: Any) -> None:
        effects.add_each(session, select(literal(1).label("to")), shared={"text": "hello"})
        effects.add(session, "owed")

    Workshop(engine, loaded(Mailer(body))).dispatch(make_event())
    dead = effect_table.update().where(effect_table.c.n == 1).values(state="dead")
    with engine.begin() as connection:
        connection.execute(dead)
    age(engine, 89)
    gone = clean(engine, conf)
    assert (gone.get("eventworker_effect"), gone.get("eventworker_effect_shared")) == (None, None)
    age(engine, 2)
    assert clean(engine, conf) == {"eventworker_effect": 1, "eventworker_effect_shared": 1}
    age(engine, 5000)
    clean(engine, conf)
    assert [row.payload for row in rows(engine, effect_table)] == ['"owed"']


def test_what_nobody_shares_yet_is_kept_while_it_is_fresh(
    engine: Engine, conf: cfg.ConfigOpts
) -> None:
    def body(session: Any, _: Any) -> None:
        nobody = select(literal(1).label("to")).where(literal(1) == 2)
        effects.add_each(session, nobody, shared={"text": "hello"})

    Workshop(engine, loaded(Mailer(body))).dispatch(make_event())
    assert clean(engine, conf) == {}
    age(engine, 0.1)
    assert clean(engine, conf) == {"eventworker_effect_shared": 1}


def test_how_far_a_resource_has_come_is_known_as_long_as_a_dead_letter_may_come_late(
    engine: Engine, conf: cfg.ConfigOpts, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_session: Any, event: Event) -> None:
        if event.stream == "story/1" and event.seq == 1:
            raise Reject("no")

    plugin = InOrder(body=refuse)
    shop = Workshop(engine, loaded(plugin, order_on_failure="skip"))
    for event in ordered(engine, 1, 1, 2):
        shop.dispatch(event)
    age(engine, 31)
    assert clean(engine, conf)["eventworker_cursor"] == 1
    assert [(row.stream, row.seq) for row in rows(engine, cursor_table)] == [("story/1", 2)]
    plugin.body = None
    with short_transaction(engine) as connection:
        replay.retry(connection, Selection())
    assert shop.runner.run_due()
    assert "handled after a later event of its resource" in caplog.text
    age(engine, 31)
    assert clean(engine, conf)["eventworker_cursor"] == 1


def test_a_large_number_goes_in_bites(
    engine: Engine, conf: cfg.ConfigOpts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "_BITE", 3)
    with short_transaction(engine) as connection:
        for _ in range(7):
            note(connection, make_event().id, [1, 2], Outcome.SKIPPED)
    age(engine, 15)
    assert clean(engine, conf) == {"eventworker_inbox": 14}
    assert count(engine, inbox_table) == 0


def test_an_inbox_that_forgets_before_an_event_can_come_back_is_refused(
    conf: cfg.ConfigOpts,
) -> None:
    patient = Loaded("a", None, frozenset(), max_attempts=100, backoff_max=86400.0)
    check_retention(conf, Discovery())
    with pytest.raises(ConfigError, match="inbox_days"):
        check_retention(conf, Discovery(loaded=[patient]))
    conf.set_override("inbox_days", 2.0, group="retention")
    with pytest.raises(ConfigError, match="inbox_days"):
        check_retention(conf, Discovery())
