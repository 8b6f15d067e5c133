"""The outbox: events committed together with the change that they tell of.

With ``driver = sql`` this table is the queue; with ``driver = rabbit`` the relay consumes it in the
same way and publishes. A row is *ready* until it is *sent* (handled or published) or *dead* (it can
never be published). Rows are claimed by state, never by "id greater than the last one seen": ids
are given out before the commit, so a slow transaction commits an id that such a reader has passed.
"""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, LargeBinary, SmallInteger, String, Table, Text, Uuid

from eventworker.db import UTCDateTime, metadata

READY, SENT, DEAD = 0, 1, 2

outbox_table = Table(
    "eventworker_outbox",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("time", UTCDateTime, nullable=False),
    Column("source", String(255), nullable=False),
    Column("resource", String(120), nullable=False),
    Column("body", LargeBinary(2**24), nullable=False),
    Column("state", SmallInteger, nullable=False, default=READY),
    Column("claims", Integer, nullable=False, default=0),
    Column("leased_until", UTCDateTime),
    Column("owner", String(120)),
    Column("settled_at", UTCDateTime),
    Column("error", Text),
)
Index(
    "ix_eventworker_outbox_ready",
    outbox_table.c.id,
    postgresql_where=outbox_table.c.state == READY,
    sqlite_where=outbox_table.c.state == READY,
)
