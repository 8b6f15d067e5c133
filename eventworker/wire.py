"""The formats on the wire, told apart by the content type that the publisher gave."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from eventworker import cloudevents
from eventworker.event import MAX_BODY_BYTES, Event, decode

#: What almost every message says; one look spares it the others.
_USUAL = "application/json"


def read(
    body: bytes,
    content_type: str | None,
    *,
    id: UUID | None = None,
    time: datetime | None = None,
    source: str = "",
    traceparent: str | None = None,
    tracestate: str | None = None,
    max_bytes: int = MAX_BODY_BYTES,
) -> Event:
    """The event that these bytes are; what was said beside them fills in what they do not say.

    :raises DecodeError: with the reason and the bytes, for the quarantine.
    """
    if content_type and content_type != _USUAL and cloudevents.is_named_by(content_type):
        return cloudevents.decode(
            body,
            content_type,
            time=time,
            traceparent=traceparent,
            tracestate=tracestate,
            max_bytes=max_bytes,
        )
    return decode(
        body,
        id=id,
        time=time,
        source=source,
        traceparent=traceparent,
        tracestate=tracestate,
        max_bytes=max_bytes,
    )


def has_own_id(content_type: str | None) -> bool:
    """Whether the bytes say which event they are, so that no message id is needed."""
    return cloudevents.is_named_by(content_type)
