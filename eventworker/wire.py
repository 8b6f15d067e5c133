"""The formats on the wire, told apart by the content type that the publisher gave."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from eventworker import cloudevents
from eventworker.errors import DecodeError, EncodeError
from eventworker.event import MAX_BODY_BYTES, Event, decode

#: What almost every message says; one look spares it the others.
_USUAL = "application/json"
#: Kombu, and so Celery, names the charset in the field for compression. Ours has to be UTF-8.
_NOT_PACKED = ("utf-8", "utf8")
#: Characters of a stranger's word that a reason repeats.
_SHOWN = 80
#: The longest body that the tables hold, and one that surely is none when we have written it: of
#: what was read only numbers grow, ``1e15`` to ``1000000000000000.0``.
_LARGEST = 2**24
_SURELY_SMALLER = _LARGEST // 4 - 1024


def read(
    body: bytes,
    content_type: str | None,
    *,
    content_encoding: str | None = None,
    id: UUID | None = None,
    time: datetime | None = None,
    source: str = "",
    traceparent: str | None = None,
    tracestate: str | None = None,
    max_bytes: int = MAX_BODY_BYTES,
) -> Event:
    """The event that these bytes are; what was said beside them fills in what they do not say.

    :param content_encoding: how the publisher says that the body is packed. Nothing is unpacked:
        a few bytes may say a gigabyte, and nobody who publishes JSON needs it.
    :raises DecodeError: with the reason and the bytes, for the quarantine.
    """
    if content_encoding and content_encoding.lower() not in _NOT_PACKED:
        raise DecodeError(
            f"content encoding {content_encoding[:_SHOWN]!r} is not read: send JSON as it is", body
        )
    if content_type and content_type != _USUAL and cloudevents.is_named_by(content_type):
        event = cloudevents.decode(
            body,
            content_type,
            time=time,
            traceparent=traceparent,
            tracestate=tracestate,
            max_bytes=max_bytes,
        )
    else:
        if content_type and content_type != _USUAL and not cloudevents.is_json(content_type):
            raise DecodeError(
                f"content type {content_type[:_SHOWN]!r} is not read: send {_USUAL}", body
            )
        event = decode(
            body,
            id=id,
            time=time,
            source=source,
            traceparent=traceparent,
            tracestate=tracestate,
            max_bytes=max_bytes,
        )
    if len(body) > _SURELY_SMALLER:
        _require_storable(event, body)
    return event


def _require_storable(event: Event, body: bytes) -> None:
    """An event that could not be written into the backlog would end its consumer, each time."""
    try:
        event.encode(_LARGEST)
    except EncodeError:
        raise DecodeError(
            f"with its numbers written in full the body has more than {_LARGEST} bytes", body
        ) from None


def has_own_id(content_type: str | None) -> bool:
    """Whether the bytes say which event they are, so that no message id is needed."""
    return cloudevents.is_named_by(content_type)
