"""Events that the broker confirmed and no plugin ever got are found and published again."""

import logging
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, select

from eventworker.db import Failure, clock, short_transaction
from eventworker.engine.filters import Filter
from eventworker.engine.reconciler import LIMIT, Tally
from eventworker.engine.reconciliation import Horizon
from eventworker.event import Event
from eventworker.inbox import backlog, estate, registry
from eventworker.inbox.claims import Outcome, note
from eventworker.outbox import sent
from eventworker.outbox.table import LOST, READY, SENT
from tests.helpers.databases import effects, outbox_states
from tests.helpers.events import make_event
from tests.helpers.line import Line
from tests.helpers.plugins import Plugin, Workshop, loaded, time_limits
from tests.helpers.rabbit import channel_at, depth
from tests.servers import RabbitServer, Vhost, wait_until

QUEUE, EXCHANGE = "storyboard_events", "storyboard"


@pytest.fixture
def make_line(vhost: Vhost) -> Iterator[Callable[..., Line]]:
    made: list[Line] = []

    def make(engine: Engine, *plugins: Plugin, at: Vhost = vhost, **more: Any) -> Line:
        made.append(Line(engine, at, *plugins, **more))
        return made[-1]

    with time_limits():
        yield make
    for line in made:
        line.transport.close()


def stories(count: int) -> list[Event]:
    return [make_event(resource_id=number) for number in range(count)]


def test_what_is_handled_is_looked_at_once_and_never_again(
    engine: Engine, make_line: Callable[..., Line]
) -> None:
    line = make_line(engine, Plugin("alpha"), Plugin("beta"))
    line.send(*stories(3))
    line.consume()
    assert line.reconciler.look() == Tally(handled=3)
    assert line.unproven() == 0
    assert line.look() == Tally()
    assert outbox_states(engine) == [SENT] * 3


def test_a_purged_queue_is_filled_again_and_each_effect_is_there_once(
    engine: Engine, make_line: Callable[..., Line], vhost: Vhost
) -> None:
    line = make_line(engine, Plugin("alpha"))
    line.send(*stories(3))
    line.consume()
    line.send(*stories(4))
    with channel_at(vhost) as channel:
        channel.queue_purge(QUEUE)
    assert line.look() == Tally(handled=3, republished=4)
    line.publish()
    line.consume()
    assert line.look() == Tally(handled=4)
    assert effects(engine) == ["alpha"] * 7
    assert line.unproven() == 0


def test_a_deleted_queue_is_made_and_filled_again(
    sqlite_engine: Engine, make_line: Callable[..., Line], vhost: Vhost
) -> None:
    line = make_line(sqlite_engine, Plugin("alpha"))
    line.send(*stories(2))
    with channel_at(vhost) as channel:
        channel.queue_delete(QUEUE)
    assert line.transport.depth() == 0
    assert line.look() == Tally(republished=2)
    line.consume()  # declares the queue
    line.publish()
    line.consume()
    assert effects(sqlite_engine) == ["alpha"] * 2


def test_a_broker_that_lost_all_it_had_costs_nothing(
    postgres_engine: Engine,
    make_line: Callable[..., Line],
    own_rabbit_server: Callable[..., RabbitServer],
) -> None:
    server = own_rabbit_server()
    line = make_line(postgres_engine, Plugin("alpha"), at=server.at("/"))
    line.send(*stories(5))
    line.consume()
    line.send(*stories(5))
    server.wipe()
    wait_until(lambda: line.look().republished == 5, 30, "it is not found")
    line.publish()
    line.consume()
    assert effects(postgres_engine) == ["alpha"] * 10


def test_what_went_into_another_queue_by_a_wrong_binding_comes_back_when_that_is_mended(
    sqlite_engine: Engine, make_line: Callable[..., Line], vhost: Vhost
) -> None:
    line = make_line(sqlite_engine, Plugin("alpha"))
    line.send(*stories(1))
    line.consume()
    with channel_at(vhost) as channel:
        channel.queue_declare("elsewhere", durable=True)
        channel.queue_bind("elsewhere", EXCHANGE, "#")
        channel.queue_unbind(QUEUE, EXCHANGE, "#")
        line.send(*stories(2))
        channel.queue_delete("elsewhere")
        channel.queue_bind(QUEUE, EXCHANGE, "#")
    assert line.look() == Tally(handled=1, republished=2)
    line.publish()
    line.consume()
    assert effects(sqlite_engine) == ["alpha"] * 3


