"""The verbs on the tables of a spool; each is called within a transaction of `Store`."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from eventworker.capture.spool.format import Damaged
from eventworker.errors import SpoolError
from eventworker.transport import Message

#: What :func:`read_row` raises for a row that was damaged.
MISREAD = (ValueError, TypeError, AttributeError)

_MESSAGE = "id, time, source, resource, body, crc"
_TABLES = {"waiting": "waiting", "refused": "refused"}


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message in its place; ``intact`` is False when its bytes are not those that were put in."""

    seq: int
    message: Message
    intact: bool


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the target will not take.

    :param again: it may take it later.
    """

    row: Waiting
    reason: str
    again: bool


def append(connection: sqlite3.Connection, messages: Iterable[Message]) -> None:
    """Put messages behind all that wait."""
    connection.executemany(
        f"INSERT INTO waiting ({_MESSAGE}) VALUES (?, ?, ?, ?, ?, ?)",
        [_row(message) for message in messages],
    )


def head(connection: sqlite3.Connection, limit: int, max_bytes: int) -> list[Waiting]:
    """The first messages in order: at most ``limit``, and no more after ``max_bytes`` of bodies.

    :raises Damaged: when there is a row that nobody has put in.
    """
    found: list[Waiting] = []
    size = 0
    for row in connection.execute(
        f"SELECT seq, {_MESSAGE} FROM waiting ORDER BY seq LIMIT ?", (limit,)
    ):
        try:
            found.append(read_row(row))
        except MISREAD as error:
            raise Damaged(f"row {row[0]}: {error}") from error
        size += len(found[-1].message.body)
        if size >= max_bytes:
            break
    return found


def settle(
    connection: sqlite3.Connection, delivered: Sequence[Waiting], refused: Sequence[Refusal]
) -> None:
    """Forget what the target has; put aside what it will not take, in its place in the order."""
    # By place and id: since it was read, the file may have been replaced by a new one.
    connection.executemany(
        "DELETE FROM waiting WHERE seq = ? AND id = ?", [_place(row) for row in delivered]
    )
    connection.execute("UPDATE state SET delivered = delivered + ?", (len(delivered),))
    for each in refused:
        rows = connection.execute(
            f"DELETE FROM waiting WHERE seq = ? AND id = ? RETURNING seq, {_MESSAGE}",
            _place(each.row),
        ).fetchall()
        connection.executemany(
            f"INSERT INTO refused (seq, {_MESSAGE}, reason, refused_at, again) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [(*values, each.reason, now(), each.again) for values in rows],
        )


def put_aside(connection: sqlite3.Connection, refused: Iterable[Refusal]) -> None:
    """Take in what another file held, and its target would not take."""
    for each in refused:
        append(connection, [each.row.message])
        (seq,) = connection.execute("SELECT max(seq) FROM waiting").fetchone()
        settle(connection, [], [replace(each, row=replace(each.row, seq=seq))])


def _place(row: Waiting) -> tuple[int, bytes]:
    return row.seq, row.message.id.bytes


def readmit(connection: sqlite3.Connection, *, all_of_them: bool = False) -> int:
    """Let what was put aside wait again, where it stood; returns the number.

    :param all_of_them: also what was refused for good.
    """
    which = "" if all_of_them else "WHERE again = 1"
    rows = connection.execute(f"DELETE FROM refused {which} RETURNING seq, {_MESSAGE}").fetchall()
    connection.executemany(
        f"INSERT INTO waiting (seq, {_MESSAGE}) VALUES (?, ?, ?, ?, ?, ?, ?)", rows
    )
    return len(rows)


def discard(connection: sqlite3.Connection, seqs: Iterable[int]) -> list[int]:
    """Delete refused messages for good; returns those of ``seqs`` that there were."""
    found: list[int] = []
    for seq in seqs:
        if connection.execute("DELETE FROM refused WHERE seq = ?", (seq,)).rowcount:
            found.append(seq)
    return found


def page(connection: sqlite3.Connection, table: str, after: int, limit: int) -> list[Waiting]:
    """The next messages of ``waiting`` or ``refused``, behind the place ``after``.

    :raises SpoolError: when a row was damaged.
    """
    rows = connection.execute(
        f"SELECT seq, {_MESSAGE} FROM {_TABLES[table]} WHERE seq > ? ORDER BY seq LIMIT ?",
        (after, limit),
    )
    try:
        return [read_row(row) for row in rows]
    except MISREAD as error:
        raise SpoolError(f"a row of {table} behind {after} is damaged: {error}") from error


def erase(connection: sqlite3.Connection, table: str, rows: Iterable[Waiting]) -> None:
    """Delete messages of ``waiting`` or ``refused``; their bytes in the file are overwritten."""
    connection.execute("PRAGMA secure_delete = ON")
    connection.executemany(
        f"DELETE FROM {_TABLES[table]} WHERE seq = ? AND id = ?", [_place(row) for row in rows]
    )


def has_unroutable(connection: sqlite3.Connection) -> bool:
    """Whether something waits aside for the target to change its mind."""
    return (
        connection.execute("SELECT 1 FROM refused WHERE again = 1 LIMIT 1").fetchone() is not None
    )


def set_trouble(connection: sqlite3.Connection, trouble: str | None) -> None:
    """Why nothing leaves at present, for those who look from outside; None when it does."""
    connection.execute(
        "UPDATE state SET trouble = ?, trouble_since = ?", (trouble, now() if trouble else None)
    )


def listed(connection: sqlite3.Connection, limit: int, *, refused: bool) -> list[dict[str, Any]]:
    """The first messages that wait, or that were refused, in order."""
    table, more = ("refused", "reason, refused_at") if refused else ("waiting", "NULL, NULL")
    rows = connection.execute(
        f"SELECT seq, {_MESSAGE}, {more} FROM {table} ORDER BY seq LIMIT ?", (limit,)
    )
    return [_shown(read_row(row[:7]), *row[7:]) for row in rows]


def _shown(row: Waiting, reason: str | None, refused_at: str | None) -> dict[str, Any]:
    message = row.message
    return {
        "seq": row.seq,
        "event_id": str(message.id),
        "time": message.time,
        "source": message.source,
        "resource": message.resource,
        "bytes": len(message.body),
        "intact": row.intact,
        "reason": reason,
        "refused_at": refused_at,
        "body": message.body.decode("utf-8", "backslashreplace"),
    }


def summary(connection: sqlite3.Connection) -> dict[str, Any]:
    """Numbers for an operator."""
    one = connection.execute
    max_bytes, level, delivered, overflowed, trouble, since = one(
        "SELECT max_bytes, level, delivered, overflowed, trouble, trouble_since FROM state"
    ).fetchone()
    oldest = one("SELECT time FROM waiting ORDER BY seq LIMIT 1").fetchone()
    return {
        "format": one("PRAGMA user_version").fetchone()[0],
        "waiting": one("SELECT count(*) FROM waiting").fetchone()[0],
        "refused": one("SELECT count(*) FROM refused").fetchone()[0],
        "oldest": datetime.fromisoformat(oldest[0]) if oldest else None,
        "used_bytes": used_bytes(connection),
        "max_bytes": max_bytes,
        "level": level,
        "delivered": delivered,
        "overflowed": overflowed,
        "trouble": trouble,
        "trouble_since": datetime.fromisoformat(since) if since else None,
    }


def used_bytes(connection: sqlite3.Connection) -> int:
    """Bytes of the file that hold something."""
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def about_waiting(connection: sqlite3.Connection) -> int:
    """How many wait, without counting them: too many by those between that were put aside."""
    first, last = connection.execute("SELECT min(seq), max(seq) FROM waiting").fetchone()
    return 0 if first is None else int(last - first + 1)


def in_order(connection: sqlite3.Connection, backwards: bool = False) -> Iterator[Any]:
    """Every row as it stands, for the reading of a damaged file; nothing is asked before the first
    look, so that all of its errors come from there."""
    direction = "DESC" if backwards else "ASC"
    yield from connection.execute(f"SELECT seq, {_MESSAGE} FROM waiting ORDER BY seq {direction}")


def at(connection: sqlite3.Connection, seq: int) -> Iterator[Any]:
    """The same of one row."""
    yield from connection.execute(f"SELECT seq, {_MESSAGE} FROM waiting WHERE seq = ?", (seq,))


def refused_in_order(connection: sqlite3.Connection) -> Iterator[Any]:
    """The same of what was put aside, with reason and whether it may be taken later."""
    yield from connection.execute(
        f"SELECT seq, {_MESSAGE}, reason, again FROM refused ORDER BY seq"
    )


def read_row(row: Sequence[Any]) -> Waiting:
    """A row of ``seq`` and the message's columns.

    :raises ValueError: or another of `MISREAD`, when it cannot be one.
    """
    seq, id, time, source, resource, body, crc = row
    message = Message(UUID(bytes=id), datetime.fromisoformat(time), source, resource, body)
    return Waiting(seq, message, _crc(id, time, source, resource, body) == crc)


def _row(message: Message) -> tuple[Any, ...]:
    time = message.time.astimezone(UTC).isoformat()
    fields = (message.id.bytes, time, message.source, message.resource, message.body)
    return *fields, _crc(*fields)


def _crc(id: bytes, time: str, source: str, resource: str, body: bytes) -> int:
    text = "\0".join((time, source, resource)).encode()
    return zlib.crc32(body, zlib.crc32(text, zlib.crc32(id)))


def now() -> str:
    """The moment, as it stands in the file."""
    return datetime.now(UTC).isoformat()
