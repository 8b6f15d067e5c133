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
    and_,
    bindparam,
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

# Built once, since they are sent for each event.
_here = and_(_cursor.plugin == bindparam("p"), _cursor.stream == bindparam("k"))
_position = select(_cursor.seq).where(_here)
_move = (
    update(cursor_table)
    .where(_here, _cursor.seq == bindparam("seen"))
    .values(seq=bindparam("to"), at=clock())
)


def position(connection: Connection, plugin: int, stream: str) -> int | None:
    """The last seq that is settled; None where the plugin has not begun."""
    seq: int | None = connection.scalar(_position, {"p": plugin, "k": stream})
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
    moved = connection.execute(_move, {"p": plugin, "k": stream, "seen": at, "to": seq})
    return bool(moved.rowcount)
