"""What a plugin can leave behind in its process when its call is over."""

from __future__ import annotations

import locale
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

from sqlalchemy.orm import Session


def threads(_session: Session, _folder: Path) -> None:
    for daemonic in (True, False):
        threading.Thread(target=time.sleep, args=(300,), daemon=daemonic).start()


def files(_session: Session, folder: Path) -> None:
    """As many as would soon be too many, without anybody who closes them."""
    for _ in range(50):
        os.open(folder, os.O_RDONLY)


def children(_session: Session, _folder: Path) -> None:
    """One that ends by and by, and that nobody waits for."""
    pid = os.fork()
    if pid == 0:
        os.execvp("sleep", ["sleep", "0.5"])
    subprocess.run(["true"], check=True)


def stray(_session: Session, _folder: Path) -> None:
    """A fork whose child forgets to end, and comes back from the call like its parent."""
    os.fork()


def stray_that_fails(_session: Session, _folder: Path) -> None:
    if os.fork() == 0:
        raise SystemExit(0)


def takes_signals(_session: Session, _folder: Path) -> None:
    """As libraries do that think they own the process."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_IGN)


def blocks_signals(_session: Session, _folder: Path) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGALRM])


def moves(_session: Session, _folder: Path) -> None:
    os.chdir("/")


def masks(_session: Session, _folder: Path) -> None:
    os.umask(0o777)


def speaks(_session: Session, _folder: Path) -> None:
    locale.setlocale(locale.LC_ALL, "C")


LEFTOVERS = (
    threads,
    files,
    children,
    stray,
    stray_that_fails,
    takes_signals,
    blocks_signals,
    moves,
    masks,
    speaks,
)
