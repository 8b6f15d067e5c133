"""A broker that is there and refuses: alarms, time-outs, permissions, policies, wrong topology."""

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from eventworker.errors import TransportUnavailable, Unpublishable, Unroutable
from eventworker.transport import Subscription
from eventworker.transports.rabbit import RabbitSettings, RabbitTransport
from tests.helpers.deliveries import take
from tests.helpers.events import make_message, number_of, numbered
from tests.helpers.rabbit import channel_at, depth, settings_at
from tests.servers import RabbitServer, Vhost, wait_until

QUEUE, EXCHANGE = "storyboard_events", "storyboard"
PASSWORD = "correct-horse-battery"


@pytest.fixture(scope="module")
def broker() -> Iterator[RabbitServer]:
    """A broker whose settings these tests change; each puts them back."""
    with RabbitServer() as server:
        yield server


@pytest.fixture
def place(broker: RabbitServer) -> Iterator[Vhost]:
    """A virtual host with a user of its own."""
    made = broker.add_vhost()
    user = f"user-{made.vhost}"
    add_user(broker, made.vhost, user)
    yield replace(made, user=user, password=PASSWORD)
    broker.delete_vhost(made.vhost)


def add_user(broker: RabbitServer, vhost: str, user: str) -> None:
    broker.evaluate(
        f'rabbit_auth_backend_internal:add_user(<<"{user}">>, <<"{PASSWORD}">>, <<"tests">>)'
    )
    permit(broker, vhost, user)


def permit(
    broker: RabbitServer,
    vhost: str,
    user: str,
    configure: str = ".*",
    write: str = ".*",
    read: str = ".*",
) -> None:
    broker.evaluate(
        f'rabbit_auth_backend_internal:set_permissions(<<"{user}">>, <<"{vhost}">>,'
        f' <<"{configure}">>, <<"{write}">>, <<"{read}">>, <<"tests">>)'
    )


@pytest.fixture
def connect(place: Vhost) -> Iterator[Callable[..., RabbitTransport]]:
    made: list[RabbitTransport] = []
    subscriptions: list[Subscription] = []

    def build(**settings: Any) -> RabbitTransport:
        transport = Closing(settings_at(place, **settings))
        transport.opened = subscriptions
        made.append(transport)
        return transport

    yield build
    for each in (*subscriptions, *made):
        each.close()


class Closing(RabbitTransport):
    """Its subscriptions end with the test, whatever the test does."""

    opened: list[Subscription]

    def subscribe(self, prefetch: int, owner: str = "", hold: float = 60.0) -> Subscription:
        self.opened.append(super().subscribe(prefetch, owner, hold))
        return self.opened[-1]


@pytest.fixture
def transport(connect: Callable[..., RabbitTransport]) -> RabbitTransport:
    return connect()


@contextmanager
def alarm(broker: RabbitServer, kind: str) -> Iterator[None]:
    resource = f"{{resource_limit, {kind}, node()}}"
    broker.evaluate(f"rabbit_alarm:set_alarm({{{resource}, []}})")
    # That only leaves a message; when this question is answered, the connections have been told.
    broker.evaluate("rabbit_alarm:get_alarms()")
    try:
        yield
    finally:
        broker.evaluate(f"rabbit_alarm:clear_alarm({resource})")


@contextmanager
def setting(broker: RabbitServer, **values: str) -> Iterator[None]:
    before = {name: broker.evaluate(f"application:get_env(rabbit, {name})") for name in values}
    for name, value in values.items():
        broker.evaluate(f"application:set_env(rabbit, {name}, {value})")
    try:
        yield
    finally:
        for name, found in before.items():
            value = found.removeprefix("{ok,").removesuffix("}")
            broker.evaluate(f"application:set_env(rabbit, {name}, {value})")


