"""Orders at fail-points: a test leaves a file with the place's name, and the first process that
comes by takes it away and does what it says, there and then or when it has come by so many times.
``fired`` tells which did, and where."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from pathlib import Path

from eventworker import failpoints


def obey(folder: str) -> None:
    """Look for orders at each fail-point from now on."""
    for name in failpoints.NAMES:
        failpoints.arm(name, partial(_look, folder, name))


def _look(folder: str, name: str) -> None:
    taken = f"{folder}/{name}.taken.{os.getpid()}"
    try:
        # Of several processes only one can rename it.
        os.rename(f"{folder}/{name}", taken)
    except FileNotFoundError:
        return
    word, _, times = Path(taken).read_text().partition(" ")
    _come_by(folder, name, word, int(times or 1))


def _come_by(folder: str, name: str, word: str, times: int) -> None:
    """
    :param times: which time this is, counted backwards; it is obeyed at the last one.
    """
    if times > 1:
        return failpoints.arm(name, partial(_come_by, folder, name, word, times - 1))
    failpoints.arm(name, partial(_look, folder, name))
    descriptor = os.open(f"{folder}/fired", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(descriptor, f"{name} {word} {os.getpid()}\n".encode())
    os.close(descriptor)
    if word == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif word == "hold":
        while not Path(f"{folder}/{name}.go").exists():
            time.sleep(0.01)
    return None
