"""Interrupting a call that takes too long, from inside its own process."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from eventworker.errors import HandlerTimeout

_armed: float | None = None


def install() -> None:
    """Take SIGALRM for this process: an alarm that hits nobody's call ends nothing."""
    signal.signal(signal.SIGALRM, _on_alarm)


def _on_alarm(_signal: int, _frame: Any) -> None:
    # An alarm that was on its way when the call ended must not hit the framework.
    if _armed is not None:
        raise HandlerTimeout(f"the call took longer than its limit of {_armed:g} s")


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise :class:`~eventworker.errors.HandlerTimeout` in the main thread after ``seconds``.

    It cannot interrupt C code that does not come back to Python; the daemon's kill can. SIGALRM and
    its timer are ours for the block alone, whatever the block does to them: a plugin that has taken
    the signal for itself has no more than its own call without a limit.
    """
    global _armed
    handler = signal.signal(signal.SIGALRM, _on_alarm)
    _armed = seconds
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds)
    began = time.monotonic()
    try:
        yield
    finally:
        _armed = None
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if left:  # somebody waits for it; pytest-timeout, for one
            left = max(left - (time.monotonic() - began), 0.001)
            signal.setitimer(signal.ITIMER_REAL, left, interval)
