"""What a spool file looks like, how a version of it is told, and how an older one is brought up."""

from __future__ import annotations

import sqlite3

from eventworker.errors import SpoolError

#: "evSp", in the header of each spool file (https://sqlite.org/pragma.html#pragma_application_id).
APPLICATION_ID = 0x65765370

#: Step n brings a file of format n to n + 1; an empty file has format 0. Processes of the version
#: before may have the file open, so a step only adds what they do not mind.
STEPS: list[tuple[str, ...]] = [
    (
        """
        CREATE TABLE waiting (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            id BLOB NOT NULL,
            time TEXT NOT NULL,
            source TEXT NOT NULL,
            resource TEXT NOT NULL,
            body BLOB NOT NULL,
            crc INTEGER NOT NULL
        )
        """,
        # What the target will not take: for good, or (again = 1) for now.
        """
        CREATE TABLE refused (
            seq INTEGER PRIMARY KEY,
            id BLOB NOT NULL,
            time TEXT NOT NULL,
            source TEXT NOT NULL,
            resource TEXT NOT NULL,
            body BLOB NOT NULL,
            crc INTEGER NOT NULL,
            reason TEXT NOT NULL,
            refused_at TEXT NOT NULL,
            again INTEGER NOT NULL
        )
        """,
        """
        CREATE TABLE state (
            one INTEGER PRIMARY KEY CHECK (one = 1),
            max_bytes INTEGER,
            level INTEGER NOT NULL DEFAULT 0,
            delivered INTEGER NOT NULL DEFAULT 0,
            overflowed INTEGER NOT NULL DEFAULT 0,
            trouble TEXT,
            trouble_since TEXT
        )
        """,
        "INSERT INTO state (one) VALUES (1)",
    ),
]


class Damaged(Exception):
    """The file holds what cannot have been put into it."""


def is_ours(connection: sqlite3.Connection) -> bool:
    """Whether the header says that this is a spool; the rest of the file may be damaged."""
    try:
        return _pragma(connection, "application_id") == APPLICATION_ID
    except sqlite3.DatabaseError:
        return False


def prepare(connection: sqlite3.Connection, path: object) -> None:
    """Make sure that the file is a spool of the present format; an empty one becomes one.

    :raises SpoolError: for another program's database, a newer format, or a file system without
        what SQLite's write-ahead log needs. The file is as it was then.
    """
    application = _pragma(connection, "application_id")
    version = _pragma(connection, "user_version")
    empty = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0
    if application != APPLICATION_ID and not (application == 0 and version == 0 and empty):
        raise SpoolError(
            f"{path} is another program's database, and nothing was written to it; "
            "give the spool a path of its own"
        )
    if version > len(STEPS):
        raise SpoolError(
            f"{path} has format {version} of a newer eventworker, this one knows formats up to "
            f"{len(STEPS)}; use that version, or drain the file with it"
        )
    if empty:
        # Takes effect only before the first page is written.
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
        raise SpoolError(
            f"{path}: its file system lacks the shared memory that a spool needs; "
            "put it on a local disk"
        )
    # A commit that returned survives a power cut (https://sqlite.org/pragma.html#pragma_synchronous).
    connection.execute("PRAGMA synchronous = FULL")
    # A log that grew behind a long look is cut back at its next start, to this many bytes.
    connection.execute("PRAGMA journal_size_limit = 4194304")
    if version < len(STEPS):
        _bring_up(connection)


def _bring_up(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for step in STEPS[_pragma(connection, "user_version") :]:
            for statement in step:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(STEPS)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    value: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value