@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_an_alarm_stops_publishing_with_its_reason_and_lets_consumers_go_on(
    broker: RabbitServer, place: Vhost, transport: RabbitTransport, kind: str
) -> None:
    subscription = transport.subscribe(2)
    assert transport.publish(numbered(5)) == [None] * 5
    with alarm(broker, kind):
        started = time.monotonic()
        # The broker says so when the connection publishes next; after that nothing is sent at all.
        for _ in range(3):
            (error,) = transport.publish([make_message(resource_id=9)], timeout=1.0)
            assert isinstance(error, TransportUnavailable)
        assert time.monotonic() - started < 10
        assert "blocks" in str(error)
        assert "low on" in str(error)
        for expected in range(5):
            (delivery,) = take(subscription)
            assert number_of(delivery.body) == expected
            delivery.ack()
    assert transport.publish([make_message(resource_id=10)], timeout=20) == [None]
    numbers = []
    while numbers[-1:] != [10]:
        (delivery,) = take(subscription)
        numbers.append(number_of(delivery.body))
        delivery.ack()
    # One of the three was on its way when the broker said so.
    assert numbers in ([9, 10], [10])
    subscription.close()
    assert depth(place) == 0


def test_an_alarm_that_is_there_at_the_start_is_waited_for(
    broker: RabbitServer, place: Vhost, transport: RabbitTransport
) -> None:
    with alarm(broker, "memory"):
        (error,) = transport.publish([make_message()], timeout=3.0)
        assert isinstance(error, TransportUnavailable)
    assert transport.publish([make_message()], timeout=20) == [None]
    transport.close()


def test_a_publisher_that_waits_can_be_told_to_give_up(
    broker: RabbitServer, transport: RabbitTransport
) -> None:
    assert transport.publish([make_message()]) == [None]
    with alarm(broker, "memory"):
        timer = threading.Timer(0.5, transport.interrupt)
        timer.start()
        started = time.monotonic()
        (error,) = transport.publish([make_message()], timeout=30.0)
        assert time.monotonic() - started < 5
        assert isinstance(error, TransportUnavailable)
        timer.join()


def test_a_delivery_that_is_held_too_long_costs_the_channel_and_not_the_events(
    broker: RabbitServer, place: Vhost, connect: Callable[..., RabbitTransport]
) -> None:
    with setting(broker, consumer_timeout="1000", channel_tick_interval="300"):
        subscription = connect().subscribe(5)
        assert connect().publish(numbered(3)) == [None] * 3
        of_before = take(subscription, 3)
        again = []
        while len(again) < 3:
            (delivery,) = take(subscription)
            again.append(delivery)
        # Their tags mean other deliveries on the new channel.
        for delivery in of_before:
            delivery.ack()
        assert [number_of(each.body) for each in again] == [0, 1, 2]
        assert all(each.redelivered for each in again)
        again[0].ack()
        wait_until(lambda: total(broker, place) == 2, 20, "the one ack did not arrive")
        subscription.close()
    assert depth(place) == 2


def total(broker: RabbitServer, place: Vhost) -> int:
    """Messages in the queue and in somebody's hands."""
    listed = broker.evaluate(
        f'[V || Q <- rabbit_amqqueue:list(<<"{place.vhost}">>), '
        "{messages, V} <- rabbit_amqqueue:info(Q, [messages])]"
    )
    return int(listed.strip("[]") or 0)


def policy(broker: RabbitServer, place: Vhost) -> str:
    """The policy that the queue itself knows of; it hears of one a while after the command."""
    listed = broker.evaluate(
        f'[V || Q <- rabbit_amqqueue:list(<<"{place.vhost}">>), '
        "{policy, V} <- rabbit_amqqueue:info(Q, [policy])]"
    )
    return listed.strip('[]<>"')


