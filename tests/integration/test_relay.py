"""From the outbox to the broker: settled after the confirm, and never before."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from sqlalchemy import Engine, insert, update
from sqlalchemy.orm import Session

from eventworker import failpoints, outbox
from eventworker.db import clock, short_transaction
from eventworker.engine.relay import Relay
from eventworker.errors import TransportUnavailable
from eventworker.event import uuid7
from eventworker.outbox import queue
from eventworker.outbox.table import DEAD, READY, SENT, outbox_table
from eventworker.transports.rabbit import RabbitTransport
from tests.helpers.databases import outbox_states, rows
from tests.helpers.deliveries import take
from tests.helpers.events import make_event
from tests.helpers.rabbit import channel_at, depth, settings_at
from tests.servers import RabbitServer, Vhost, wait_until


@pytest.fixture
def transport(vhost: Vhost) -> Iterator[RabbitTransport]:
    built = RabbitTransport(settings_at(vhost, binding_keys=("story", "task")))
    yield built
    built.close()


def record(engine: Engine, *resources: str) -> list[object]:
    with Session(engine) as session:
        made = [outbox.record(session, make_event(resource=each)).id for each in resources]
        session.commit()
    return list(made)


def relay_of(engine: Engine, transport: RabbitTransport, batch: int = 100) -> Relay:
    return Relay(engine, transport, batch, "host/1/100")


def free_everything(engine: Engine) -> None:
    with short_transaction(engine) as connection:
        connection.execute(update(outbox_table).values(leased_until=clock(-1.0)))


@contextmanager
def killed_after_the_confirm() -> Iterator[None]:
    """The relay's process ends after the broker has confirmed."""

    def die() -> None:
        raise SystemExit

    failpoints.arm("relay.confirmed", die)
    try:
        yield
    finally:
        failpoints.arm("relay.confirmed", None)


def test_what_is_ready_is_published_once_in_order(
    engine: Engine, transport: RabbitTransport, vhost: Vhost
) -> None:
    made = record(engine, *["story"] * 5)
    relay = relay_of(engine, transport, batch=2)
    assert [relay.run_once() for _ in range(4)] == [2, 2, 1, 0]
    assert outbox_states(engine) == [SENT] * 5
    assert depth(vhost) == 5
    subscription = transport.subscribe(10)
    assert [delivery.event_id for delivery in take(subscription, 5)] == made
    subscription.close()


def test_a_relay_that_dies_between_confirm_and_settling_leaves_a_duplicate_on_the_wire(
    engine: Engine, transport: RabbitTransport, vhost: Vhost
) -> None:
    (event_id,) = record(engine, "story")
    with killed_after_the_confirm(), pytest.raises(SystemExit):
        relay_of(engine, transport).run_once()
    assert outbox_states(engine) == [READY]
    assert relay_of(engine, transport).run_once() == 0  # the lease of the dead
    free_everything(engine)
    assert relay_of(engine, transport).run_once() == 1
    assert outbox_states(engine) == [SENT]
    assert depth(vhost) == 2
    subscription = transport.subscribe(10)
    assert {delivery.event_id for delivery in take(subscription, 2)} == {event_id}
    subscription.close()


def test_an_unroutable_event_stays_and_holds_nobody_up(
    engine: Engine, transport: RabbitTransport, vhost: Vhost
) -> None:
    record(engine, "comment", "story", "comment", "task")
    assert relay_of(engine, transport).run_once() == 4
    assert outbox_states(engine) == [READY, SENT, READY, SENT]
    assert depth(vhost) == 2
    assert relay_of(engine, transport).run_once() == 0  # not again at once
    free_everything(engine)
    assert relay_of(engine, transport).run_once() == 2
    assert outbox_states(engine) == [READY, SENT, READY, SENT]


def test_thousands_that_no_queue_is_bound_for_cost_the_others_one_batch(
    engine: Engine, transport: RabbitTransport, vhost: Vhost
) -> None:
    record(engine, *["comment"] * 1000)
    record(engine, "story", "task")
    relay = relay_of(engine, transport)
    assert relay.run_once() == 100
    assert relay.run_once() == 2
    assert relay.run_once() == 0
    assert depth(vhost) == 2
    # However often they are due again: one batch tries, and new events go before the rest.
    for _ in range(3):
        free_everything(engine)
        record(engine, "story")
        relay._unroutable.clear()  # half a minute later
        assert relay.run_once() == 100
        assert relay.run_once() == 1
    assert depth(vhost) == 5


def test_they_are_sent_when_a_queue_is_bound_for_them(
    sqlite_engine: Engine, transport: RabbitTransport, vhost: Vhost
) -> None:
    record(sqlite_engine, *["comment"] * 3, "story")
    relay = relay_of(sqlite_engine, transport)
    assert relay.run_once() == 4
    with channel_at(vhost) as channel:
        channel.queue_bind("storyboard_events", "storyboard", "comment")
    free_everything(sqlite_engine)
    relay._unroutable.clear()  # half a minute later
    assert relay.run_once() == 3
    assert depth(vhost) == 4


