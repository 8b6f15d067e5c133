"""How far an ordered plugin has come with each resource.

All events of the resource up to the position have an outcome that is final. The position moves in
the transaction of the plugin's effect, so it is also what makes two calls of one resource meet.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    select,
    update,
)

from eventworker.db import STREAM_LENGTH, UTCDateTime, clock, insert_new, metadata

cursor_table = Table(
    "eventworker_cursor",
    metadata,
    Column("plugin", SmallInteger, nullable=False),
    Column("stream", String(STREAM_LENGTH), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("at", UTCDateTime, nullable=False),
    PrimaryKeyConstraint("plugin", "stream"),
)
_cursor = cursor_table.c


def position(connection: Connection, plugin: int, stream: str) -> int | None:
    """The last seq that is settled; None where the plugin has not begun."""
    found = select(_cursor.seq).where(_cursor.plugin == plugin, _cursor.stream == stream)
    seq: int | None = connection.scalar(found)
    return seq


def advance(connection: Connection, plugin: int, stream: str, at: int | None, seq: int) -> bool:
    """Move from ``at``, as it was read, to ``seq``; False when it is not there any more."""
    if at is None:
        begun = connection.scalar(
            insert_new(connection.dialect.name, cursor_table)
            .values(plugin=plugin, stream=stream, seq=seq, at=clock())
            .returning(_cursor.seq)
        )
        return begun is not None
    moved = connection.execute(
        update(cursor_table)
        .where(_cursor.plugin == plugin, _cursor.stream == stream, _cursor.seq == at)
        .values(seq=seq, at=clock())
    )
    return bool(moved.rowcount)
