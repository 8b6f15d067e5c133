"""Who is behind with telling: a listener that is away, or gone for good and never retired."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from eventworker.db import clock
from eventworker.pubsub.tables import delivery_table, listener_table, notice_table

_delivery, _notice, _listener = delivery_table.c, notice_table.c, listener_table.c


@dataclass(frozen=True, slots=True)
class Behind:
    """A listener that has had something to tell for too long.

    :ivar waiting: deliveries that it has still to make.
    :ivar since: when the oldest of them was said.
    """

    listener: str
    waiting: int
    since: datetime


def behind(connection: Connection, seconds: float) -> list[Behind]:
    """The listeners that have had something to tell for longer than that, by their names."""
    first = select(func.min(_delivery.id)).where(_delivery.listener_id == _listener.id)
    oldest = delivery_table.alias("oldest")
    late = (
        select(_listener.id, _listener.name, _notice.created_at)
        .join_from(listener_table, oldest, oldest.c.id == first.scalar_subquery())
        .join(notice_table, _notice.id == oldest.c.notice_id)
        .where(_notice.created_at < clock(-seconds))
        .order_by(_listener.name)
    )
    found = []
    for row in connection.execute(late).all():
        of_it = select(func.count()).where(_delivery.listener_id == row.id)
        found.append(Behind(row.name, int(connection.scalar(of_it) or 0), row.created_at))
    return found
