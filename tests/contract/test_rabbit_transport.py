"""What RabbitMQ adds to the contract: routing, strangers on the wire, topology that is not ours."""

import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from eventworker import cloudevents
from eventworker.errors import TransportUnavailable, Unpublishable, Unroutable
from eventworker.transport import Message
from eventworker.transports.rabbit import RabbitTransport
from tests.helpers.deliveries import take
from tests.helpers.events import TRACEPARENT, make_event, make_message, number_of, numbered
from tests.helpers.rabbit import (
    channel_at,
    consumers,
    depth,
    has_queue,
    send_raw,
    settings_at,
)
from tests.servers import Vhost, wait_until

Connect = Callable[..., RabbitTransport]
QUEUE, EXCHANGE = "storyboard_events", "storyboard"


@pytest.fixture
def connect(vhost: Vhost) -> Iterator[Connect]:
    made: list[RabbitTransport] = []

    def build(**settings: Any) -> RabbitTransport:
        made.append(RabbitTransport(settings_at(vhost, **settings)))
        return made[-1]

    yield build
    for transport in made:
        transport.close()


@pytest.fixture
def one(connect: Connect) -> Iterator[Any]:
    """A subscription, once its queue is there."""
    transport = connect()
    assert transport.publish([make_message()]) == [None]
    subscription = transport.subscribe(10)
    take(subscription)[0].ack()
    yield subscription
    subscription.close()


def test_a_message_that_no_queue_is_bound_for_is_reported_and_the_others_are_not(
    connect: Connect, vhost: Vhost
) -> None:
    transport = connect(binding_keys=("story", "task"))
    resources = ["story", "comment", "task", "comment"]
    results = transport.publish([make_message(resource=each) for each in resources])
    assert [isinstance(result, Unroutable) for result in results] == [False, True, False, True]
    assert [results[0], results[2]] == [None, None]
    assert "comment" in str(results[1])
    assert depth(vhost) == 2


def test_a_message_that_amqp_cannot_carry_is_reported_and_the_others_are_not(
    connect: Connect, vhost: Vhost
) -> None:
    sound = make_message()
    bad = Message(sound.id, sound.time, sound.source, "x" * 256, sound.body)
    results = connect().publish([make_message(), bad, make_message()])
    assert [type(result) for result in results] == [type(None), Unpublishable, type(None)]
    assert depth(vhost) == 2


def test_a_message_says_what_the_wire_format_promises(connect: Connect, vhost: Vhost) -> None:
    message = make_message(resource="task", source="tracker", traceparent=TRACEPARENT)
    transport = connect(application="our tracker")
    transport.publish([message])
    with channel_at(vhost) as channel:
        method, properties, body = channel.basic_get(QUEUE)
    assert (method.exchange, method.routing_key) == (EXCHANGE, "task")
    assert body == message.body
    assert properties.message_id == str(message.id)
    assert properties.delivery_mode == 2
    assert properties.content_type == "application/json"
    assert properties.app_id == "our tracker"
    assert properties.timestamp == int(message.time.timestamp())
    assert properties.headers["traceparent"] == TRACEPARENT
    assert "tracestate" not in properties.headers


def test_a_message_with_a_place_says_it_and_its_partition(connect: Connect, vhost: Vhost) -> None:
    """The partition is what any program in any language computes of the resource's name."""
    transport = connect()
    transport.publish([make_message(resource="story", resource_id=7, seq=3), make_message()])
    with channel_at(vhost) as channel:
        _, placed, _ = channel.basic_get(QUEUE)
        _, other, _ = channel.basic_get(QUEUE)
    # printf story/7 | sha256sum begins with af, which is 15 modulo 16.
    assert (placed.headers["seq"], placed.headers["partition"]) == (3, 15)
    assert not {"seq", "partition"} & set(other.headers)


def test_a_message_can_be_written_as_a_cloudevent(connect: Connect, vhost: Vhost) -> None:
    event = make_event(resource="task", traceparent=TRACEPARENT)
    transport = connect(
        wire_format="cloudevents", cloudevents_source="/us", cloudevents_type_prefix="com.x"
    )
    assert transport.publish([Message.of(event)]) == [None]
    with channel_at(vhost) as channel:
        method, properties, body = channel.basic_get(QUEUE)
    assert (method.routing_key, properties.message_id) == ("task", str(event.id))
    assert properties.content_type == "application/cloudevents+json"
    assert properties.headers["traceparent"] == TRACEPARENT
    written = json.loads(body)
    assert (written["source"], written["type"]) == ("/us", "com.x.task.post")
    assert cloudevents.decode(body) == msgspec.structs.replace(event, source="/us")


