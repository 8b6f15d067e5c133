"""What a plugin can do to its daemon, by the name of the resource that orders it."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Connection, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from eventworker_probes.leftovers import LEFTOVERS
from eventworker_probes.transactions import REFUSED, TAMED, driver_commit

Behaviour = Callable[[Session, Path], None]


def boom(_session: Session, folder: Path) -> None:
    """Fail, until repaired."""
    if not (folder / "repaired").exists():
        raise RuntimeError("boom")


def boom_twice(_session: Session, folder: Path) -> None:
    """Fail at the first two calls."""
    failures = folder / "failures"
    if failures.exists():
        if failures.read_text() == "2":
            return
        failures.write_text("2")
    else:
        failures.write_text("1")
    raise RuntimeError("not yet")


class Fatal(BaseException):
    """Not an Exception, as what means to end a process is."""


def fatal(_session: Session, _folder: Path) -> None:
    raise Fatal("nobody catches this")


def interrupted(_session: Session, _folder: Path) -> None:
    raise KeyboardInterrupt


def hold(_session: Session, folder: Path) -> None:
    """Go on when the test says so."""
    while not (folder / "released").exists():
        time.sleep(0.01)


_leaked: list[bytes] = []


def leak(_session: Session, _folder: Path) -> None:
    """Keep ten more MiB, touched, for the life of the process."""
    _leaked.append(os.urandom(1) * (10 * 2**20))


def hang(_session: Session, _folder: Path) -> None:
    """Python code that never ends, but lets itself be interrupted."""
    while True:
        time.sleep(60)


def stubborn(_session: Session, _folder: Path) -> None:
    """Python code that swallows the interruption, too."""
    while True:
        with suppress(BaseException):
            time.sleep(60)


def lock(_session: Session, _folder: Path) -> None:
    """A lock that its own holder waits for."""
    mutex = threading.Lock()
    mutex.acquire()
    mutex.acquire()


def uninterruptible(_session: Session, _folder: Path) -> None:
    """C code that gives the GIL away and never comes back, as a read from a dead disk."""
    mutex = ctypes.create_string_buffer(128)
    library = ctypes.CDLL(None)
    library.pthread_mutex_lock(mutex)
    library.pthread_mutex_lock(mutex)


#: Statements that do not end, in all their kinds; the comment is looked for in pg_stat_activity.
_ENDLESS = {
    "postgresql": "SELECT pg_sleep(3600) /* endless */",
    "mariadb": "SELECT SLEEP(3600) /* endless */",
    "sqlite": "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) "
    "SELECT max(n) FROM c",
}
_CROSS_JOIN = (
    "SELECT count(*) /* endless */"
    " FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b"
)


def endless_sql(session: Session, _folder: Path) -> None:
    """A statement that the database never ends."""
    session.execute(text(_ENDLESS[session.get_bind().dialect.name]))


def cross_join(session: Session, _folder: Path) -> None:
    """One that keeps PostgreSQL busy."""
    session.execute(text(_CROSS_JOIN))


def deadlock_in_sql(session: Session, folder: Path) -> None:
    """The server is busy for a process that has forgotten about it."""
    driver = session.connection().connection.driver_connection
    driver.pgconn.send_query(_CROSS_JOIN.encode())  # type: ignore[union-attr]
    deadlock(session, folder)


def deadlock(_session: Session, _folder: Path) -> None:
    """C code that keeps the GIL and never comes back: no signal handler of Python's can run."""
    mutex = ctypes.create_string_buffer(128)
    library = ctypes.PyDLL(None)
    library.pthread_mutex_lock(mutex)
    library.pthread_mutex_lock(mutex)


def segfault(_session: Session, _folder: Path) -> None:
    ctypes.string_at(0)


def abort(_session: Session, _folder: Path) -> None:
    os.abort()


def memory(_session: Session, _folder: Path) -> None:
    """Ask for more memory than there is allowed to be."""
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (2**30, limits[1]))
    try:
        bytearray(2**31)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def leave(_session: Session, _folder: Path) -> None:
    os._exit(3)


def sysexit(_session: Session, _folder: Path) -> None:
    raise SystemExit(7)


def killed(_session: Session, _folder: Path) -> None:
    """As the kernel's out-of-memory killer does it."""
    os.kill(os.getpid(), signal.SIGKILL)


def die_after_commit(session: Session, _folder: Path) -> None:
    """Die when the connection is given back: its COMMIT has returned, and nothing is acked yet."""
    event.listen(session.connection().engine, "checkin", lambda *_: killed(session, _folder))


def count(session: Session, _folder: Path) -> None:
    """Change a row that everybody wants to change."""
    session.execute(_COUNT, {"id": 1})


def one_then_two(session: Session, folder: Path) -> None:
    """Lock two rows, the second when somebody has locked it by `two_then_one`: a deadlock."""
    _lock_both(session, folder, 1, 2)


def two_then_one(session: Session, folder: Path) -> None:
    _lock_both(session, folder, 2, 1)


def _lock_both(session: Session, folder: Path, first: int, second: int) -> None:
    session.execute(_COUNT, {"id": first})
    (folder / f"locked-{first}").touch()
    deadline = time.monotonic() + 8
    while not (folder / f"locked-{second}").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    session.execute(_COUNT, {"id": second})


def stumble(session: Session, folder: Path) -> None:
    """Undo everything and fail, until repaired."""
    if not (folder / "repaired").exists():
        session.rollback()
        raise RuntimeError("stumbled")


def swallow(session: Session, folder: Path) -> None:
    """Lose the transaction and say nothing of it, until repaired."""
    if (folder / "repaired").exists():
        return
    connection = session.connection()
    if connection.dialect.name == "postgresql":
        with suppress(DBAPIError):
            connection.exec_driver_sql("SELECT 1/0")
    else:
        connection.connection.rollback()


def hoard(session: Session, folder: Path) -> None:
    """Take connections and never give them back, until there are none; or until repaired."""
    engine = session.connection().engine
    while not (folder / "repaired").exists():
        _hoarded.append(engine.connect())


_COUNT = text("UPDATE probe_lock SET n = n + 1 WHERE id = :id")
_hoarded: list[Connection] = []

BEHAVIOURS: dict[str, Behaviour] = {
    each.__name__: each
    for each in (
        boom,
        boom_twice,
        fatal,
        interrupted,
        hold,
        leak,
        hang,
        lock,
        stubborn,
        uninterruptible,
        deadlock,
        endless_sql,
        cross_join,
        deadlock_in_sql,
        segfault,
        abort,
        memory,
        leave,
        sysexit,
        killed,
        die_after_commit,
        count,
        one_then_two,
        two_then_one,
        stumble,
        swallow,
        hoard,
        driver_commit,
        *TAMED,
        *REFUSED,
        *LEFTOVERS,
    )
}
