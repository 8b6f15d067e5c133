"""Bytes in quarantine: looking at them, trying them again, dropping them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, delete, func, select

from eventworker import wire
from eventworker.db import Since, moment
from eventworker.errors import DecodeError, PluginError
from eventworker.event import Event
from eventworker.inbox import backlog, registry
from eventworker.inbox.claims import Outcome, note
from eventworker.inbox.quarantine import quarantine_table
from eventworker.signature import REFUSED

_quarantine = quarantine_table.c

GONE = "there is no such entry (any more)"


@dataclass(frozen=True, slots=True)
class Quarantined:
    """Bytes that were no event when they came."""

    id: int
    reason: str
    size: int
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Contents(Quarantined):
    """The bytes themselves, and what their publisher said beside them."""

    properties: dict[str, Any]
    body: bytes


def quarantined(connection: Connection, since: Since | None, limit: int) -> list[Quarantined]:
    """The newest ``limit`` entries, newest first."""
    rows = connection.execute(
        select(
            _quarantine.id,
            _quarantine.reason,
            func.length(_quarantine.body),
            _quarantine.received_at,
        )
        .where(*_newer(since))
        .order_by(_quarantine.id.desc())
        .limit(limit)
    )
    return [Quarantined(*row) for row in rows]


def contents(connection: Connection, number: int, *, lock: bool = False) -> Contents | None:
    """Everything about one entry."""
    found = select(quarantine_table).where(_quarantine.id == number)
    row = connection.execute(found.with_for_update() if lock else found).one_or_none()
    if row is None:
        return None
    return Contents(
        row.id, row.reason, len(row.body), row.received_at, _properties(row.properties), row.body
    )


def ids(connection: Connection, since: Since | None) -> list[int]:
    """The ids of all entries, oldest first."""
    return list(
        connection.scalars(select(_quarantine.id).where(*_newer(since)).order_by(_quarantine.id))
    )


def refusal(connection: Connection, number: int, max_bytes: int) -> str | None:
    """Why :func:`retry` would leave the entry where it is; None if it would not."""
    return _reread(contents(connection, number), max_bytes)[1]


def retry(connection: Connection, number: int, max_bytes: int) -> str | None:
    """Read the bytes again; if they are an event now, owe it to every registered plugin and end
    the quarantine.

    :returns: None, or why the entry stays where it is.
    :raises PluginError: when no plugin is registered, so that the event would be owed to nobody.
    """
    event, reason = _reread(contents(connection, number, lock=True), max_bytes)
    if event is None:
        return reason
    known = registry.read(connection)
    on = [each.number for each in known if each.state == registry.ON]
    if not on:
        raise PluginError("no plugin is on, so the event would be owed to nobody")
    off = [each.number for each in known if each.state == registry.OFF]
    backlog.park(connection, event, on)
    note(connection, event.id, off, Outcome.SKIPPED)
    discard(connection, [number])
    return None


def _reread(entry: Contents | None, max_bytes: int) -> tuple[Event | None, str | None]:
    if entry is None:
        return None, GONE
    if entry.reason.startswith(REFUSED):
        # Otherwise to retry all of the quarantine would let every forged event in.
        return None, "it was not believed when it came; its publisher has to send it again, signed"
    try:
        event = wire.read(
            entry.body,
            entry.properties.get("content_type"),
            content_encoding=entry.properties.get("content_encoding"),
            id=_uuid(entry.properties.get("message_id")),
            time=entry.received_at,
            source=str(entry.properties.get("source") or ""),
            traceparent=entry.properties.get("traceparent"),
            tracestate=entry.properties.get("tracestate"),
            max_bytes=max_bytes,
        )
    except DecodeError as error:
        return None, f"it still is no event: {error.reason}"
    return event, None


def discard(connection: Connection, numbers: Sequence[int]) -> int:
    """Drop the bytes; returns the number of entries that were there."""
    gone = connection.execute(delete(quarantine_table).where(_quarantine.id.in_(numbers)))
    return gone.rowcount


def _newer(since: Since | None) -> list[Any]:
    return [] if since is None else [_quarantine.received_at >= moment(since)]


def _properties(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:  # it was cut off at its largest length
        return {"text": text}
    return value if isinstance(value, dict) else {"text": text}


def _uuid(text: object) -> UUID | None:
    try:
        return UUID(str(text)) if text else None
    except ValueError:
        return None