def test_bytes_that_no_cloudevent_can_be_made_of_are_reported_and_the_others_are_not(
    connect: Connect, vhost: Vhost
) -> None:
    sound = make_message()
    bad = Message(sound.id, sound.time, sound.source, sound.resource, b"{}")
    results = connect(wire_format="cloudevents").publish([make_message(), bad, make_message()])
    assert [type(result) for result in results] == [type(None), Unpublishable, type(None)]
    assert "method" in str(results[1])
    assert depth(vhost) == 2


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("application/cloudevents+json; charset=utf-8",) * 2,
        (None, None),
        # No text, and not nothing either: it is quarantined by it.
        (b"\xff", r"\xff"),
    ],
)
def test_a_delivery_says_in_which_format_its_bytes_are(
    one: Any, vhost: Vhost, content_type: Any, expected: str | None
) -> None:
    send_raw(vhost, b"{}", content_type=content_type)
    assert take(one)[0].content_type == expected


def test_the_topology_is_storyboards(connect: Connect, vhost: Vhost) -> None:
    connect().publish([make_message()])
    with channel_at(vhost) as channel:
        # Declared again with the same arguments; the broker refuses any other.
        channel.exchange_declare(EXCHANGE, exchange_type="topic", durable=True)
        channel.queue_declare(QUEUE, durable=True)


def test_a_queue_that_is_there_is_used_as_it_is(connect: Connect, vhost: Vhost) -> None:
    with channel_at(vhost) as channel:
        channel.queue_declare(QUEUE, durable=True, arguments={"x-max-priority": 3})
    transport = connect(queue_type="quorum")
    assert transport.publish([make_message()]) == [None]
    subscription = transport.subscribe(5)
    take(subscription)[0].ack()
    subscription.close()


#: The limit is far above any number of returns; see `_QUORUM` in the transport.
QUORUM = {"x-queue-type": "quorum", "x-delivery-limit": 1_000_000}


def test_a_queue_of_our_own_can_be_a_quorum_queue(connect: Connect, vhost: Vhost) -> None:
    transport = connect(queue_type="quorum")
    assert transport.publish([make_message()]) == [None]
    with channel_at(vhost) as channel:
        channel.queue_declare(QUEUE, durable=True, arguments=QUORUM)


def test_a_subscriber_binds_the_queue_for_a_publisher_that_binds_nothing(
    connect: Connect, vhost: Vhost
) -> None:
    subscription = connect().subscribe(5)
    wait_until(lambda: has_queue(vhost) and consumers(vhost))
    send_raw(vhost, make_message().body, routing_key="anything.at.all")
    take(subscription)[0].ack()
    subscription.close()


STRANGE_IDS: list[Any] = [None, "", "42", "no uuid", "x" * 255, b"\xff\xfe", "a\x00b"]


@pytest.mark.parametrize("message_id", STRANGE_IDS)
def test_a_strange_message_id_is_no_id(one: Any, vhost: Vhost, message_id: Any) -> None:
    send_raw(vhost, b"{}", message_id=message_id)
    (delivery,) = take(one)
    assert delivery.event_id is None
    assert delivery.body == b"{}"


def test_a_uuid_in_another_spelling_is_the_same_id(one: Any, vhost: Vhost) -> None:
    message = make_message()
    send_raw(vhost, message.body, message_id=str(message.id).upper())
    send_raw(vhost, message.body, message_id=message.id.hex)
    assert [each.event_id for each in take(one, 2)] == [message.id, message.id]