def test_two_relays_on_two_hosts_never_send_the_same_event(
    engine: Engine, vhost: Vhost, new_engine: Callable[[str], Engine]
) -> None:
    record(engine, *["story"] * 400)
    url = engine.url.render_as_string(hide_password=False)
    transports = [RabbitTransport(settings_at(vhost)) for _ in range(2)]
    relays = [
        Relay(new_engine(url), each, 20, f"host/{number}/1")
        for number, each in enumerate(transports)
    ]
    # Both are connected, so that neither has it all before the other has begun.
    found = [each.run_once() for each in relays]
    assert found == [20, 20]

    def relay_all(number: int) -> None:
        # On MariaDB and SQLite one may find nothing while the other holds what it looked at.
        while READY in outbox_states(engine):
            found[number] += relays[number].run_once()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(relay_all, range(2)))
    for each in transports:
        each.close()
    assert sum(found) == 400
    assert depth(vhost) == 400
    assert outbox_states(engine) == [SENT] * 400


def test_what_a_killed_relay_had_claimed_is_another_ones_when_its_lease_is_freed(
    engine: Engine, transport: RabbitTransport, vhost: Vhost
) -> None:
    record(engine, *["story"] * 3)
    with short_transaction(engine) as connection:
        assert len(queue.claim(connection, 10, 90.0, "host/1/666")) == 3
    relay = relay_of(engine, transport)
    assert relay.run_once() == 0
    with short_transaction(engine) as connection:
        assert queue.release_owner(connection, "host/1/666") == 3
    assert relay.run_once() == 3
    assert depth(vhost) == 3


def test_a_row_that_can_never_be_published_is_buried_alone(
    engine: Engine, transport: RabbitTransport, vhost: Vhost
) -> None:
    record(engine, "story")
    # Past every check, as by somebody's own INSERT: AMQP's routing keys end at 255 bytes.
    row = {"id": uuid7(), "time": make_event().time, "source": "", "resource": "語" * 120}
    with short_transaction(engine) as connection:
        connection.execute(insert(outbox_table).values(**row, body=b"{}", state=READY, claims=0))
    record(engine, "task")
    assert relay_of(engine, transport).run_once() == 3
    assert outbox_states(engine) == [SENT, DEAD, SENT]
    assert rows(engine, outbox_table)[1].error
    assert depth(vhost) == 2


def test_while_the_broker_is_away_everything_waits_in_the_outbox(
    sqlite_engine: Engine, own_rabbit_server: Callable[..., RabbitServer]
) -> None:
    server = own_rabbit_server()
    transport = RabbitTransport(settings_at(server.at("/")))
    assert transport.publish([]) == []
    server.stop()
    record(sqlite_engine, "story", "task")
    relay = relay_of(sqlite_engine, transport)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("eventworker.engine.relay._CONFIRM_TIMEOUT", 0.3)
        with pytest.raises(TransportUnavailable):
            relay.run_once()
    assert outbox_states(sqlite_engine) == [READY, READY]
    server.start()
    free_everything(sqlite_engine)
    assert relay.run_once() == 2
    assert outbox_states(sqlite_engine) == [SENT, SENT]
    assert depth(server.at("/")) == 2
    transport.close()


def test_all_that_is_ready_goes_in_order_batch_after_batch(
    engine: Engine, transport: RabbitTransport, vhost: Vhost
) -> None:
    made = record(engine, *["story"] * 25)
    assert relay_of(engine, transport, batch=4).run_until_empty() == 25
    assert outbox_states(engine) == [SENT] * 25
    subscription = transport.subscribe(50)
    assert [delivery.event_id for delivery in take(subscription, 25)] == made
    subscription.close()


def test_one_that_is_told_to_stop_settles_what_is_on_its_way(
    engine: Engine, transport: RabbitTransport, vhost: Vhost
) -> None:
    record(engine, *["story"] * 20)
    answers = iter([False] * 3 + [True] * 10)
    assert relay_of(engine, transport, batch=4).run_until_empty(lambda: next(answers)) == 12
    assert outbox_states(engine) == [SENT] * 12 + [READY] * 8
    assert depth(vhost) == 12


def test_killed_with_two_batches_on_their_way_it_publishes_both_again(
    engine: Engine, transport: RabbitTransport, vhost: Vhost
) -> None:
    made = record(engine, *["story"] * 10)
    with killed_after_the_confirm(), pytest.raises(SystemExit):
        relay_of(engine, transport, batch=4).run_until_empty()
    assert outbox_states(engine) == [READY] * 10
    free_everything(engine)
    assert relay_of(engine, transport, batch=4).run_until_empty() == 10
    assert outbox_states(engine) == [SENT] * 10
    wait_until(lambda: depth(vhost) == 18, 10, "the first two batches are not there twice")
    subscription = transport.subscribe(50)
    assert {delivery.event_id for delivery in take(subscription, 18)} == set(made)
    subscription.close()
