"""What an operator sees of the outbox, and may do to what was given up on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, and_, case, func, select, update

from eventworker.outbox.table import DEAD, LOST, READY, SENT, outbox_table

_outbox = outbox_table.c

#: What can be asked for, by its name. What was sent and found handled is the past, see ``past``.
STATES: dict[str, ColumnElement[bool]] = {
    "ready": _outbox.state == READY,
    "unproven": and_(_outbox.state == SENT, _outbox.check_at.is_not(None)),
    "dead": _outbox.state == DEAD,
    "lost": _outbox.state == LOST,
}
#: Those that an operator may make ready again.
RETRYABLE = ("dead", "lost")


@dataclass(frozen=True, slots=True)
class Listed:
    """One row.

    :ivar settled_at: when the broker first confirmed it, or it was found to be unpublishable.
    :ivar republished: how often it was published again.
    """

    id: UUID
    resource: str
    time: datetime
    settled_at: datetime | None
    republished: int
    error: str | None


def counts(connection: Connection) -> dict[str, tuple[int, datetime | None]]:
    """For each of :data:`STATES` the number of rows, and the time of the oldest event."""
    found = {}
    for name, condition in STATES.items():
        query = select(func.count(), func.min(_outbox.time)).where(condition)
        number, oldest = connection.execute(query).one()
        found[name] = (number, oldest)
    return found


def rows(connection: Connection, state: str, limit: int) -> list[Listed]:
    """The oldest ``limit`` rows in one of :data:`STATES`, oldest first."""
    columns = (
        _outbox.id,
        _outbox.resource,
        _outbox.time,
        _outbox.settled_at,
        _outbox.republished,
        _outbox.error,
    )
    found = connection.execute(
        select(*columns).where(STATES[state]).order_by(_outbox.id).limit(limit)
    )
    return [Listed(*row) for row in found]


def retryable(connection: Connection, state: str | None, ids: Sequence[UUID]) -> list[UUID]:
    """Those of these ids, or of all rows in this state, that :func:`retry` would change."""
    found = connection.scalars(select(_outbox.id).where(_chosen(state, ids)).order_by(_outbox.id))
    return list(found)


def retry(connection: Connection, state: str | None, ids: Sequence[UUID]) -> int:
    """Have them published again, as if for the first time; returns their number."""
    # A dead one was given to nobody, so its time in the outbox begins when it is sent.
    # (Not told by its state, which MariaDB has changed already where it comes to this column.)
    since = case((_outbox.sent_at.is_(None), None), else_=_outbox.settled_at)
    changed = connection.execute(
        update(outbox_table)
        .where(_chosen(state, ids))
        .values(
            state=READY,
            republished=0,
            error=None,
            settled_at=since,
            leased_until=None,
            owner=None,
        )
    )
    return changed.rowcount


def _chosen(state: str | None, ids: Sequence[UUID]) -> ColumnElement[bool]:
    if state is not None:
        return STATES[state]
    return and_(_outbox.id.in_(ids), _outbox.state.in_((DEAD, LOST)))
