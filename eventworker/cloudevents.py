"""CloudEvents 1.0 in structured mode, JSON: another shape of the same event.

Written and read as ``docs/reference/wire-format.rst`` says. What we write is read back as it was;
of a stranger's event the change is read from ``type`` and ``subject``.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, unquote
from uuid import NAMESPACE_URL, UUID, uuid5

import msgspec

from eventworker.errors import DecodeError
from eventworker.event import MAX_BODY_BYTES, Event, checked, event_of
from eventworker.strictjson import MAX_DEPTH, strict_object

CONTENT_TYPE = "application/cloudevents+json"
#: The beginning of every media type of CloudEvents (AMQP binding, section 3).
_MEDIA_TYPES = "application/cloudevents"
DEFAULT_SOURCE = "urn:eventworker"
DEFAULT_TYPE_PREFIX = "org.eventworker"
#: Bytes that the attributes may take beside the data: an event that fits the wire in one format
#: fits it in the other.
_ROOM = 32 * 1024
#: The largest body that any limit allows, and that the tables hold.
_LARGEST = 2**24
#: Of identities that are no UUID: uuid5(NAMESPACE, source + line feed + id).
NAMESPACE = uuid5(NAMESPACE_URL, "https://cloudevents.io/")

#: What the last word of a stranger's ``type`` says was done.
_METHODS = {
    **dict.fromkeys(("post", "create", "created", "add", "added", "insert", "inserted"), "POST"),
    **dict.fromkeys(("put", "update", "updated", "change", "changed", "modified"), "PUT"),
    **dict.fromkeys(("patch", "patched"), "PATCH"),
    **dict.fromkeys(("delete", "deleted", "remove", "removed"), "DELETE"),
}
_encoder = msgspec.json.Encoder()


def is_named_by(content_type: str | None) -> bool:
    """Whether a message of this content type says that it is a CloudEvent."""
    return content_type is not None and content_type.lower().startswith(_MEDIA_TYPES)


def is_json(media_type: str) -> bool:
    """Whether a content type names JSON, or a format that is written in it."""
    return _JSON_MEDIA_TYPE.fullmatch(media_type) is not None


def encode(
    event: Event,
    *,
    source: str = DEFAULT_SOURCE,
    type_prefix: str = DEFAULT_TYPE_PREFIX,
    max_bytes: int = MAX_BODY_BYTES,
) -> bytes:
    """The event as a JSON object with CloudEvents' attributes, and our body as its ``data``.

    :param source: stands for the source of an event that has none.
    :param type_prefix: the beginning of ``type``, a reversed domain name.
    :param max_bytes: of the body.
    :raises EncodeError: as :meth:`Event.encode` does.
    """
    body = checked(event).encode(max_bytes)
    attributes: dict[str, Any] = {
        "specversion": "1.0",
        "id": str(event.id),
        "source": _uri_reference(event.source or source),
        "type": f"{type_prefix}.{quote(event.resource, safe='')}.{_word(event.method)}",
        "subject": _subject(event),
        "time": event.time.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
    }
    if event.traceparent is not None:
        attributes["traceparent"] = event.traceparent
    if event.tracestate is not None:
        attributes["tracestate"] = event.tracestate
    return _encoder.encode({**attributes, "data": msgspec.Raw(body)})


def decode(
    body: bytes,
    content_type: str = CONTENT_TYPE,
    *,
    time: datetime | None = None,
    traceparent: str | None = None,
    tracestate: str | None = None,
    max_bytes: int = MAX_BODY_BYTES,
) -> Event:
    """Read a CloudEvent, with the same strictness as :func:`eventworker.event.decode`.

    :param time: used where the event has none, as are the trace context's two values.
    :param max_bytes: the limit in our own format; this one may be 32 KiB longer.
    :raises DecodeError: with the reason and the bytes, for the quarantine.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if "-batch" in media_type or body[:64].lstrip().startswith(b"["):
        raise DecodeError("a batch of CloudEvents is not read: send one event per message", body)
    if media_type != CONTENT_TYPE:
        raise DecodeError(f"{media_type} is not read: send {CONTENT_TYPE}", body)
    limit = min(max_bytes + _ROOM, _LARGEST)
    fields = strict_object(body, limit, MAX_DEPTH + 1)
    return of_object(fields, body, time=time, traceparent=traceparent, tracestate=tracestate)


def of_object(
    fields: dict[str, Any],
    body: bytes,
    *,
    time: datetime | None = None,
    traceparent: str | None = None,
    tracestate: str | None = None,
) -> Event:
    """The event that a CloudEvent is, once its JSON is read strictly; see :func:`decode`.

    :param body: what was read, for the error.
    """
    _check_version(_attribute(fields, "specversion", body), body)
    name = _attribute(fields, "id", body)
    source = _attribute(fields, "source", body)
    kind = _attribute(fields, "type", body)
    if fields.get("traceparent") is not None:
        # The attribute is of the event, a header of its last hop (distributed tracing extension).
        traceparent, tracestate = fields["traceparent"], fields.get("tracestate")
    return event_of(
        _change(fields, kind, body),
        body,
        id=_identity(source, name),
        time=_time(fields, body) or time,
        source=_fitting(source),
        traceparent=traceparent,
        tracestate=tracestate,
    )


def _word(method: str) -> str:
    return quote(method.lower(), safe="")


def _subject(event: Event) -> str:
    """``story/42/comment/7``, as far as it is known; no part holds a slash of its own."""
    parts = [event.resource, event.resource_id, event.sub_resource, event.sub_resource_id]
    while parts[-1] is None:
        parts.pop()
    return "/".join("" if part is None else quote(str(part), safe="") for part in parts)


