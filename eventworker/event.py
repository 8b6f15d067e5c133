"""The event: the immutable fact of one change made through a web API, and its wire format.

Documented in ``docs/reference/wire-format.rst``. The body is a JSON object with StoryBoard's twelve
fields; identity, time, source and trace context travel beside it, in the message's properties or
the row's columns.
"""

from __future__ import annotations

import os
import re
import time as clock
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec

from eventworker import tracecontext
from eventworker.errors import DecodeError, EncodeError
from eventworker.strictjson import MAX_DEPTH as MAX_DEPTH
from eventworker.strictjson import QUICK_ERRORS, may_be_deep, strict_object

MAX_BODY_BYTES = 1024 * 1024

#: No control characters: a name is a routing key, a log word and a text column, and PostgreSQL's
#: text cannot hold NUL.
_PLAIN = r"\A[^\x00-\x1f\x7f]*\Z"
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=120, pattern=_PLAIN)]
Text = Annotated[str, msgspec.Meta(max_length=8192)]
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
ResourceId = Int64 | Annotated[str, msgspec.Meta(max_length=255, pattern=_PLAIN)] | None
Image = dict[str, Any] | None


def uuid7() -> UUID:
    """A time-ordered UUID (RFC 9562, section 5.7), so neighbours in time are so in an index.

    The twelve bits behind the milliseconds are a fraction of them (section 6.2, method 3), steps of
    a quarter of a microsecond: the outbox is read in the order of its ids, and so two events that
    one request makes keep their order.
    """
    ticks = clock.time_ns() * 4096 // 1_000_000
    noise = int.from_bytes(os.urandom(8), "big") >> 2
    return UUID(int=ticks >> 12 << 80 | 0x7 << 76 | (ticks & 0xFFF) << 64 | 0b10 << 62 | noise)


def _now() -> datetime:
    return datetime.now(UTC)


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """StoryBoard's twelve fields: what the JSON body says of a change."""

    author_id: ResourceId = None
    method: Name
    url: Text | None = None
    path: Text | None = None
    query_string: Text | None = None
    status: Int64 | None = None
    resource: Name
    resource_id: ResourceId = None
    sub_resource: Annotated[str, msgspec.Meta(max_length=120, pattern=_PLAIN)] | None = None
    sub_resource_id: ResourceId = None
    resource_before: Image = None
    resource_after: Image = None


WIRE_FIELDS = Body.__struct_fields__


class Event(Body, frozen=True, kw_only=True):
    """One change made through the API.

    Beside the fields of the body, ``id`` is the identity that deduplication rests on, ``time`` when
    the change was made (UTC) and ``source`` the application that made it.
    ``traceparent`` and ``tracestate`` are the W3C trace context of the request behind it; what is
    none is dropped on the way, see :mod:`eventworker.tracecontext`. ``seq`` is the event's place
    among those of its resource, 1 for the first, where it was recorded in order.
    """

    id: UUID = msgspec.field(default_factory=uuid7)
    time: datetime = msgspec.field(default_factory=_now)
    source: str = ""
    traceparent: str | None = None
    tracestate: str | None = None
    seq: int | None = None

    @property
    def stream(self) -> str | None:
        """What ``seq`` counts in: the resource with all that is below it, as ``story/42``."""
        return None if self.resource_id is None else f"{self.resource}/{self.resource_id}"

    def encode(self, max_bytes: int = MAX_BODY_BYTES) -> bytes:
        """The JSON body: the twelve wire fields, UTF-8.

        :raises EncodeError: when a value has no JSON form, a field is out of its bounds, or the
            body would be larger than ``max_bytes``.
        """
        try:
            body = _encoder.encode({name: getattr(self, name) for name in WIRE_FIELDS})
        except (TypeError, ValueError, RecursionError) as error:
            raise EncodeError(f"{self.method} {self.resource}: {error}") from error
        if len(body) > max_bytes:
            raise EncodeError(
                f"{self.method} {self.resource}: the body has {len(body)} bytes, "
                f"the limit is {max_bytes}"
            )
        if may_be_deep(body):
            try:
                strict_object(body, max_bytes)
            except DecodeError as error:
                raise EncodeError(f"{self.method} {self.resource}: {error}") from None
        return body


