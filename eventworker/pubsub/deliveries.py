"""Notices on their way: what a listener has still to tell, and to whom, page by page.

A listener is one process at a time. It reads its deliveries in order; for each it asks for a page
of addressees, tells them, and notes how far it has come. If it dies in between, the next one tells
that page again: every notice arrives at least once, with the same id. ::

    for delivery in waiting(connection, listener, 100):
        while addressees := page(connection, delivery, 500, settings.service):
            ...
            told(connection, delivery, addressees[-1].jid)
        done(connection, delivery)

each call in a transaction of its own.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, delete, select, update

from eventworker.pubsub.config import NodeConfig
from eventworker.pubsub.delivery import Addressee, Delivery, config_of
from eventworker.pubsub.listeners import register, remove, renew
from eventworker.pubsub.notices import Word
from eventworker.pubsub.pages import page
from eventworker.pubsub.tables import delivery_table, node_table, notice_table

_delivery, _notice = delivery_table.c, notice_table.c
# Made once: an alias has a copy of each column.
_origin, _audience = node_table.alias("origin"), node_table.alias("audience")
_WAITING = (
    select(
        _delivery.id,
        _delivery.notice_id,
        _delivery.recipient,
        _notice.node,
        _notice.kind,
        _notice.content,
        _notice.created_at,
        _origin.c.config,
        _audience.c.name.label("audience"),
        _origin.c.roster_of,
        _audience.c.roster_of.label("audience_roster_of"),
    )
    .join_from(delivery_table, notice_table, _notice.id == _delivery.notice_id)
    .outerjoin(_origin, _origin.c.id == _notice.node_id)
    .outerjoin(_audience, _audience.c.id == _delivery.audience_id)
    .order_by(_delivery.id)
)


def waiting(connection: Connection, listener: int, limit: int) -> list[Delivery]:
    """The first of what the listener has to tell, in order: what is in so many rows, and the rest
    of those notices.

    A notice has a row for each node whose subscribers are told. It is one delivery, so that nobody
    is told twice who has subscribed to a node and to a collection that it is in (section 7.1.2: one
    notification to each entity).
    """
    mine = _WAITING.where(_delivery.listener_id == listener)
    rows = connection.execute(mine.limit(limit)).all()
    if len(rows) == limit:  # which may have cut a notice in two
        notices = {row.notice_id for row in rows}
        rows = connection.execute(mine.where(_delivery.notice_id.in_(notices))).all()
    of_notice: dict[int, list[Any]] = {}
    for row in rows:
        of_notice.setdefault(row.notice_id, []).append(row)
    return [_delivery_of(listener, of_one) for of_one in of_notice.values()]


def _delivery_of(listener: int, rows: Sequence[Any]) -> Delivery:
    first = rows[0]
    rosters = {owner for row in rows for owner in (row.roster_of, row.audience_roster_of)}
    return Delivery(
        first.id,
        listener,
        first.node,
        Word(first.kind),
        json.loads(first.content),
        tuple(row.audience for row in rows if row.audience is not None),
        first.recipient,
        first.created_at,
        first.notice_id,
        NodeConfig() if first.config is None else config_of(first.config),
        frozenset(owner for owner in rosters if owner is not None),
    )


def told(connection: Connection, delivery: Delivery, up_to_jid: str) -> None:
    """Everybody up to this address has been told."""
    mine = update(delivery_table).where(_delivery.id == delivery.id)  # the notice's first row
    connection.execute(mine.values(told=up_to_jid))


def done(connection: Connection, delivery: Delivery) -> None:
    """All have been told."""
    mine = (
        _delivery.notice_id == delivery.notice_id,
        _delivery.listener_id == delivery.listener,
    )
    connection.execute(delete(delivery_table).where(*mine))
    # Looked up before: on MariaDB a DELETE with such a condition would wait for the other listener,
    # which waits for this one. If both see each other, the notice is swept.
    others = select(_delivery.id).where(_delivery.notice_id == delivery.notice_id)
    if connection.execute(others.limit(1)).first() is None:
        connection.execute(delete(notice_table).where(_notice.id == delivery.notice_id))


__all__ = [
    "Addressee",
    "Delivery",
    "done",
    "page",
    "register",
    "remove",
    "renew",
    "told",
    "waiting",
]
