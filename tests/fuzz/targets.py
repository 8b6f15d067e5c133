"""What is fuzzed: readers of a stranger's bytes, each with the law that it keeps for all of them.

A target takes bytes and raises if the law is broken. It knows nothing of a fuzzer, so the corpus is
also tried by an ordinary test.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from eventworker import cloudevents, event, tracecontext, wire
from eventworker.cli import lines
from eventworker.engine import condition
from eventworker.engine.intake import decoded
from eventworker.errors import DecodeError, EncodeError
from eventworker.signature import NO_SIGNATURES
from eventworker.transports.rabbit.headers import TolerantProperties
from eventworker.transports.rabbit.incoming import delivery_of
from tests.helpers.events import TRACEPARENT, TRACESTATE, make_event
from tests.helpers.poison import BODIES, sound

#: Events are no larger here, so that a step of the fuzzer takes no longer than it must.
_SMALL = 2**16
_ID = UUID("01976a4e-0000-7000-8000-000000000001")


def envelope(data: bytes) -> None:
    """Read or refused; and what is read can be written and read again as the same event."""
    try:
        found = event.decode(data, id=_ID, max_bytes=_SMALL)
    except DecodeError:
        return
    body = found.encode(2**24)
    assert event.decode(body, id=_ID, time=found.time, max_bytes=2**24) == found


def cloud_event(data: bytes) -> None:
    """The same for a CloudEvent, in both formats that we write."""
    try:
        found = cloudevents.decode(data, max_bytes=_SMALL)
    except DecodeError:
        return
    with contextlib.suppress(EncodeError):  # a name too long for a routing key
        again = cloudevents.decode(cloudevents.encode(found, max_bytes=2**24), max_bytes=2**24)
        assert event.Event.encode(again, 2**24) == found.encode(2**24)
        assert again.id == found.id


def labelled(data: bytes) -> None:
    """A body under any label; the first two lines are content type and encoding."""
    content_type, _, rest = data.partition(b"\n")
    encoding, _, body = rest.partition(b"\n")
    with contextlib.suppress(DecodeError):
        wire.read(
            body,
            content_type.decode(errors="backslashreplace"),
            content_encoding=encoding.decode(errors="backslashreplace"),
            max_bytes=_SMALL,
        )


def properties(data: bytes) -> None:
    """AMQP's properties, from the bytes of the header frame to what a consumer is given."""
    read = TolerantProperties().decode(data)
    method = SimpleNamespace(exchange="x", routing_key="x", redelivered=False)
    nobody: Any = None
    delivery = delivery_of(nobody, 1, method, read, sound(1), NO_SIGNATURES)
    # As the quarantine writes it down, in text columns that take neither NUL nor lone surrogates.
    json.dumps(delivery.properties, sort_keys=True).encode("ascii")
    delivery.source.encode()
    assert "\x00" not in delivery.source
    with contextlib.suppress(DecodeError):
        decoded(delivery)


def condition_line(data: bytes) -> None:
    """A line is refused or says the same when it is written and read again; and it always holds or
    does not."""
    try:
        parsed = condition.parse(data.decode(errors="surrogateescape"))
    except condition.ConditionError:
        return
    parsed.holds(make_event(resource_after={"title": "x", "tags": ["a", 1], "n": 2.5}))
    assert condition.parse(str(parsed)) == parsed


def trace_headers(data: bytes) -> None:
    """What is passed on is passed on as it is by the next one, too."""
    parent, _, state = data.decode("latin-1").partition("\n")
    passed_on = tracecontext.valid(parent, state)
    assert tracecontext.valid(*passed_on) == passed_on
    assert all(len(each.encode()) <= 512 for each in passed_on if each is not None)


def published_lines(data: bytes) -> None:
    """Lines of `eventworker publish`: each is a message or refused, and none is lost."""
    found = [line for chunk in lines.chunks(io.BufferedReader(io.BytesIO(data))) for line in chunk]  # type: ignore[arg-type]
    assert [line.text for line in found] == [each for each in data.split(b"\n") if each.strip()]
    for line in found:
        with contextlib.suppress(DecodeError, EncodeError):
            message = lines.message(line.text, _SMALL)
            event.decode(message.body, id=message.id, time=message.time)


@dataclass(frozen=True)
class Target:
    """A law, inputs to begin with, and words that get further than chance."""

    check: Callable[[bytes], None]
    seeds: list[bytes]
    words: tuple[str, ...] = ()


_LONGEST_SEED = 4096
_FIELDS = tuple(f'"{name}"' for name in event.WIRE_FIELDS)
_ATTRIBUTES = ("specversion", "id", "source", "type", "subject", "time", "data", "datacontenttype")
_JSON = ("null", "true", "NaN", "Infinity", "1e999", "\\ud800", "\\u0000", '":"', "[[[[", "{}")
_SOUND = [sound(7), make_event(resource_after={"a": [1, {"b": "ž\U0001f600"}]}).encode()]
_BODIES = [each.body for each in BODIES.values() if len(each.body) <= _LONGEST_SEED]
_CLOUD = [
    cloudevents.encode(make_event(resource_id=7, sub_resource="comment", sub_resource_id="x")),
    b'{"specversion":"1.0","id":"A1","source":"/shop","type":"com.example.order.created.v2",'
    b'"subject":"order/42/line/1","time":"2026-11-21T07:00:00Z","data":{"total":5}}',
]


def _encoded(**fields: Any) -> bytes:
    return b"".join(TolerantProperties(**fields).encode())


TARGETS = {
    "envelope": Target(envelope, _SOUND + _BODIES, (*_FIELDS, *_JSON)),
    "cloudevents": Target(cloud_event, _CLOUD, tuple(f'"{each}"' for each in _ATTRIBUTES)),
    "labels": Target(
        labelled,
        [b"%s\n%s\n" % pair + sound(1) for pair in ((b"", b""), (b"application/json", b"utf-8"))]
        + [b"application/cloudevents+json\n\n" + each for each in _CLOUD],
        ("application/", "cloudevents", "+json", "-batch", "gzip", "; charset="),
    ),
    "properties": Target(
        properties,
        [
            _encoded(content_type="application/json", message_id=str(_ID), app_id="x", timestamp=1),
            _encoded(headers={"time": "2026-11-21T07:00:00", "source": "x"}, delivery_mode=2),
            _encoded(headers={"traceparent": TRACEPARENT, "x": [1, {"y": None}]}, priority=1),
        ],
        ("time", "source", "traceparent", "tracestate"),
    ),
    "conditions": Target(
        condition_line,
        [
            b"status < 300",
            b'resource_after.title == "x\\n"',
            b"changed has title",
            b'method not in POST, "PUT"',
            b"resource_before.tags lacks 1e5",
        ],
        (*condition.FIELDS, *condition.OPERATORS, "null", "true", "none", '"'),
    ),
    "tracecontext": Target(
        trace_headers,
        [
            f"{TRACEPARENT}\n{TRACESTATE}".encode(),
            b"01-" + TRACEPARENT[3:].encode() + b"-x\na=1,,b=2",
        ],
        ("00-", "cc-", ",", "=", "@"),
    ),
    "publish": Target(
        published_lines,
        [
            b"\n".join(_SOUND + _CLOUD),
            b'{"method":"PUT","resource":"x","id":"%s"}' % str(_ID).encode(),
        ],
        ('"time"', '"id"', '"traceparent"', *_JSON),
    ),
}