def test_a_message_that_is_too_large_for_the_broker_is_refused_alone(
    broker: RabbitServer, connect: Callable[..., RabbitTransport], place: Vhost
) -> None:
    with setting(broker, max_message_size="20000"):
        transport = connect()
        large = make_message(resource_after={"text": "x" * 30_000})
        messages = [*numbered(3), large, *numbered(3)]
        for _ in range(5):
            results = transport.publish(messages, timeout=10)
            assert not any(isinstance(each, Unroutable) for each in results)
            if isinstance(results[3], Unpublishable):
                break
        assert isinstance(results[3], Unpublishable)
        assert "20000" in str(results[3])
        rest = [*messages[:3], *messages[4:]]
        assert transport.publish(rest, timeout=10) == [None] * 6
    assert depth(place) >= 6


def test_an_exchange_that_is_deleted_is_made_again(
    place: Vhost, transport: RabbitTransport
) -> None:
    subscription = transport.subscribe(5)
    assert transport.publish([make_message()]) == [None]
    with channel_at(place) as channel:
        channel.exchange_delete(EXCHANGE)
    wait_until(lambda: transport.publish([make_message(resource_id=2)], 5) == [None], 15)
    assert 2 in {number_of(take(subscription)[0].body) for _ in range(2)}
    subscription.close()


def test_a_binding_that_is_removed_is_made_again(place: Vhost, transport: RabbitTransport) -> None:
    subscription = transport.subscribe(5)
    assert transport.publish([make_message()]) == [None]
    with channel_at(place) as channel:
        channel.queue_unbind(QUEUE, EXCHANGE, "#")
    assert transport.publish(numbered(3)) == [None] * 3
    subscription.close()


def test_a_broker_that_is_full_refuses_and_keeps_nothing_of_it(
    broker: RabbitServer, place: Vhost, transport: RabbitTransport
) -> None:
    assert transport.publish(numbered(1)) == [None]
    limits = '{"max-length": 3, "overflow": "reject-publish"}'
    broker.ctl("set_policy", "--vhost", place.vhost, "full", QUEUE, limits)
    wait_until(lambda: policy(broker, place) == "full", message="the queue is under no policy")
    results = transport.publish(numbered(6), timeout=5)
    refused = [each for each in results if each is not None]
    assert refused
    assert {str(each) for each in refused} == {"the broker refused it (basic.nack)"}
    assert total(broker, place) == 1 + results.count(None)


# What is put right without a restart.


def until_it_works(transport: RabbitTransport, subscription: Subscription, number: int) -> None:
    wait_until(
        lambda: transport.publish([make_message(resource_id=number)], 2) == [None],
        20,
        "nothing is published",
    )
    numbers: set[object] = set()
    while number not in numbers:
        (delivery,) = take(subscription)
        numbers.add(number_of(delivery.body))
        delivery.ack()


def told(caplog: pytest.LogCaptureFixture, module: str, word: str) -> list[str]:
    lines = [each.getMessage() for each in caplog.records if each.name.endswith(module)]
    return [line for line in lines if "next try" in line and word in line]


def log_says(caplog: pytest.LogCaptureFixture, place: Vhost, word: str) -> None:
    """Both ends say what is wrong, with the names that help, and never the password."""
    ends = ("publisher", "subscription")
    wait_until(lambda: all(told(caplog, end, word) for end in ends), 15, lambda: caplog.text)
    for end in ends:
        assert f"vhost {place.vhost}, user {place.user}" in told(caplog, end, word)[-1]
    assert PASSWORD not in caplog.text


def test_a_user_that_is_deleted_is_named_until_it_is_back(
    broker: RabbitServer,
    place: Vhost,
    transport: RabbitTransport,
    caplog: pytest.LogCaptureFixture,
) -> None:
    subscription = transport.subscribe(5)
    until_it_works(transport, subscription, 1)
    with caplog.at_level(logging.WARNING):
        broker.evaluate(f'rabbit_auth_backend_internal:delete_user(<<"{place.user}">>, <<"t">>)')
        broker.ctl("close_all_connections", "--vhost", place.vhost, "by the test")
        log_says(caplog, place, "Login was refused")
    add_user(broker, place.vhost, place.user)
    until_it_works(transport, subscription, 2)
    subscription.close()


