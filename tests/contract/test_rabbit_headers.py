"""Headers that no reader expects: a message is read without them, and holds up nobody."""

import struct
from collections.abc import Iterator
from typing import Any

import pika
import pika.exceptions
import pytest

from eventworker.transports.rabbit import RabbitTransport
from tests.helpers.deliveries import take
from tests.helpers.events import make_message, number_of
from tests.helpers.poison import STRANGE_HEADERS, sound
from tests.helpers.rabbit import channel_at, send_raw, settings_at
from tests.servers import Vhost


class RawHeaders(pika.BasicProperties):
    """Properties whose table of headers is these bytes, whatever they mean."""

    def __init__(self, table: bytes, **others: Any) -> None:
        super().__init__(headers={"x": ""}, **others)
        self._table = table

    def encode(self) -> list[bytes]:
        pieces: list[bytes] = super().encode()
        sound = struct.pack(">I", 7) + b"\x01xS" + struct.pack(">I", 0)
        whole = b"".join(pieces)
        assert whole.count(sound) == 1
        return [whole.replace(sound, struct.pack(">I", len(self._table)) + self._table)]


def header(kind: bytes, value: bytes) -> bytes:
    return b"\x01x" + kind + value


def nested(kind: bytes, levels: int) -> bytes:
    """A table in a table, or a list in a list, and so on."""
    value = b""
    for _ in range(levels):
        inner = header(kind, struct.pack(">I", len(value)) + value)
        value = inner if kind == b"F" else inner[2:]
    return value if kind == b"F" else b"\x01x" + value


#: What the broker hands on, and pika raises an error for.
UNREADABLE = {
    "a time in milliseconds": header(b"T", struct.pack(">Q", 1_700_000_000_000)),
    "a time beyond all clocks": header(b"T", b"\xff" * 8),
    "5,000 tables in each other": nested(b"F", 5_000),
    "5,000 lists in each other": nested(b"A", 5_000),
}
#: What the broker does not take in the first place.
REFUSED = {
    "a type that there is not": header(b"z", b""),
    "a number that is none": header(b"d", struct.pack(">d", float("nan"))),
    "a text that is cut off": header(b"S", struct.pack(">I", 1000) + b"x"),
    "a name that is cut off": b"\xffx",
}


@pytest.fixture
def subscription(vhost: Vhost) -> Iterator[Any]:
    """Consuming, once its queue is there."""
    transport = RabbitTransport(settings_at(vhost))
    assert transport.publish([make_message()]) == [None]
    subscribed = transport.subscribe(10)
    take(subscribed)[0].ack()
    yield subscribed
    subscribed.close()
    transport.close()


def publish(vhost: Vhost, number: int, properties: pika.BasicProperties) -> None:
    with channel_at(vhost) as channel:
        channel.confirm_delivery()
        channel.basic_publish("storyboard", "story", sound(number), properties, mandatory=True)


@pytest.mark.parametrize("table", UNREADABLE.values(), ids=UNREADABLE)
def test_headers_that_cannot_be_read_cost_neither_the_event_nor_its_neighbours(
    subscription: Any, vhost: Vhost, table: bytes
) -> None:
    message_id = str(make_message().id)
    publish(vhost, 1, RawHeaders(table, message_id=message_id, app_id="stranger"))
    send_raw(vhost, sound(2))
    first, second = take(subscription, 2)
    assert [number_of(each.body) for each in (first, second)] == [1, 2]
    # What stands before and behind the headers is still known.
    assert (str(first.event_id), first.source) == (message_id, "stranger")
    assert not first.redelivered
    first.ack()
    second.ack()


@pytest.mark.parametrize("table", REFUSED.values(), ids=REFUSED)
def test_the_broker_refuses_headers_that_are_none(
    subscription: Any, vhost: Vhost, table: bytes
) -> None:
    with pytest.raises(pika.exceptions.AMQPConnectionError):
        publish(vhost, 1, RawHeaders(table))
    send_raw(vhost, sound(2))
    (only,) = take(subscription, 1)
    assert number_of(only.body) == 2
    only.ack()


@pytest.mark.parametrize("headers", STRANGE_HEADERS.values(), ids=STRANGE_HEADERS)
def test_headers_that_nobody_should_believe_are_not(
    subscription: Any, vhost: Vhost, headers: dict[str, Any]
) -> None:
    send_raw(vhost, sound(1), headers=headers)
    (only,) = take(subscription, 1)
    assert (number_of(only.body), only.redelivered, only.source) == (1, False, "")
    assert (only.time, only.traceparent, only.tracestate) == (None, None, None)
    only.ack()


def test_a_label_that_is_no_text_is_not_taken_for_none(subscription: Any, vhost: Vhost) -> None:
    """It would be read as JSON, which its publisher did not say."""
    named = pika.BasicProperties(content_type=b"\xff/json", content_encoding=b"\xfe")
    publish(vhost, 1, named)
    (only,) = take(subscription, 1)
    assert (only.content_type, only.content_encoding) == (r"\xff/json", r"\xfe")
    only.ack()
