"""The outbox: events committed together with the change that they tell of.

With ``driver = sql`` this table is the queue; with ``driver = rabbit`` the relay consumes it in the
same way and publishes. A row is *ready* until it is *sent* (handled or published) or *dead* (it can
never be published). Rows are claimed by state, never by "id greater than the last one seen": ids
are given out before the commit, so a slow transaction commits an id that such a reader has passed.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Index, Integer, SmallInteger, String, Table, Text

from eventworker.db import UTCDateTime, message_columns, metadata
from eventworker.transport import Message

READY, SENT, DEAD = 0, 1, 2

outbox_table = Table(
    "eventworker_outbox",
    metadata,
    *message_columns(),
    Column("state", SmallInteger, nullable=False, default=READY),
    Column("claims", Integer, nullable=False, default=0),
    Column("leased_until", UTCDateTime),
    Column("owner", String(120)),
    Column("settled_at", UTCDateTime),
    Column("error", Text),
)
# MariaDB has no partial index; there the state leads, see the first migration.
Index(
    "ix_eventworker_outbox_ready",
    outbox_table.c.id,
    postgresql_where=outbox_table.c.state == READY,
    sqlite_where=outbox_table.c.state == READY,
)
# What came before an event of a resource; events without an order are not in it.
Index(
    "ix_eventworker_outbox_stream",
    outbox_table.c.stream,
    outbox_table.c.seq,
    postgresql_where=outbox_table.c.stream.is_not(None),
    sqlite_where=outbox_table.c.stream.is_not(None),
)


def row_of(message: Message) -> dict[str, Any]:
    """A new row, ready to be claimed."""
    return {
        "id": message.id,
        "time": message.time,
        "source": message.source,
        "resource": message.resource,
        "body": message.body,
        "traceparent": message.traceparent,
        "tracestate": message.tracestate,
        "stream": message.stream,
        "seq": message.seq,
        "state": READY,
        "claims": 0,
    }