def test_a_virtual_host_that_is_deleted_is_named_until_it_is_back(
    broker: RabbitServer,
    place: Vhost,
    transport: RabbitTransport,
    caplog: pytest.LogCaptureFixture,
) -> None:
    subscription = transport.subscribe(5)
    until_it_works(transport, subscription, 1)
    with caplog.at_level(logging.WARNING):
        broker.delete_vhost(place.vhost)
        log_says(caplog, place, "not found")
    broker.add_vhost(place.vhost)
    permit(broker, place.vhost, place.user)
    until_it_works(transport, subscription, 2)
    subscription.close()


def test_a_right_that_is_taken_away_is_named_and_asked_for_ever_more_seldom(
    broker: RabbitServer,
    place: Vhost,
    connect: Callable[..., RabbitTransport],
    caplog: pytest.LogCaptureFixture,
) -> None:
    transport = connect(retry_delay=60.0)
    assert transport.publish([make_message()]) == [None]
    permit(broker, place.vhost, place.user, write="nothing")
    broker.ctl("close_all_connections", "--vhost", place.vhost, "by the test")
    with caplog.at_level(logging.WARNING):
        ends = time.monotonic() + 6
        while time.monotonic() < ends:
            (error,) = transport.publish([make_message()], 0.2)
        assert isinstance(error, TransportUnavailable)
    assert "ACCESS_REFUSED" in caplog.text
    # Doubling from a quarter of a second on: no more than five in six seconds.
    assert 2 <= caplog.text.count("next try") <= 5


def test_a_consumer_that_may_not_read_asks_ever_more_seldom_and_goes_on_when_it_may(
    broker: RabbitServer,
    place: Vhost,
    connect: Callable[..., RabbitTransport],
    caplog: pytest.LogCaptureFixture,
) -> None:
    transport = connect(retry_delay=3.0)
    subscription = transport.subscribe(5)
    until_it_works(transport, subscription, 1)
    permit(broker, place.vhost, place.user, read="nothing")
    broker.ctl("close_all_connections", "--vhost", place.vhost, "by the test")
    with caplog.at_level(logging.WARNING):
        wait_until(lambda: len(told(caplog, "subscription", "ACCESS_REFUSED")) >= 3, 15)
        pauses = [line.rpartition("in ")[2] for line in told(caplog, "subscription", "")]
    assert float(pauses[-1].removesuffix(" s")) >= 1.0, pauses
    permit(broker, place.vhost, place.user)
    until_it_works(transport, subscription, 2)


def test_a_port_that_answers_nothing_is_asked_ever_more_seldom(place: Vhost) -> None:
    """It takes the connection and closes it at once, as many a proxy without a server does."""
    times: list[float] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def refuse() -> None:
            while True:
                try:
                    server.accept()[0].close()
                except OSError:
                    return
                times.append(time.monotonic())

        thread = threading.Thread(target=refuse, daemon=True)
        thread.start()
        port = server.getsockname()[1]
        settings = settings_at(place, port=port, retry_delay=1.0, connection_attempts=2)
        transport = RabbitTransport(settings)
        subscription = transport.subscribe(5)
        assert transport.publish([make_message()], 6.0) != [None]
        transport.interrupt()
        subscription.close()
        transport.close()
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)
    # Two ends, for each of them two at once and then one every 0.5 to 1 s.
    assert 8 <= len(times) <= 32, times


def test_the_pause_never_ends_up_below_a_tenth_of_a_second() -> None:
    settings = RabbitSettings(retry_delay=0.0)
    assert all(settings.pause(failures) >= 0.05 for failures in range(1, 50))
    assert all(5 <= RabbitSettings().pause(failures) <= 10 for failures in range(7, 50))
