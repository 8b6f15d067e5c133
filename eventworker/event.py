"""The event: the immutable fact of one change made through a web API, and its wire format.

Documented in ``docs/reference/wire-format.rst``. The body is a JSON object with StoryBoard's twelve
fields; identity, time, source and trace context travel beside it, in the message's properties or
the row's columns.
"""

from __future__ import annotations

import codecs
import json
import math
import os
import re
import time as clock
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec

from eventworker import tracecontext
from eventworker.errors import DecodeError, EncodeError

MAX_BODY_BYTES = 1024 * 1024
MAX_DEPTH = 64

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


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One change made through the API.

    The first twelve fields are StoryBoard's. ``id`` is the identity that deduplication rests on,
    ``time`` when the change was made (UTC) and ``source`` the application that made it.
    ``traceparent`` and ``tracestate`` are the W3C trace context of the request behind it; what is
    none is dropped on the way, see :mod:`eventworker.tracecontext`. ``seq`` is the event's place
    among those of its resource, 1 for the first, where it was recorded in order.
    """

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
        if _may_be_deep(body):
            try:
                strict_object(body, max_bytes)
            except DecodeError as error:
                raise EncodeError(f"{self.method} {self.resource}: {error}") from None
        return body


WIRE_FIELDS = (
    "author_id",
    "method",
    "url",
    "path",
    "query_string",
    "status",
    "resource",
    "resource_id",
    "sub_resource",
    "sub_resource_id",
    "resource_before",
    "resource_after",
)
_encoder = msgspec.json.Encoder()


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
    return event_of(
        strict_object(body, max_bytes),
        body,
        id=id,
        time=time,
        source=source,
        traceparent=traceparent,
        tracestate=tracestate,
    )


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


_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")


def strict_object(body: bytes, max_bytes: int, max_depth: int = MAX_DEPTH) -> dict[str, Any]:
    """Read one JSON object, as strictly as :func:`decode` says.

    :raises DecodeError: with the reason and the bytes.
    """
    if len(body) > max_bytes:
        raise DecodeError(f"the body has {len(body)} bytes, the limit is {max_bytes}", body)
    if body.startswith(codecs.BOM_UTF8):
        raise DecodeError("not strict JSON: it begins with a byte order mark", body)
    try:
        value = _decoder.decode(body.decode("utf-8"))
    except RecursionError:
        # Not a ValueError: a body of 100,000 brackets would otherwise take the process down.
        raise DecodeError(f"nested deeper than {max_depth} levels", body) from None
    except ValueError as error:  # bad UTF-8, bad JSON, a number of 5,000 digits, our own refusals
        raise DecodeError(f"not strict JSON: {error}", body) from None
    if not isinstance(value, dict):
        raise DecodeError(f"a JSON object is expected, not {type(value).__name__}", body)
    # Two cheap looks spare almost every body the walk over its values.
    if _may_be_deep(body) or _SURROGATE_ESCAPE.search(body):
        _check_values(value, body, max_depth)
    return value


def _may_be_deep(body: bytes) -> bool:
    return body.count(b"{") + body.count(b"[") > MAX_DEPTH


def _check_values(value: Any, body: bytes, max_depth: int) -> None:
    level = [value]
    for _ in range(max_depth):
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item)
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
            elif isinstance(item, str) and _LONE_SURROGATE.search(item):
                raise DecodeError("not strict JSON: a lone surrogate", body)
        if not below:
            return
        level = below
    raise DecodeError(f"nested deeper than {max_depth} levels", body)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("duplicate keys in an object")
    return result


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large for a number")
    return number


_decoder = json.JSONDecoder(
    object_pairs_hook=_without_duplicates, parse_constant=_no_constant, parse_float=_finite
)
