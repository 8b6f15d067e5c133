"""The open spool file: transactions on it, and what happens when it is full, damaged or gone.

One connection for each process, used by one thread at a time. It is opened with the first use and
closed before a fork: SQLite forbids to carry one over
(https://sqlite.org/howtocorrupt.html#_carrying_an_open_database_connection_across_a_fork_).
Nothing else in the process may open the file: closing any descriptor of it would drop the locks
that SQLite holds (same page, "close() cancels POSIX locks").
"""

from __future__ import annotations

import logging
import os
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from eventworker.capture.spool import format
from eventworker.capture.spool.format import Damaged
from eventworker.capture.spool.locks import FileLock, beside
from eventworker.errors import SpoolError, SpoolFull

log = logging.getLogger(__name__)

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

#: What a damaged file is renamed to, with the moment behind it.
DAMAGED = ".damaged-"
#: Pages that housekeeping may use when requests have used all that they may.
_HEADROOM = 256
#: A disk with fewer bytes counts as full.
_DISK_FULL = 1024 * 1024
#: Seconds between two tries to begin, while another process writes.
_LOOK = 0.0003
_PARTS = ("", "-wal", "-shm")

#: Connections that were open at a fork which did not tell us (of C code). Kept for ever: even
#: closing one in the child could harm the parent's file.
_inherited: list[sqlite3.Connection] = []


class _Moved(Exception):
    """The path names another file, or none, by now: what was written may not be found there."""


