"""Looking at deliveries that are not done."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Select, select

from eventworker.db import in_call
from eventworker.inbox.backlog import delivery_table, event_table
from eventworker.inbox.operations.selection import Selection
from eventworker.inbox.registry import plugin_table

_delivery = delivery_table.c
_event = event_table.c


@dataclass(frozen=True, slots=True)
class Listed:
    """One delivery that is not done.

    :ivar resource: None while the event itself has not come back after its call killed a process.
    :ivar due_at: when it is called; while ``in_call``, when the call is given up for dead.
    """

    id: int
    state: str
    plugin: str
    event_id: UUID
    resource: str | None
    attempts: int
    in_call: bool
    due_at: datetime
    created_at: datetime
    error: str | None


@dataclass(frozen=True, slots=True)
class Detailed(Listed):
    """A delivery with its traceback and the event it is about."""

    owner: str | None
    traceback: str | None
    event_time: datetime | None
    event_source: str | None
    traceparent: str | None
    tracestate: str | None
    body: bytes | None


_LISTED = (
    _delivery.id,
    _delivery.state,
    plugin_table.c.name,
    _delivery.event_id,
    _event.resource,
    _delivery.attempts,
    in_call(delivery_table),
    _delivery.due_at,
    _delivery.created_at,
    _delivery.error,
)
_DETAILED = (
    *_LISTED,
    _delivery.owner,
    _delivery.traceback,
    _event.time,
    _event.source,
    _event.traceparent,
    _event.tracestate,
    _event.body,
)


def _rows(columns: tuple[Any, ...]) -> Select[Any]:
    return (
        select(*columns)
        .select_from(delivery_table)
        .join(plugin_table, plugin_table.c.number == _delivery.plugin)
        .outerjoin(event_table, _event.id == _delivery.event_id)
    )


def deliveries(connection: Connection, selection: Selection, limit: int) -> list[Listed]:
    """The newest ``limit`` of the selected deliveries, newest first."""
    rows = connection.execute(
        _rows(_LISTED)
        .where(selection.condition(connection))
        .order_by(_delivery.id.desc())
        .limit(limit)
    )
    return [Listed(*row) for row in rows]


def delivery(connection: Connection, number: int) -> Detailed | None:
    """Everything about one delivery."""
    row = connection.execute(_rows(_DETAILED).where(_delivery.id == number)).one_or_none()
    return None if row is None else Detailed(*row)
