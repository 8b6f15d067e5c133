"""A broker that stops, loses its queue, or comes back: nothing confirmed is lost."""

import time
from collections.abc import Callable, Iterator

import pytest

from eventworker.errors import TransportUnavailable
from eventworker.transports.rabbit import RabbitTransport
from tests.helpers.deliveries import nothing_comes, take
from tests.helpers.events import make_message, number_of, numbered
from tests.helpers.rabbit import channel_at, consumers, depth, has_queue, settings_at
from tests.servers import RabbitServer, Vhost, wait_until

QUEUE = "storyboard_events"


@pytest.fixture(scope="module")
def broker() -> Iterator[RabbitServer]:
    """A broker that these tests may stop; each leaves it running."""
    with RabbitServer() as server:
        yield server


@pytest.fixture
def place(broker: RabbitServer) -> Iterator[Vhost]:
    made = broker.add_vhost()
    yield made
    broker.delete_vhost(made.vhost)


@pytest.fixture
def transport(place: Vhost) -> Iterator[RabbitTransport]:
    built = RabbitTransport(settings_at(place))
    yield built
    built.close()


@pytest.mark.parametrize("end", [RabbitServer.stop, RabbitServer.kill])
def test_what_was_confirmed_survives_the_broker_and_consumption_goes_on(
    broker: RabbitServer,
    place: Vhost,
    transport: RabbitTransport,
    end: Callable[[RabbitServer], None],
) -> None:
    subscription = transport.subscribe(2)
    assert transport.publish(numbered(5)) == [None] * 5
    of_before = take(subscription, 2)
    end(broker)
    assert nothing_comes(subscription)
    (error,) = transport.publish([make_message()], timeout=0.5)
    assert isinstance(error, TransportUnavailable)
    broker.start()
    # The tags of the old channel mean other messages on the new one: such an ack is dropped.
    (again,) = take(subscription)
    for delivery in of_before:
        delivery.ack()
    numbers = {number_of(again.body)}
    again.ack()
    wait_until(lambda: depth(place) + unacked(broker, place) == 4)
    while len(numbers) < 5:
        (delivery,) = take(subscription)
        numbers.add(number_of(delivery.body))
        delivery.ack()
    assert numbers == set(range(5))
    assert transport.publish([make_message(resource_id=99)], timeout=20) == [None]
    assert number_of(take(subscription)[0].body) == 99
    subscription.close()


def test_what_was_gathered_of_a_lost_channel_comes_again_once(
    broker: RabbitServer, place: Vhost, transport: RabbitTransport
) -> None:
    subscription = transport.subscribe(6)
    assert transport.publish(numbered(6)) == [None] * 6
    of_before = subscription.gather(3, 20.0, linger=20.0)
    assert len(of_before) == 3
    broker.kill()
    broker.start()
    wait_until(lambda: consumers(place) == 1)
    gathered = []
    while len(gathered) < 6:
        gathered += subscription.gather(6, 1.0)
    for delivery in of_before:
        delivery.ack()
    assert sorted(number_of(each.body) for each in gathered) == list(range(6))
    assert nothing_comes(subscription)
    for delivery in gathered:
        delivery.ack()
    subscription.close()
    assert depth(place) == 0


def test_a_publisher_that_starts_before_the_broker_recovers(
    broker: RabbitServer, place: Vhost
) -> None:
    broker.stop()
    transport = RabbitTransport(settings_at(place))
    results = transport.publish(numbered(3), timeout=0.3)
    assert [type(result) for result in results] == [TransportUnavailable] * 3
    assert str(broker.port) in str(results[0])
    broker.start()
    assert transport.publish(numbered(3), timeout=20) == [None] * 3
    assert depth(place) == 3
    transport.close()


def close_connections(broker: RabbitServer, place: Vhost) -> None:
    broker.ctl("close_all_connections", "--vhost", place.vhost, "by the test")


def test_a_connection_that_the_broker_closes_is_made_again(
    broker: RabbitServer, place: Vhost, transport: RabbitTransport
) -> None:
    subscription = transport.subscribe(5)
    transport.publish(numbered(2))
    one, _two = take(subscription, 2)
    one.ack()
    wait_until(lambda: unacked(broker, place) == 1)
    close_connections(broker, place)
    (again,) = take(subscription)
    assert (number_of(again.body), again.redelivered) == (1, True)
    again.ack()
    assert transport.publish([make_message()], timeout=20) == [None]
    take(subscription)[0].ack()
    subscription.close()
    assert depth(place) == 0


def unacked(broker: RabbitServer, place: Vhost) -> int:
    """Messages that are in somebody's hands."""
    listed = broker.evaluate(
        f'[V || Q <- rabbit_amqqueue:list(<<"{place.vhost}">>), '
        "{messages_unacknowledged, V} <- rabbit_amqqueue:info(Q, [messages_unacknowledged])]"
    )
    return int(listed.strip("[]") or 0)


def test_a_deleted_queue_is_made_again_and_consumed(
    place: Vhost, transport: RabbitTransport
) -> None:
    subscription = transport.subscribe(5)
    transport.publish([make_message()])
    (of_before,) = take(subscription)
    with channel_at(place) as channel:
        channel.queue_delete(QUEUE)
    wait_until(lambda: has_queue(place) and consumers(place) == 1, 20)
    of_before.ack()
    assert transport.publish([make_message(resource_id=5)]) == [None]
    (delivery,) = take(subscription)
    assert number_of(delivery.body) == 5
    delivery.ack()
    subscription.close()
    assert depth(place) == 0


def test_a_queue_that_is_deleted_while_paused_does_not_end_the_pause(
    place: Vhost, transport: RabbitTransport
) -> None:
    subscription = transport.subscribe(5)
    wait_until(lambda: has_queue(place) and consumers(place) == 1)
    subscription.pause()
    wait_until(lambda: consumers(place) == 0)
    assert transport.publish([make_message()]) == [None]
    assert nothing_comes(subscription)
    assert depth(place) == 1
    subscription.resume()
    take(subscription)[0].ack()
    subscription.close()


def test_closing_gives_back_at_once_what_was_not_settled(
    place: Vhost, transport: RabbitTransport
) -> None:
    subscription = transport.subscribe(5)
    transport.publish(numbered(4))
    one, *_others = take(subscription, 3)
    one.ack()
    subscription.close()
    wait_until(lambda: depth(place) == 3)
    assert consumers(place) == 0


def test_closing_does_not_wait_for_a_broker_that_is_away(
    broker: RabbitServer, transport: RabbitTransport
) -> None:
    subscription = transport.subscribe(5)
    transport.publish([make_message()])
    (delivery,) = take(subscription)
    broker.stop()
    delivery.ack()
    started = time.monotonic()
    subscription.close()
    assert time.monotonic() - started < 8
    broker.start()
