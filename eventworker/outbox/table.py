"""The outbox: events committed together with the change that they tell of.

With ``driver = sql`` this table is the queue; with ``driver = rabbit`` the relay consumes it in the
same way and publishes. A row is *ready* until it is *sent* (handled or published) or *dead* (it can
never be published). What a broker has confirmed is not handled yet: until it is found to be,
``check_at`` says when to look, and a row may become ready again, or *lost* (see ``outbox.sent``).

Rows are claimed by state, never by "id greater than the last one seen": ids are given out before
the commit, so a slow transaction commits an id that such a reader has passed.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Index, Integer, SmallInteger, String, Table, Text

from eventworker.db import UTCDateTime, message_columns, metadata
from eventworker.transport import Message

READY, SENT, DEAD, LOST = 0, 1, 2, 3

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
    # Its default is the server's alone: producers do not name it, and may be newer than the tables.
    Column("republished", SmallInteger, nullable=False, server_default="0"),
    # Of the last time that it was sent, while settled_at is that of the first: what is published
    # again is not kept for longer, since the inbox does not remember for longer.
    Column("sent_at", UTCDateTime),
    Column("check_at", UTCDateTime),
)
# MariaDB has no partial index; there the state leads, see the first migration.
Index(
    "ix_eventworker_outbox_ready",
    outbox_table.c.id,
    postgresql_where=outbox_table.c.state == READY,
    sqlite_where=outbox_table.c.state == READY,
)
CHECK_INDEX = "ix_eventworker_outbox_check_at"
Index(
    CHECK_INDEX,
    outbox_table.c.check_at,
    postgresql_where=outbox_table.c.check_at.is_not(None),
    sqlite_where=outbox_table.c.check_at.is_not(None),
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
        "state": READY,
        "claims": 0,
    }