def test_a_healthy_queue_that_waits_is_not_published_a_second_time(
    engine: Engine, make_line: Callable[..., Line], vhost: Vhost
) -> None:
    line = make_line(engine, Plugin("alpha"))
    assert line.reconciler.look() == Tally()  # it is empty: but what follows is sent later
    line.send(*stories(20))
    for _ in range(5):
        assert line.look() == Tally(waiting=20)
    assert depth(vhost) == 20
    line.consume()
    assert line.look() == Tally(handled=20)


def test_what_waits_in_a_long_queue_is_looked_at_ever_more_seldom(
    engine: Engine, make_line: Callable[..., Line]
) -> None:
    line = make_line(engine, Plugin("alpha"))
    events = line.send(*stories(3))
    line.sent_earlier(timedelta(minutes=10), *events)
    assert line.reconciler.look() == Tally(waiting=3)
    assert line.reconciler.look() == Tally()
    ages = [row.check_at - row.sent_at for row in line.rows().values()]
    assert all(timedelta(minutes=19) < age < timedelta(minutes=22) for age in ages)


def test_where_the_queue_never_runs_empty_the_outcome_of_a_later_event_tells(
    engine: Engine, make_line: Callable[..., Line], vhost: Vhost
) -> None:
    line = make_line(engine, Plugin("alpha"))
    lost = line.send(*stories(2))
    with channel_at(vhost) as channel:
        channel.queue_purge(QUEUE)
    (overtaken,) = line.send(make_event(resource_id="soon after"))
    (later,) = line.send(make_event(resource_id="later"))
    line.consume()
    waiting = line.send(*stories(3))
    line.sent_earlier(timedelta(minutes=30), *lost)
    line.sent_earlier(timedelta(minutes=20), overtaken, later)
    assert line.look() == Tally(handled=2, republished=2, waiting=3)
    assert depth(vhost) == 3
    states = {event_id: row.state for event_id, row in line.rows().items()}
    assert {states[event.id] for event in lost} == {READY}
    assert {states[event.id] for event in waiting} == {SENT}


def test_what_was_sent_about_when_a_handled_event_was_proves_nothing(
    sqlite_engine: Engine, make_line: Callable[..., Line]
) -> None:
    """Rows are dated after the confirm, so a few seconds say nothing about the order."""
    line = make_line(sqlite_engine, Plugin("alpha"))
    (first,) = line.send(*stories(1))
    line.consume()
    (second,) = line.send(*stories(1))
    line.sent_earlier(timedelta(seconds=100), second)
    line.sent_earlier(timedelta(seconds=80), first)
    assert line.look() == Tally(handled=1, waiting=1)


@pytest.mark.parametrize(
    ("outcome", "proves"),
    [
        (Outcome.PENDING, False),
        (Outcome.RETRY, False),
        (Outcome.DISCARDED, False),
        (Outcome.DONE, True),
        (Outcome.SKIPPED, True),
        (Outcome.DEAD, True),
    ],
)
def test_an_outcome_that_needs_no_delivery_does_not_prove_that_the_event_has_left_the_queue(
    sqlite_engine: Engine, make_line: Callable[..., Line], outcome: Outcome, proves: bool
) -> None:
    """A backfill owes the plugin what still waits, an erasure discards it, and a call is blamed
    that the reconciler itself died in."""
    line = make_line(sqlite_engine, Plugin("alpha"))
    (first,) = line.send(*stories(1))
    (second,) = line.send(*stories(1))
    line.sent_earlier(timedelta(minutes=30), first)
    with short_transaction(sqlite_engine) as connection:
        backlog.store(connection, second)
        note(connection, second.id, [1], outcome)
    if proves:
        assert line.look() == Tally(handled=1, republished=1)
    else:
        assert line.look() == Tally(handled=1, waiting=1)


