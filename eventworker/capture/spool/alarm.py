"""One line in the log when the spool fills, when it is full, and when it has room again.

The level is kept in the file, so the processes that share it say each line once together.
"""

from __future__ import annotations

import enum
import logging
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from eventworker.capture.spool import waiting

log = logging.getLogger(__name__)

#: Parts of ``max_bytes``: above the first it is told that the spool fills, below the second that it
#: has room again. They are apart, so that a spool at the brink is not told of over and over.
HIGH, LOW = 0.8, 0.7
#: Seconds between two lines that the spool is full, where the file cannot remember the first.
_REPEAT = 60.0

Say = Callable[[], None]


class Level(enum.IntEnum):
    """How full the spool is, as last told."""

    ROOM = 0
    HIGH = 1
    FULL = 2


class Alarm:
    """Looks at the file's level within a transaction; what it returns is to be called after it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._told_full_at = float("-inf")

    def look(self, connection: sqlite3.Connection) -> Say | None:
        """After events came or went."""
        level, most = connection.execute("SELECT level, max_bytes FROM state").fetchone()
        if most is None:
            return None
        used = waiting.used_bytes(connection)
        if level == Level.ROOM and used >= HIGH * most:
            count = waiting.about_waiting(connection)
            _set(connection, Level.HIGH)
            return lambda: log.warning(
                "the spool %s is %d %% full: some %d events wait; "
                "`eventworker spool status` says why they do not leave",
                self._path,
                100 * used // most,
                count,
            )
        if level != Level.ROOM and used < LOW * most:
            (overflowed,) = connection.execute("SELECT overflowed FROM state").fetchone()
            _set(connection, Level.ROOM)
            return lambda: log.warning(
                "the spool %s has room again; %d events did not fit so far and are in the log only",
                self._path,
                overflowed,
            )
        return None

    def overflowed(self, connection: sqlite3.Connection, events: int) -> bool:
        """Count events that did not fit; whether it is to be told, see :meth:`tell_full`."""
        (level,) = connection.execute("SELECT level FROM state").fetchone()
        connection.execute(
            "UPDATE state SET level = ?, overflowed = overflowed + ?", (int(Level.FULL), events)
        )
        return bool(level != Level.FULL)

    def tell_full(self, reason: str, told: bool | None) -> None:
        """Say that the spool is full.

        :param told: whether this is the first to say so; None if the file could not be asked.
        """
        if told is None:
            if time.monotonic() - self._told_full_at < _REPEAT:
                return
            self._told_full_at = time.monotonic()
        elif not told:
            return
        log.error(
            "the spool is full: %s; from now on events go to the log alone, as JSON at ERROR, "
            "until it has room again",
            reason,
        )


def _set(connection: sqlite3.Connection, level: Level) -> None:
    connection.execute("UPDATE state SET level = ?", (int(level),))
