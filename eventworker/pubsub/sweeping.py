"""Removing what nobody needs any more. Whoever keeps the service up does so now and then."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Table, delete, exists, func, select

from eventworker.db import clock
from eventworker.pubsub.tables import (
    affiliation_table,
    child_table,
    delivery_table,
    item_table,
    listener_table,
    node_table,
    notice_table,
    roster_entry_table,
    roster_group_table,
    roster_host_table,
    roster_table,
    subscription_table,
)

_delivery, _notice, _listener = delivery_table.c, notice_table.c, listener_table.c
_node = node_table.c
#: Rows that are removed at once, so that nobody waits for long.
_MOST = 1000
#: Notices that are looked at.
_OLDEST = 10_000
#: Seconds after which a roster that is not known any more is not needed as a memory either.
_OLD_ROSTER = 3600.0
#: Notices are numbered in about the order of their times.
_SLACK = timedelta(minutes=10)


def sweep(connection: Connection) -> int:
    """Remove listeners whose lease is over with what they had to tell, notices that all have
    heard, deleted nodes whose subscribers have been told, and rosters that are known no more.

    :returns: rows that were removed. There may be more, if it is not 0.
    """
    dead = delete(listener_table).where(_listener.lease_until <= clock())
    removed = connection.execute(dead).rowcount
    removed += _remove(connection, delivery_table, _delivery.listener_id, _gone(connection))
    removed += _remove(connection, notice_table, _notice.id, _heard_by_all(connection))
    nodes = _forgotten_nodes(connection)
    for table in (item_table, affiliation_table, subscription_table, roster_group_table):
        removed += _remove(connection, table, table.c.node_id, nodes)
    removed += _remove(connection, child_table, child_table.c.collection_id, nodes)
    removed += _remove(connection, node_table, _node.id, nodes)
    return removed + _forget_rosters(connection)


def _forget_rosters(connection: Connection) -> int:
    """What nobody has read for a while. First the roster itself: whoever is just about to read it
    again is waited for, and keeps it, or makes another one."""
    over = clock(-_OLD_ROSTER)
    removed = 0
    for table in (roster_host_table, roster_table):
        removed += connection.execute(delete(table).where(table.c.good_until <= over)).rowcount
    contact = roster_entry_table.c
    there = exists().where(roster_table.c.id == contact.roster_id)
    gone = select(contact.roster_id).where(~there).distinct().limit(_MOST)
    keys = list(connection.scalars(gone))
    return removed + _remove(connection, roster_entry_table, contact.roster_id, keys)


def _gone(connection: Connection) -> list[int]:
    """Listeners that are not there any more, and still have something to tell."""
    there = exists().where(_listener.id == _delivery.listener_id)
    return list(connection.scalars(select(_delivery.listener_id).where(~there).distinct()))


def _heard_by_all(connection: Connection) -> list[int]:
    # Looked up first, since a DELETE with such a condition would lock every notice on MariaDB; and
    # only among the oldest, since there may be millions for a listener that has been away.
    oldest = select(_notice.id).order_by(_notice.id).limit(_OLDEST).subquery()
    owed = exists().where(_delivery.notice_id == oldest.c.id)
    return list(connection.scalars(select(oldest.c.id).where(~owed).limit(_MOST)))


def _forgotten_nodes(connection: Connection) -> list[int]:
    """Deleted nodes of which nothing is told any more: everything that is was said later."""
    first = select(func.min(_delivery.notice_id)).scalar_subquery()
    oldest = connection.scalar(select(_notice.created_at).where(_notice.id == first))
    owed = exists().where(_delivery.audience_id == _node.id)
    deleted: Any = _node.deleted_at.is_not(None)
    if oldest is not None:
        deleted &= _node.deleted_at < oldest - _SLACK
    return list(connection.scalars(select(_node.id).where(deleted, ~owed).limit(_MOST)))


def _remove(connection: Connection, table: Table, column: Any, keys: list[int]) -> int:
    if not keys:
        return 0
    return connection.execute(delete(table).where(column.in_(keys))).rowcount
