"""What a consumer makes of a message: a stranger may put anything into its properties, and pika
gives bytes where they are not UTF-8."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

import msgspec

from eventworker import tracecontext
from eventworker.signature import Signatures
from eventworker.transport import Delivery, Subscription
from eventworker.transports.rabbit.settings import signed_part

#: No text column of PostgreSQL takes NUL.
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def delivery_of(
    subscription: Subscription,
    token: Any,
    method: Any,
    properties: Any,
    body: bytes,
    signatures: Signatures,
) -> Delivery:
    """The delivery that pika's three parts of a message are."""
    headers = properties.headers or {}
    traceparent, tracestate = _trace(headers)
    refusal = ""
    if signatures.checks:
        refusal = signatures.check(signed_part(method.routing_key, properties, body))
    return Delivery(
        body,
        _uuid(properties.message_id),
        method.redelivered,
        subscription,
        token,
        _time(headers, properties),
        _source(headers, properties),
        partial(_described, method, properties),
        traceparent=traceparent,
        tracestate=tracestate,
        content_type=_text(properties.content_type),
        content_encoding=_text(properties.content_encoding),
        refusal=refusal,
        seq=_seq(headers),
    )


def _described(method: Any, properties: Any) -> dict[str, Any]:
    """For the quarantine."""
    headers = properties.headers or {}
    traceparent, tracestate = _trace(headers)
    return {
        "exchange": _text(method.exchange),
        "routing_key": _text(method.routing_key),
        "message_id": _text(properties.message_id),
        "content_type": _text(properties.content_type),
        "content_encoding": _text(properties.content_encoding),
        "app_id": _text(properties.app_id),
        "source": _source(headers, properties),
        "traceparent": traceparent,
        "tracestate": tracestate,
        "seq": _seq(headers),
    }


def _uuid(text: str | bytes | None) -> UUID | None:
    if not isinstance(text, str):
        return None
    try:
        return msgspec.convert(text, UUID)
    except msgspec.ValidationError:
        pass
    try:
        return UUID(text)  # which takes braces and more, and is slower
    except ValueError:
        return None


def _time(headers: dict[str, Any], properties: Any) -> datetime | None:
    precise = headers.get("time")
    try:
        if isinstance(precise, str):
            when = datetime.fromisoformat(precise)
            if when.tzinfo is not UTC:
                when = when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
        elif properties.timestamp:
            when = datetime.fromtimestamp(properties.timestamp, UTC)
        else:
            return None
    except (ValueError, OverflowError, OSError):
        return None
    # Beyond these, a database in another time zone than ours cannot say it.
    return when if 1970 <= when.year < 9999 else None


def _source(headers: dict[str, Any], properties: Any) -> str:
    source = headers.get("source")
    if not isinstance(source, str):
        source = properties.app_id
        if not isinstance(source, str):
            return ""
    return _CONTROL.sub("", source)[:255] if source else ""


def _text(value: str | bytes | None) -> str | None:
    # Not None for what is no UTF-8: that would say that the publisher said nothing.
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value


def _trace(headers: dict[str, Any]) -> tuple[str | None, str | None]:
    traceparent = headers.get("traceparent")
    if traceparent is None:
        return None, None
    return tracecontext.valid(traceparent, headers.get("tracestate"))


def _seq(headers: dict[str, Any]) -> int | None:
    seq = headers.get("seq")
    # AMQP has truth values, and True is an int to Python; large ones get a type of pika's own.
    if not isinstance(seq, int) or isinstance(seq, bool):
        return None
    return int(seq) if 0 < seq < 2**63 else None
