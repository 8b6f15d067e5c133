"""Interrupting a call that takes too long, from inside its own process."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from eventworker.errors import HandlerTimeout

_armed: float | None = None
_ends_at = 0.0


def install() -> None:
    """Take SIGALRM for this process: an alarm that hits nobody's call ends nothing."""
    signal.signal(signal.SIGALRM, _on_alarm)


def _on_alarm(_signal: int, _frame: Any) -> None:
    # An alarm that was on its way when its call ended must hit neither the framework nor the next.
    if _armed is not None and time.monotonic() >= _ends_at:
        raise HandlerTimeout(f"the call took longer than its limit of {_armed:g} s")


class Alarm:
    """The timer of :func:`alarm`."""

    def start(self, seconds: float) -> None:
        """Raise :class:`~eventworker.errors.HandlerTimeout` in the main thread after ``seconds``.

        It cannot interrupt C code that does not come back to Python; the daemon's kill can.
        """
        global _armed, _ends_at
        signal.setitimer(signal.ITIMER_REAL, seconds)
        # The timer may be a little early by this clock.
        _ends_at = time.monotonic() + seconds - min(0.01, seconds / 2)
        _armed = seconds

    def stop(self) -> None:
        """Raise nothing any more. The timer runs on, which costs less than to stop it."""
        global _armed
        _armed = None


@contextmanager
def alarm() -> Iterator[Alarm]:
    """A time limit for one call after the other.

    SIGALRM and its timer are ours for the block alone, whatever the block does to them: a plugin
    that has taken the signal for itself has no more than its own calls without a limit.
    """
    handler = signal.signal(signal.SIGALRM, _on_alarm)
    left, interval = signal.setitimer(signal.ITIMER_REAL, 0)
    began = time.monotonic()
    timer = Alarm()
    try:
        yield timer
    finally:
        timer.stop()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if left:  # somebody waits for it; pytest-timeout, for one
            left = max(left - (time.monotonic() - began), 0.001)
            signal.setitimer(signal.ITIMER_REAL, left, interval)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """A time limit of ``seconds`` for the block, as :meth:`Alarm.start` says."""
    with alarm() as timer:
        timer.start(seconds)
        yield
