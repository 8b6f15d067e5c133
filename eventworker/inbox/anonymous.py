"""An identity for events whose publisher gave none.

The first delivery gets a fresh id, kept with the body's hash until it is acked; a delivery that the
broker flags as redelivered takes the newest id of that hash. So an id is never taken over from an
event that is done with: a later one with an equal body may be redelivered before anybody has seen
it. Two equal bodies at once are told apart while neither is redelivered. The promise for such
events is at-least-once, and the docs say so.
"""

from __future__ import annotations

import hashlib
from uuid import UUID

from sqlalchemy import (
    Column,
    Connection,
    Index,
    Table,
    delete,
    insert,
    select,
)

from eventworker.db import EventId, UTCDateTime, binary, clock, metadata, serial
from eventworker.event import uuid7

anonymous_table = Table(
    "eventworker_anonymous",
    metadata,
    serial(),
    Column("digest", binary(32), nullable=False),
    Column("event_id", EventId, nullable=False),
    Column("at", UTCDateTime, nullable=False, index=True),
    Index("ix_eventworker_anonymous_digest", "digest"),
)


def identify(connection: Connection, body: bytes, redelivered: bool) -> UUID:
    """The id of an event that came without one."""
    digest = hashlib.sha256(body).digest()
    table = anonymous_table.c
    if redelivered:
        newest = (
            select(table.event_id).where(table.digest == digest).order_by(table.id.desc()).limit(1)
        )
        known: UUID | None = connection.scalar(newest)
        if known is not None:
            return known
    event_id = uuid7()
    connection.execute(insert(anonymous_table).values(digest=digest, event_id=event_id, at=clock()))
    return event_id


def forget(connection: Connection, body: bytes, event_id: UUID) -> None:
    """The delivery is about to be acked. Should the ack be lost, the event is handled once more."""
    table = anonymous_table.c
    digest = hashlib.sha256(body).digest()
    connection.execute(
        delete(anonymous_table).where(table.digest == digest, table.event_id == event_id)
    )
