"""Daemons that run hooks: temporary hooks live as long as one of them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from eventworker.db import clock
from eventworker.pubsub.hooks.table import hook_table, session_table

#: Seconds that a daemon that has died without a word is waited for.
LEASE = 60.0

_session, _hook = session_table.c, hook_table.c


def begin(connection: Connection, name: str) -> int:
    """Begin the session of that name, or go on with it; returns its number."""
    there = connection.scalar(select(_session.id).where(_session.name == name))
    if there is not None:
        renew(connection, there)
        return int(there)
    made = connection.execute(insert(session_table).values(name=name, lease_until=clock(LEASE)))
    assert made.inserted_primary_key is not None
    return int(made.inserted_primary_key[0])


def renew(connection: Connection, number: int) -> None:
    """Renew its lease, and those of its hooks."""
    for table, key in ((session_table, _session.id), (hook_table, _hook.session_id)):
        connection.execute(update(table).where(key == number).values(lease_until=clock(LEASE)))


def end(connection: Connection, number: int) -> None:
    """End it; its hooks' time is over."""
    connection.execute(
        update(hook_table).where(_hook.session_id == number).values(lease_until=clock())
    )
    connection.execute(delete(session_table).where(_session.id == number))


def newest(connection: Connection) -> Row[Any] | None:
    """The session that began last of those that go on."""
    alive = select(session_table).where(_session.lease_until > clock())
    return connection.execute(alive.order_by(_session.id.desc()).limit(1)).first()


def end_overdue(connection: Connection) -> None:
    """Forget those that were not renewed."""
    connection.execute(delete(session_table).where(_session.lease_until <= clock()))
