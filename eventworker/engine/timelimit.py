"""Interrupting a call that takes too long, from inside its own process."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from eventworker.errors import HandlerTimeout

_armed: float | None = None


def install() -> None:
    """Take SIGALRM for the time limit of this process's calls."""
    signal.signal(signal.SIGALRM, _on_alarm)


def _on_alarm(_signal: int, _frame: Any) -> None:
    # An alarm that was on its way when the call ended must not hit the framework.
    if _armed is not None:
        raise HandlerTimeout(f"the call took longer than its limit of {_armed:g} s")


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise :class:`~eventworker.errors.HandlerTimeout` in the main thread after ``seconds``.

    It cannot interrupt C code that does not come back to Python; the daemon's kill can.
    """
    global _armed
    _armed = seconds
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        _armed = None
        signal.setitimer(signal.ITIMER_REAL, 0)
