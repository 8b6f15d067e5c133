"""Bytes that are no event, kept as they came with the reason, so that the queue can move on."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    String,
    Table,
    Text,
    insert,
    select,
)

from eventworker.db import UTCDateTime, binary, clock, longest_value, metadata, serial

quarantine_table = Table(
    "eventworker_quarantine",
    metadata,
    serial(),
    Column("sha256", String(64), nullable=False),
    Column("reason", Text, nullable=False),
    Column("properties", Text, nullable=False),
    Column("body", binary(2**30), nullable=False),
    Column("received_at", UTCDateTime, nullable=False),
)


def put(connection: Connection, body: bytes, reason: str, properties: dict[str, Any]) -> None:
    """Keep these bytes. A redelivery of bytes that are here already adds nothing.

    What matters is that they are kept once, not how often they came: the check is a look, and two
    processes that look at the same moment leave two rows, which harms nobody.
    """
    digest = hashlib.sha256(body).hexdigest()
    table = quarantine_table.c
    described = json.dumps(properties, default=str, sort_keys=True)[:8192].replace("\x00", "")
    known = select(table.id).where(table.sha256 == digest, table.properties == described).limit(1)
    if connection.scalar(known) is not None:
        return
    room = longest_value(connection)
    if room is not None and len(body) > room:
        # Else they would hold up all that comes after them, for ever.
        reason += f"; only the first {room} of {len(body)} bytes are kept (max_allowed_packet)"
        body = body[:room]
    connection.execute(
        insert(quarantine_table).values(
            sha256=digest,
            reason=reason.replace("\x00", ""),
            properties=described,
            body=body,
            received_at=clock(),
        )
    )
