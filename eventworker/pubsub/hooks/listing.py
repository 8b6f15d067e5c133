"""What is told of hooks: what they are, and what came of their runs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, select

from eventworker.pubsub.hooks.table import IS_OPEN, hook_table, run_table

#: What hooks may hear of.
EVENTS = ("items", "retract", "delete")

_hook, _run = hook_table.c, run_table.c


@dataclass(frozen=True, slots=True)
class Listed:
    """A hook in a list; ``error`` and ``output`` are those of its last run, ``hook`` its number."""

    service: str
    node: str
    type: str
    arg: str
    persistent: bool
    state: str
    runs: int
    failures: int
    waiting: int
    error: str | None
    output: str | None
    owner: str
    events: list[str]
    lease_until: datetime | None
    sha256: str | None
    created_at: datetime
    hook: int


def listed(connection: Connection, where: ColumnElement[bool]) -> list[Listed]:
    """Those hooks, the oldest first; in as many statements for one as for all."""
    rows = connection.execute(select(hook_table).where(where).order_by(_hook.id)).all()
    mine = _run.hook_id.in_(select(_hook.id).where(where))
    waiting = select(_run.hook_id, func.count()).where(mine, IS_OPEN).group_by(_run.hook_id)
    counts: dict[int, int] = {number: count for number, count in connection.execute(waiting)}
    place = func.row_number().over(
        partition_by=_run.hook_id, order_by=(_run.ended_at.desc(), _run.id.desc())
    )
    ended = select(_run.id, place.label("place")).where(mine, _run.ended_at.is_not(None)).subquery()
    last = select(_run.hook_id, _run.output, _run.error).join(ended, ended.c.id == _run.id)
    lasts: dict[int, Any] = {
        row.hook_id: row for row in connection.execute(last.where(ended.c.place == 1))
    }
    return [_of(row, counts.get(row.id, 0), lasts.get(row.id)) for row in rows]


def _of(row: Row[Any], waiting: int, last: Any) -> Listed:
    return Listed(
        service=row.service,
        node=row.node,
        type=row.type,
        arg=row.arg,
        persistent=row.persistent,
        state=row.state,
        runs=row.runs,
        failures=row.failures,
        waiting=waiting,
        error=row.error if row.error is not None else (last.error if last else None),
        output=last.output if last else None,
        owner=row.owner,
        events=[each for each in EVENTS if getattr(row, f"hears_{each}")],
        lease_until=row.lease_until,
        sha256=row.sha256,
        created_at=row.created_at,
        hook=row.id,
    )