def test_an_event_that_nobody_wants_proves_nothing_and_is_not_published_again(
    engine: Engine, make_line: Callable[..., Line]
) -> None:
    line = make_line(
        engine,
        Plugin("by its filter", resources={"task"}),
        Plugin("by its condition", wants=lambda event: event.resource == "task"),
    )
    (lost,) = line.send(make_event(resource="task"))
    unwanted = line.send(*stories(2))
    line.sent_earlier(timedelta(hours=1), lost)
    assert line.look() == Tally(handled=2, waiting=1)
    assert [line.rows()[event.id].check_at for event in unwanted] == [None, None]


def test_an_unwanted_event_that_is_gone_is_not_published_again(
    engine: Engine, make_line: Callable[..., Line], vhost: Vhost
) -> None:
    line = make_line(engine, Plugin("alpha", resources={"task"}))
    line.send(*stories(2))
    line.consume()
    assert line.look() == Tally(handled=2)
    assert (depth(vhost), effects(engine)) == (0, [])


def test_a_condition_that_fails_does_not_lose_the_event(
    sqlite_engine: Engine, make_line: Callable[..., Line], vhost: Vhost
) -> None:
    line = make_line(sqlite_engine, Plugin("alpha", wants=lambda event: 1 / 0))
    line.send(*stories(1))
    with channel_at(vhost) as channel:
        channel.queue_purge(QUEUE)
    assert line.look() == Tally(republished=1)
    line.publish()
    line.consume()  # now it has a row, and its attempts are counted there
    assert line.look() == Tally(handled=1)


def test_an_attempt_that_nobody_can_repeat_is_no_outcome(
    engine: Engine, make_line: Callable[..., Line], vhost: Vhost
) -> None:
    """The call killed its consumer, and then the broker lost the delivery."""
    line = make_line(engine, Plugin("alpha"))
    (event,) = line.send(*stories(1))
    with channel_at(vhost) as channel:
        channel.queue_purge(QUEUE)
    with short_transaction(engine) as connection:
        estate.blame(connection, event.id, 1, Failure("killed", delay=0.0), "host/1/99")
    assert line.look() == Tally(republished=1)
    line.publish()
    line.consume()
    assert line.workshop.runner.run_due() == 1
    assert line.look() == Tally(handled=1)
    assert effects(engine) == ["alpha"]


def test_a_reconciler_that_dies_between_two_events_is_nobodys_fault(
    sqlite_engine: Engine, make_line: Callable[..., Line]
) -> None:
    line = make_line(sqlite_engine, Plugin("alpha", wants=lambda event: True))
    line.send(*stories(1))
    assert line.reconciler.look() == Tally(waiting=1)
    assert line.workshop.slot.read() is None


def test_a_plugin_that_came_after_the_event_is_not_owed_it(
    engine: Engine, make_line: Callable[..., Line]
) -> None:
    line = make_line(engine, Plugin("alpha"))
    line.send(*stories(2))
    line.consume()
    beta = loaded(Plugin("beta"))
    line.workshop.plugins.append(beta)
    line.workshop.register(["beta"])
    assert line.look() == Tally(handled=2)


def test_one_plugin_without_an_outcome_is_enough_and_its_neighbour_is_not_called_again(
    sqlite_engine: Engine, make_line: Callable[..., Line], vhost: Vhost
) -> None:
    """The process died between the two, and then the broker lost the delivery."""
    alpha = Plugin("alpha")
    line = make_line(sqlite_engine, alpha, Plugin("beta"))
    (event,) = line.send(*stories(1))
    with channel_at(vhost) as channel:
        channel.queue_purge(QUEUE)
    only_alpha = Workshop(sqlite_engine, loaded(alpha))
    with short_transaction(sqlite_engine) as connection:
        registry.sync(connection, [], ["beta"])
    only_alpha.dispatch(event)
    with short_transaction(sqlite_engine) as connection:
        connection.exec_driver_sql("DELETE FROM eventworker_inbox WHERE outcome = 5")
        registry.sync(connection, ["beta"], [])
    line.plugins_are_older_by(timedelta(days=1))
    assert line.look() == Tally(republished=1)
    line.publish()
    line.consume()
    assert effects(sqlite_engine) == ["alpha", "beta"]
    assert alpha.calls == 1


