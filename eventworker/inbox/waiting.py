"""Deliveries that wait for an earlier event of their resource.

Such a row is pending and due only in a while. Whoever settles the one before makes it due; and now
and then :func:`rouse` looks for rows that nobody told, because the process that should have done so
died at that moment, or because nobody knows what they wait for.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta

from sqlalchemy import ColumnElement, Connection, and_, bindparam, exists, or_, select, update

from eventworker.db import DEAD, PENDING, clock
from eventworker.inbox.backlog import delivery_table

_delivery = delivery_table.c
_before = delivery_table.alias("before")

#: Seconds until a row that waits is due by itself.
LONG = 600.0
#: Rows made due at a time, so that one process can take them in a row.
_NEXT = 16
#: Resources that one look finds at the most; the next one finds the others.
_HEADS = 200

_waits = and_(_delivery.state == PENDING, _delivery.owner.is_(None), _delivery.due_at > clock())


# Built once, since it is sent for each event.
_next = (
    select(_delivery.id, _delivery.seq)
    .where(
        _delivery.stream == bindparam("k"),
        _delivery.plugin == bindparam("p"),
        _delivery.seq > bindparam("after"),
        _waits,
    )
    .order_by(_delivery.seq)
    .limit(_NEXT)
)
_written = select(_delivery.created_at, clock().label("now")).where(
    _delivery.stream == bindparam("k"),
    _delivery.plugin == bindparam("p"),
    _delivery.seq == bindparam("at"),
)


def successors(connection: Connection, plugin: int, stream: str, seq: int) -> list[int]:
    """The next rows of a resource that wait, by id, up to the first gap: what comes after it
    waits for something else, too. A look without a lock."""
    rows = connection.execute(_next, {"p": plugin, "k": stream, "after": seq}).all()
    return [row.id for place, row in enumerate(rows) if row.seq == rows[0].seq + place]


def waited(connection: Connection, plugin: int, stream: str, seq: int) -> float:
    """Seconds since the event at this place was written down; 0 if it is not."""
    row = connection.execute(_written, {"p": plugin, "k": stream, "at": seq}).one_or_none()
    if row is None:
        return 0.0
    age: timedelta = row.now - row.created_at
    return age.total_seconds()


def heads(
    connection: Connection, plugins: Collection[int], past_dead: Collection[int]
) -> list[int]:
    """The first row that waits of each resource, unless another row says what it waits for.

    :param past_dead: the plugins of ``plugins`` that do not wait for a dead letter.
    """
    first = and_(
        _before.c.stream == _delivery.stream,
        _before.c.plugin == _delivery.plugin,
        _before.c.seq < _delivery.seq,
    )
    if past_dead:
        first = and_(first, or_(_before.c.state != DEAD, _delivery.plugin.not_in(past_dead)))
    found = (
        select(_delivery.id)
        .where(_delivery.stream.is_not(None), _delivery.plugin.in_(plugins), _waits)
        .where(~exists().where(first))
        # Those that were looked at are due last, so the next look finds others.
        .order_by(_delivery.due_at)
        .limit(_HEADS)
    )
    return list(connection.scalars(found))


def rouse(connection: Connection, ids: Sequence[int]) -> None:
    """Make these rows due, but for those that are in a call by now: nobody waits for its end."""
    chosen = select(_delivery.id).where(_delivery.id.in_(ids), _waits)
    free = connection.scalars(chosen.with_for_update(skip_locked=True)).all()
    if free:
        connection.execute(
            update(delivery_table).where(_delivery.id.in_(free)).values(due_at=clock())
        )


def is_before(plugin: int, stream: str, after: int, seq: int, dead: bool) -> ColumnElement[bool]:
    """Whether a row between two places of a resource is not settled.

    :param dead: whether a dead letter counts as such.
    """
    between = and_(
        _delivery.stream == stream,
        _delivery.plugin == plugin,
        _delivery.seq > after,
        _delivery.seq < seq,
    )
    if not dead:
        between = and_(between, _delivery.state != DEAD)
    return exists().where(between)
