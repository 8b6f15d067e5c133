"""What a plugin can do to its daemon, by the name of the resource that orders it."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Connection, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

Behaviour = Callable[[Session, Path], None]


def boom(_session: Session, folder: Path) -> None:
    """Fail, until repaired."""
    if not (folder / "repaired").exists():
        raise RuntimeError("boom")


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


def deadlock(_session: Session, _folder: Path) -> None:
    """C code that keeps the GIL and never comes back: no signal handler of Python's can run."""
    mutex = ctypes.create_string_buffer(128)
    library = ctypes.PyDLL(None)
    library.pthread_mutex_lock(mutex)
    library.pthread_mutex_lock(mutex)


def segfault(_session: Session, _folder: Path) -> None:
    ctypes.string_at(0)


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
        hold,
        leak,
        hang,
        stubborn,
        deadlock,
        segfault,
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
    )
}
