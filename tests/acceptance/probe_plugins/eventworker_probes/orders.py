"""Orders at fail-points: a test leaves a file with the place's name, and the first process that
comes by takes it away and does what it says. ``fired`` tells which did, and where."""

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
    word = Path(taken).read_text()
    descriptor = os.open(f"{folder}/fired", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(descriptor, f"{name} {word} {os.getpid()}\n".encode())
    os.close(descriptor)
    if word == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif word == "hold":
        while not Path(f"{folder}/{name}.go").exists():
            time.sleep(0.01)