_RESERVED = ":/?#[]@!$&'()*+,;="
_PCHAR = r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2})"
#: RFC 3986, section 4.1; the first segment of a relative path has no colon (section 4.2).
_URI_REFERENCE = re.compile(
    rf"(?:[A-Za-z][A-Za-z0-9+\-.]*:|(?![^/?#]*:))(?://(?:{_PCHAR}|[\[\]])*(?=[/?#]|\Z))?"
    rf"(?:{_PCHAR}|/)*(?:\?(?:{_PCHAR}|[/?])*)?(?:\#(?:{_PCHAR}|[/?])*)?"
)


def _uri_reference(source: str) -> str:
    """A source as the URI-reference that it is, or that it becomes by percent-encoding."""
    for text in (source, quote(source, safe=_RESERVED)):
        if _URI_REFERENCE.fullmatch(text):
            return text
    return quote(source, safe="")


# Reading.

#: The type String (core specification, section "Type System").
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
#: The text of RFC 9562, section 4; uuid.UUID alone takes more.
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)
_JSON_MEDIA_TYPE = re.compile(r"[^/;\s]+/(?:[^/;\s]+\+)?json\s*(?:;.*)?", re.IGNORECASE)
#: RFC 3339, section 5.6; datetime.fromisoformat alone takes more of ISO 8601.
_TIMESTAMP = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII
)


def _attribute(fields: dict[str, Any], name: str, body: bytes) -> str:
    value = fields.get(name)
    if value is None:
        raise DecodeError(f"the CloudEvents attribute {name} is missing", body)
    if not isinstance(value, str) or not value or _CONTROL.search(value):
        raise DecodeError(
            f"the CloudEvents attribute {name} has to be text, not empty and without control "
            "characters",
            body,
        )
    return value


def _check_version(version: str, body: bytes) -> None:
    if not re.fullmatch(r"1\.[0-9]+", version):
        raise DecodeError(f"CloudEvents {version[:20]!r} is not read, only specversion 1.x", body)


def _fitting(source: str) -> str:
    """As much as an event's source holds; an escape that is cut in two would be no URI."""
    return source if len(source) <= 255 else re.sub(r"%[0-9A-Fa-f]?\Z", "", source[:255])


def _identity(source: str, name: str) -> UUID:
    """A CloudEvent is known by source and id together; a UUID is enough by itself."""
    if _UUID.fullmatch(name):
        return UUID(name)
    # Neither holds a control character, so no other pair makes the same text.
    return uuid5(NAMESPACE, f"{source}\n{name}")


def _time(fields: dict[str, Any], body: bytes) -> datetime | None:
    text = fields.get("time")
    if text is None:
        return None
    try:
        if not isinstance(text, str) or not _TIMESTAMP.fullmatch(text):
            raise ValueError
        when = datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise DecodeError(f"time is no RFC 3339 timestamp: {str(text)[:40]!r}", body) from None
    # Beyond these, a database in another time zone than ours cannot say it.
    return when if 1970 <= when.year < 9999 else None


def _change(fields: dict[str, Any], kind: str, body: bytes) -> dict[str, Any]:
    """The twelve fields: of our own data as they are, of a stranger's by its type and subject."""
    if fields.get("data_base64") is not None:
        raise DecodeError("data_base64 is not read: send JSON in data", body)
    media_type = fields.get("datacontenttype")
    if media_type is not None and not (isinstance(media_type, str) and is_json(media_type)):
        raise DecodeError(f"datacontenttype {str(media_type)[:80]!r} is not read, only JSON", body)
    data = fields.get("data")
    if isinstance(data, dict) and "method" in data and "resource" in data:
        return data
    if not isinstance(data, dict | None):
        raise DecodeError(f"data has to be a JSON object, not {type(data).__name__}", body)
    subject = None if fields.get("subject") is None else _attribute(fields, "subject", body)
    return _foreign_change(kind, subject, data, body)


def _foreign_change(
    kind: str, subject: str | None, data: dict[str, Any] | None, body: bytes
) -> dict[str, Any]:
    words = kind.split(".")
    if re.fullmatch(r"v[0-9]+", words[-1]):
        words.pop()
    method = _METHODS.get(words[-1].lower()) if words else None
    if method is None or len(words) < 2:
        raise DecodeError(
            f"data is no event of ours, and type {kind[:120]!r} does not end in a resource and "
            "what was done, such as story.updated",
            body,
        )
    place = "resource_before" if method == "DELETE" else "resource_after"
    return {"method": method, "resource": words[-2], place: data, **_place(words[-2], subject)}


def _place(resource: str, subject: str | None) -> dict[str, Any]:
    """What the subject says: a path that begins with the resource, or else the resource's id."""
    if subject is None:
        return {}
    first, *others = (unquote(part) for part in subject.removeprefix("/").split("/"))
    if first != resource or len(others) > 3:
        return {"resource_id": _id(subject)}
    resource_id, sub_resource, sub_resource_id = (*others, "", "", "")[:3]
    return {
        "resource_id": _id(resource_id),
        "sub_resource": sub_resource or None,
        "sub_resource_id": _id(sub_resource_id),
    }


def _id(text: str) -> int | str | None:
    """A whole number in its shortest spelling is one; so ``42`` and 42 are the same story."""
    if re.fullmatch(r"0|-?[1-9][0-9]{0,18}", text) and -(2**63) <= int(text) < 2**63:
        return int(text)
    return text or None