def test_what_may_still_be_in_somebodys_hands_is_left_alone(
    sqlite_engine: Engine, make_line: Callable[..., Line]
) -> None:
    line = make_line(sqlite_engine, Plugin("alpha"), in_hand=900.0)
    line.send(*stories(1))
    subscription = line.transport.subscribe(10)
    wait_until(lambda: line.transport.depth() == 0)
    assert line.look() == Tally(waiting=1)
    subscription.close()


def test_of_a_plugin_that_is_not_loaded_here_nothing_is_decided(
    engine: Engine, make_line: Callable[..., Line], vhost: Vhost
) -> None:
    line = make_line(engine, Plugin("alpha"), known_here=False)
    line.send(*stories(1))
    with channel_at(vhost) as channel:
        channel.queue_purge(QUEUE)
    assert line.look() == Tally(unsure=1)
    assert line.unproven() == 1


def test_what_its_configuration_keeps_from_such_a_plugin_is_decided(
    sqlite_engine: Engine, make_line: Callable[..., Line]
) -> None:
    only_tasks = Filter(resources=frozenset({"task"}))
    line = make_line(
        sqlite_engine, Plugin("alpha"), known_here=False, narrowing=lambda name: only_tasks
    )
    line.send(*stories(1))
    assert line.look() == Tally(handled=1)


def test_what_is_lost_again_and_again_is_given_up_with_an_error(
    engine: Engine,
    make_line: Callable[..., Line],
    vhost: Vhost,
    caplog: pytest.LogCaptureFixture,
) -> None:
    line = make_line(engine, Plugin("alpha"))
    (event,) = line.send(*stories(1))
    for _ in range(LIMIT):
        with channel_at(vhost) as channel:
            channel.queue_purge(QUEUE)
        assert line.look() == Tally(republished=1)
        line.publish()
    with channel_at(vhost) as channel:
        channel.queue_purge(QUEUE)
    with caplog.at_level(logging.ERROR):
        assert line.look() == Tally(lost=1)
    assert f"outbox retry {event.id}" in caplog.text
    (row,) = line.rows().values()
    assert (row.state, row.republished, row.check_at) == (LOST, LIMIT, None)
    assert "never handled" in row.error
    assert line.look() == Tally()


def test_what_is_published_again_is_not_kept_for_longer(
    engine: Engine, make_line: Callable[..., Line], vhost: Vhost
) -> None:
    """The inbox remembers an event for so long after it was sent first, and then forgets it."""
    line = make_line(engine, Plugin("alpha"))
    (event,) = line.send(*stories(1))
    before = line.rows()[event.id]
    with channel_at(vhost) as channel:
        channel.queue_purge(QUEUE)
    assert line.look() == Tally(republished=1)
    line.publish()
    after = line.rows()[event.id]
    assert after.settled_at == before.settled_at
    assert after.sent_at > before.sent_at


def test_two_reconcilers_publish_it_again_once(
    engine: Engine, make_line: Callable[..., Line], vhost: Vhost
) -> None:
    one = make_line(engine, Plugin("alpha"))
    one.send(*stories(4))
    with channel_at(vhost) as channel:
        channel.queue_purge(QUEUE)
    other = make_line(engine, Plugin("alpha"))
    before = one.reconciler._now()
    with short_transaction(engine) as connection:
        seen = sent.unproven(connection, 10, None, None)
    assert other.reconciler.sweep(before) == Tally(republished=4)
    other.publish()
    with short_transaction(engine) as connection:
        assert sent.republish(connection, seen) == 0
    assert depth(vhost) == 4


def test_a_horizon_waits_for_what_is_in_hand_and_forgets_when_told(engine: Engine) -> None:
    with engine.connect() as connection:
        start = connection.scalar(select(clock()))
    assert start is not None
    horizon = Horizon(in_hand=60.0)
    horizon.note(start, start)
    assert horizon.at(start + timedelta(seconds=59)) is None
    assert horizon.at(start + timedelta(seconds=60)) == start
    later = start + timedelta(seconds=30)
    horizon.note(later, later)
    horizon.note(later + timedelta(seconds=1), start)  # an older fact takes nothing back
    assert horizon.at(start + timedelta(seconds=91)) == later
    horizon.forget()
    assert horizon.at(start + timedelta(days=1)) is None