STRANGE_PROPERTIES: dict[str, dict[str, Any]] = {
    "a time without a zone": {"headers": {"time": "2024-05-06T07:08:09"}},
    "a time of another zone": {"headers": {"time": "2024-05-06T09:08:09+02:00"}},
    "a time before all others": {"headers": {"time": "0001-01-01T00:00:00+14:00"}},
    "no time": {"headers": {"time": "yesterday"}},
    "a time that is a number": {"headers": {"time": 5}},
    "a timestamp beyond the calendar": {"timestamp": 2**62},
    "a timestamp at its very end": {"timestamp": 253402300799},
    "a source with NUL": {"headers": {"source": "tracker\x00\n"}},
    "a source that is a list": {"headers": {"source": [1, 2]}},
    "an application that is not UTF-8": {"app_id": b"\xff"},
    "an application with NUL": {"app_id": "a\x00b"},
    "a trace that is none": {"headers": {"traceparent": "x", "tracestate": "a=1"}},
    "a trace that is a list": {"headers": {"traceparent": [1], "tracestate": {}}},
    "a state without a trace": {"headers": {"tracestate": "a=1"}},
    "a place that is a text": {"headers": {"seq": "1"}},
    "a place that is a truth value": {"headers": {"seq": True}},
    "a place before the first": {"headers": {"seq": 0}},
    "a place below zero": {"headers": {"seq": -(2**63)}},
    "a place that is a list": {"headers": {"seq": [1], "partition": "x"}},
    "10,000 headers": {"headers": {f"h{number}": number for number in range(10_000)}},
    "a gzip body by its own word": {"content_encoding": "gzip", "content_type": "text/xml"},
    "a made-up history": {"headers": {"x-death": [{"count": 10**12}], "x-delivery-count": -1}},
    "a transient message": {"delivery_mode": 1, "priority": 200, "expiration": "100000"},
}


@pytest.mark.parametrize("properties", STRANGE_PROPERTIES.values(), ids=STRANGE_PROPERTIES)
def test_strange_properties_disturb_nobody(
    one: Any, vhost: Vhost, properties: dict[str, Any]
) -> None:
    send_raw(vhost, b"{}", **properties)
    (delivery,) = take(one)
    assert delivery.time is None or (delivery.time.tzinfo is UTC and delivery.time.year == 2024)
    assert delivery.source in ("", "tracker", "ab")
    assert (delivery.traceparent, delivery.tracestate) == (None, None)
    assert delivery.seq is None
    delivery.ack()
    wait_until(lambda: vhost.messages(QUEUE) == 0, 5, "it was not acknowledged")


def test_a_storyboard_timestamp_is_the_events_time(one: Any, vhost: Vhost) -> None:
    send_raw(vhost, b"{}", timestamp=1714979289)
    assert take(one)[0].time == datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)


def test_the_precise_time_survives_the_wire(connect: Connect) -> None:
    message = make_message(time=datetime(2024, 5, 6, 7, 8, 9, 123456, UTC))
    transport = connect()
    transport.publish([message])
    subscription = transport.subscribe(1)
    assert take(subscription)[0].time == message.time
    subscription.close()


def test_a_thousand_messages_in_one_call_keep_their_order(connect: Connect) -> None:
    transport = connect()
    assert transport.publish(numbered(1000)) == [None] * 1000
    subscription = transport.subscribe(100)
    numbers = []
    for _ in range(1000):
        (delivery,) = take(subscription)
        numbers.append(number_of(delivery.body))
        delivery.ack()
    assert numbers == list(range(1000))
    subscription.close()


def test_a_password_is_in_no_log_line_and_no_repr(
    vhost: Vhost, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings_at(vhost, password="do not tell", connection_attempts=1)
    assert "do not tell" not in repr(settings)
    transport = RabbitTransport(settings)
    with caplog.at_level(logging.DEBUG):
        (error,) = transport.publish([make_message()], timeout=0.5)
    assert error is not None
    assert "do not tell" not in caplog.text + str(error)
    transport.close()


def test_a_broker_that_does_not_say_how_much_waits_is_unavailable(vhost: Vhost) -> None:
    transport = RabbitTransport(settings_at(vhost, port=1))
    with pytest.raises(TransportUnavailable, match=r"127\.0\.0\.1:1 "):
        transport.depth(0.5)
    transport.close()


def test_a_queue_that_is_not_there_holds_nothing_and_costs_no_connection(
    connect: Connect, vhost: Vhost, caplog: pytest.LogCaptureFixture
) -> None:
    transport = connect()
    assert transport.depth() == 0
    with channel_at(vhost) as channel:
        channel.queue_delete(QUEUE)
    assert [transport.depth() for _ in range(3)] == [0, 0, 0]
    assert not has_queue(vhost)
    assert "next try" not in caplog.text