class Store:
    """The spool file at ``path``.

    :param max_bytes: size that the file is held below; None for whatever it has.
    :param patience: seconds to wait for another process's transaction.
    :param create: make the file where there is none.
    """

    def __init__(
        self,
        path: Path,
        max_bytes: int | None = None,
        *,
        patience: float = 2.0,
        create: bool = True,
    ) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self._patience = patience
        self._create = create
        self._files = FileLock(path, "-lock")
        self._reset()

    def _reset(self) -> None:
        self._turn = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._pid = os.getpid()

    def write(self, work: Work[T], *, headroom: bool = False) -> T:
        """``work(connection)`` in a transaction that is on disk when this returns.

        Run again, on a new file, if the old one turns out to be damaged or was moved away.

        :param headroom: for housekeeping that makes room: go a little above ``max_bytes``.
        :raises SpoolFull: when ``max_bytes`` are used, or the disk is full.
        :raises SpoolError: when the file cannot be used.
        """
        return self._run("BEGIN IMMEDIATE", work, headroom)

    def read(self, work: Work[T]) -> T:
        """``work(connection)`` on one state of the file; it may not write."""
        return self._run("BEGIN", work, False)

    def maintain(self, statement: str) -> None:
        """A statement that has to stand outside of a transaction."""
        with self._turn:
            try:
                # A script runs to its end; execute() would take one step, which vacuums one page.
                self._opened().executescript(statement)
            except sqlite3.Error as error:
                raise SpoolError(f"{self.path}: {statement}: {error}") from error

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._turn:
            self._close()

    # Around a fork, see `processes`.

    def before_fork(self) -> None:
        """No transaction runs, and no connection is open, until :meth:`after_fork_here`."""
        self._turn.acquire()
        with suppress(Exception):  # the child then abandons what it inherits
            self._close()

    def after_fork_here(self) -> None:
        """The parent goes on."""
        self._turn.release()

    def after_fork_in_child(self) -> None:
        """The child begins anew; nobody holds its locks."""
        if self._connection is not None:
            _inherited.append(self._connection)
        self._files.release()
        self._reset()

    # Everything below is called with the turn.

    def _run(self, begin: str, work: Work[T], headroom: bool) -> T:
        if self._pid != os.getpid():
            self.after_fork_in_child()
        for _ in range(3):
            with self._turn:
                try:
                    return self._transaction(begin, work, headroom)
                except Damaged as error:
                    self._set_aside(str(error))
                except _Moved:
                    log.error(
                        "somebody moved the spool %s away while it was in use; a new one is begun",
                        self.path,
                    )
        raise SpoolError(f"{self.path} is moved or damaged again and again; look at its disk")

    def _transaction(self, begin: str, work: Work[T], headroom: bool) -> T:
        connection = self._opened()
        try:
            if headroom:
                self._limit(connection, _HEADROOM)
            self._begin(connection, begin)
            result = work(connection)
            connection.execute("COMMIT")
            if headroom:
                self._limit(connection, 0)
        except sqlite3.Error as error:
            raise self._refused(error) from error
        except BaseException:
            self._close()
            raise
        if self._identity != _identity(self.path):
            self._close()
            raise _Moved
        return result

    def _begin(self, connection: sqlite3.Connection, begin: str) -> None:
        """SQLite itself would look for the end of another process's transaction after 1, 2, 5, 10,
        ... 100 ms; with four processes that made the slowest requests ten times as slow."""
        connection.execute("PRAGMA busy_timeout = 0")
        deadline = time.monotonic() + self._patience
        while True:
            try:
                connection.execute(begin)
                break
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
            time.sleep(_LOOK)
        connection.execute(f"PRAGMA busy_timeout = {int(1000 * self._patience)}")

    def _refused(self, error: sqlite3.Error) -> Exception:
        """What an error of SQLite means to the caller; the transaction is undone."""
        code = getattr(error, "sqlite_errorcode", 0) or 0
        if code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return Damaged(str(error))
        if code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            self._undo()
            return SpoolError(
                f"{self.path}: another process has held it for {self._patience:g} s; "
                "is one of them stopped?"
            )
        if code & 0xFF == sqlite3.SQLITE_FULL:
            # The file stays open: its log, once made, may be all the room there is for deleting.
            self._undo()
            if self._disk_is_full():
                return SpoolFull(f"{self.path}: no space left on its disk")
            return SpoolFull(f"{self.path} has reached its {self.max_bytes} bytes")
        self._close()
        if self._disk_is_full():
            return SpoolFull(f"{self.path}: no space left on its disk")
        return SpoolError(f"{self.path} cannot be used: {error}")

    def _undo(self) -> None:
        if self._connection is None:
            return
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            self._limit(self._connection, 0)
        except sqlite3.Error:
            self._close()

    def _disk_is_full(self) -> bool:
        with suppress(OSError):
            disk = os.statvfs(self.path.parent)
            return disk.f_bavail * disk.f_frsize < _DISK_FULL
        return False

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            if not self._create and not self.path.exists():
                raise SpoolError(f"there is no spool {self.path}")
            # Under the lock, since SQLite finds the parts of a database by their names.
            with self._files.held(self._patience):
                self._open()
            assert self._connection is not None
        return self._connection

    def _open(self) -> None:
        if not self.path.exists():
            self._make()
        self._identity = _identity(self.path)
        uri = f"{self.path.absolute().as_uri()}?mode=rw"
        connection: sqlite3.Connection | None = None
        try:
            connection = sqlite3.connect(
                uri,
                uri=True,
                timeout=self._patience,
                isolation_level=None,
                check_same_thread=False,
            )
            format.prepare(connection, self.path)
            self._limit(connection, 0)
            self._note_limit(connection)
        except sqlite3.Error as error:
            damaged = connection is not None and format.is_ours(connection)
            if connection is not None:
                connection.close()
            if damaged and getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_CORRUPT:
                raise Damaged(str(error)) from error
            raise self._unusable(error) from error
        except BaseException:
            if connection is not None:
                connection.close()
            raise
        self._connection = connection

    def _unusable(self, error: sqlite3.Error) -> SpoolError:
        if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_NOTADB:
            return SpoolError(
                f"{self.path} is no spool, and nothing was written to it; "
                "move it away or give the spool another path"
            )
        if self._disk_is_full():
            return SpoolFull(f"{self.path}: no space left on its disk")
        if not os.access(self.path, os.R_OK | os.W_OK):
            return SpoolError(f"{self.path} belongs to another user; become that user")
        return SpoolError(f"{self.path} cannot be opened: {error}")

    def _make(self) -> None:
        """An empty file with mode 0600 from its first moment, and no descriptor of it here."""
        try:
            file, name = tempfile.mkstemp(prefix=f".{self.path.name}-", dir=self.path.parent)
            os.close(file)
            os.rename(name, self.path)
        except OSError as error:
            raise SpoolError(f"{self.path} cannot be made: {error.strerror}") from None

    def _limit(self, connection: sqlite3.Connection, more: int) -> None:
        if self.max_bytes is not None:
            size = connection.execute("PRAGMA page_size").fetchone()[0]
            pages = max(1, self.max_bytes // size) + more
            connection.execute(f"PRAGMA max_page_count = {pages}")

    def _note_limit(self, connection: sqlite3.Connection) -> None:
        """For those who look at the file from outside."""
        noted = connection.execute("SELECT max_bytes FROM state").fetchone()[0]
        if self.max_bytes not in (None, noted):
            with suppress(sqlite3.OperationalError):
                connection.execute("UPDATE state SET max_bytes = ?", (self.max_bytes,))

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                # SQLite removes the log by its name if this was the last connection.
                with self._files.held(self._patience):
                    connection.close()
            except SpoolError:
                connection.close()

    def _set_aside(self, reason: str) -> None:
        """Rename the damaged file, if nobody has yet; the drainer reads what can be read of it."""
        self._close()
        with self._files.held(self._patience):
            if self._identity != _identity(self.path):
                return
            kept = beside(self.path, f"{DAMAGED}{datetime.now(UTC):%Y%m%dT%H%M%S.%f}")
            for part in _PARTS:
                with suppress(FileNotFoundError):
                    os.rename(beside(self.path, part), beside(kept, part))
        log.error(
            "the spool %s is damaged (%s): it is kept as %s, what can be read of it is delivered, "
            "and a new one is begun",
            self.path,
            reason,
            kept,
        )


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
