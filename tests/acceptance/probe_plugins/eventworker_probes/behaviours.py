"""What a plugin can do to its daemon, by the name of the resource that orders it."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from sqlalchemy import event
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
    )
}