_OUR_BEGINNING = b'{"author_id":'
_encoder = msgspec.json.Encoder()
_body_decoder = msgspec.json.Decoder(Body)


def checked(event: Event) -> Event:
    """The same event, if every field is within the bounds that a reader will hold it to.

    Constructing an :class:`Event` checks nothing (it happens on every request); what goes into a
    queue is checked once, where the sender can still be told.

    :raises EncodeError: naming the first field that is out of bounds.
    """
    try:
        msgspec.convert(
            {name: getattr(event, name) for name in WIRE_FIELDS if name not in _IMAGES}, Event
        )
    except msgspec.ValidationError as error:
        raise EncodeError(str(error)) from error
    for name in _IMAGES:
        if not isinstance(getattr(event, name), dict | None):
            raise EncodeError(f"{name} has to be a dict or None")
    if len(event.resource.encode(errors="replace")) > _ROUTING_KEY_BYTES:
        raise EncodeError(f"resource has more than {_ROUTING_KEY_BYTES} bytes")
    if len(event.source) > _SOURCE_LENGTH or not _is_plain(event.source):
        raise EncodeError(
            f"source has more than {_SOURCE_LENGTH} characters, or control characters"
        )
    return event


_is_plain = re.compile(_PLAIN).match
_IMAGES = ("resource_before", "resource_after")
#: AMQP's limit.
_ROUTING_KEY_BYTES = 255
#: That of the column.
_SOURCE_LENGTH = 255


def decode(
    body: bytes,
    *,
    id: UUID | None = None,
    time: datetime | None = None,
    source: str = "",
    traceparent: str | None = None,
    tracestate: str | None = None,
    max_bytes: int = MAX_BODY_BYTES,
) -> Event:
    """Read a body published by us or by any StoryBoard publisher.

    Strict JSON only (RFC 8259): UTF-8 without byte order mark or lone surrogates, no NaN or
    infinity, no duplicate keys, at most ``max_bytes`` long and 64 levels deep. Fields that are not
    ours are ignored; of StoryBoard's twelve only ``method`` and ``resource`` must be there.

    :raises DecodeError: with the reason and the bytes, for the quarantine.
    """
    if len(body) <= max_bytes and (ours := _body_of_ours(body)) is not None:
        if traceparent is not None:
            traceparent, tracestate = tracecontext.valid(traceparent, tracestate)
        else:
            tracestate = None
        return Event(
            **msgspec.structs.asdict(ours),
            id=id or uuid7(),
            time=time or _now(),
            source=source,
            traceparent=traceparent,
            tracestate=tracestate,
        )
    return event_of(
        strict_object(body, max_bytes),
        body,
        id=id,
        time=time,
        source=source,
        traceparent=traceparent,
        tracestate=tracestate,
    )


def _body_of_ours(body: bytes) -> Body | None:
    """What is read of bytes that :meth:`Event.encode` would write for it, or None.

    They are strict JSON then, without anything that would be ignored, since it would be missing in
    what is written.
    """
    if not body.startswith(_OUR_BEGINNING) or may_be_deep(body):
        return None
    try:
        found = _body_decoder.decode(body)
        return found if _encoder.encode(found) == body else None
    except QUICK_ERRORS:
        return None


def event_of(
    data: dict[str, Any],
    body: bytes,
    *,
    id: UUID | None = None,
    time: datetime | None = None,
    source: str = "",
    traceparent: str | None = None,
    tracestate: str | None = None,
) -> Event:
    """The event of a JSON object that was read strictly.

    :param body: what was read, for the error.
    :raises DecodeError: when a field is missing or out of its bounds.
    """
    fields = {name: data[name] for name in WIRE_FIELDS if name in data}
    fields["id"] = id or uuid7()
    fields["time"] = time or _now()
    fields["source"] = source
    if traceparent is not None:
        fields["traceparent"], fields["tracestate"] = tracecontext.valid(traceparent, tracestate)
    try:
        return msgspec.convert(fields, Event)
    except msgspec.ValidationError as error:
        raise DecodeError(str(error), body) from None
