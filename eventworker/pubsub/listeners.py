"""Listeners: whoever notifications are handed to, see :mod:`eventworker.pubsub.deliveries`."""

from __future__ import annotations

from sqlalchemy import Connection, delete, select, update

from eventworker.db import clock, insert_ignore
from eventworker.pubsub.jid import bare
from eventworker.pubsub.tables import delivery_table, listener_table

_listener = listener_table.c


def register(
    connection: Connection, name: str, jid: str | None = None, lease: float | None = None
) -> int:
    """Listen under this name from now on; returns the listener's id. Who has listened under it
    before goes on where that one ended.

    :param jid: the one address that it listens for; None: all but the service's own accounts.
    :param lease: seconds after which it counts as gone if it says no more; None: never.
    """
    values = {
        "jid": jid,
        "bare": None if jid is None else bare(jid),
        "lease_until": None if lease is None else clock(lease),
    }
    new = insert_ignore(connection.dialect.name, listener_table)
    connection.execute(new.values(name=name, created_at=clock(), **values))
    mine = _listener.name == name
    connection.execute(update(listener_table).where(mine).values(values))
    return int(connection.execute(select(_listener.id).where(mine)).scalar_one())


def renew(connection: Connection, listener: int, lease: float) -> bool:
    """Listen for so many seconds more; False if the listener is gone and has to register anew."""
    mine = update(listener_table).where(_listener.id == listener)
    return connection.execute(mine.values(lease_until=clock(lease))).rowcount > 0


def remove(connection: Connection, listener: int) -> None:
    """Listen no more; what is still to be told is forgotten."""
    connection.execute(delete(listener_table).where(_listener.id == listener))
    connection.execute(delete(delivery_table).where(delivery_table.c.listener_id == listener))
