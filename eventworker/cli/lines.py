"""Events written as JSON lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, BinaryIO
from uuid import UUID

import msgspec

from eventworker import cloudevents, tracecontext
from eventworker.errors import DecodeError
from eventworker.event import WIRE_FIELDS, event_of
from eventworker.strictjson import MAX_DEPTH, strict_object
from eventworker.transport import Message

_BESIDE = ("id", "time", "source", "traceparent", "tracestate")
#: What these, or a CloudEvent's attributes, may add to a line beyond the body's own limit.
_ROOM_BESIDE = 32 * 1024


@dataclass(frozen=True, slots=True)
class Line:
    """One line that is not empty, without its end."""

    number: int
    text: bytes


def chunks(stream: BinaryIO) -> Iterator[list[Line]]:
    """The lines of a stream, as many at a time as are there to be read; waits for more."""
    number, rest = 0, b""
    while data := stream.read1(64 * 1024):  # type: ignore[attr-defined]
        *whole, rest = (rest + data).split(b"\n")
        yield [Line(number + index, text) for index, text in enumerate(whole, 1) if text.strip()]
        number += len(whole)
    if rest.strip():
        yield [Line(number + 1, rest)]


def message(text: bytes, max_bytes: int) -> Message:
    """The message that one line is: our fields, or a CloudEvent, which has a ``specversion``.

    :raises DecodeError: when it is none, or has a field that no event has.
    :raises EncodeError: when it would be too large on the wire.
    """
    fields = strict_object(text, max_bytes + _ROOM_BESIDE, MAX_DEPTH + 1)
    if "specversion" in fields:
        return Message.of(cloudevents.of_object(fields, text), max_bytes)
    event = event_of(fields, text)
    if unknown := sorted(fields.keys() - {*WIRE_FIELDS, *_BESIDE}):
        raise DecodeError(f"unknown field {', '.join(unknown)}; events have {_FIELDS}", text)
    given = {name: fields[name] for name in _BESIDE if fields.get(name) is not None}
    try:
        beside = msgspec.convert(given, _Beside)
    except msgspec.ValidationError as error:
        raise DecodeError(f"{error}", text) from None
    trace = (beside.traceparent, beside.tracestate)
    passed_on = tracecontext.valid(*trace)
    if any(asked and not passed for asked, passed in zip(trace, passed_on, strict=True)):
        raise DecodeError("traceparent or tracestate is no W3C trace context", text)
    event = msgspec.structs.replace(
        event,
        id=beside.id or event.id,
        time=beside.time or event.time,
        source=beside.source,
        traceparent=beside.traceparent,
        tracestate=beside.tracestate,
    )
    return Message.of(event, max_bytes)


_FIELDS = ", ".join((*WIRE_FIELDS, *_BESIDE))


class _Beside(msgspec.Struct):
    """The fields that travel beside the body."""

    id: UUID | None = None
    time: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    source: Annotated[str, msgspec.Meta(max_length=255, pattern=r"^[^\x00-\x1f\x7f]*$")] = ""
    traceparent: str | None = None
    tracestate: str | None = None
