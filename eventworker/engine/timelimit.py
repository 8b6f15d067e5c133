"""Interrupting a call that takes too long, from inside its own process."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from eventworker.errors import HandlerTimeout

_armed: float | None = None
#: When the call has to end, and when the timer rings, on the clock of time.monotonic().
_ends_at, _rings_at = 0.0, float("inf")
#: Seconds by which the timer may ring before its time by that clock.
_EARLY = 0.001


def install() -> None:
    """Take SIGALRM for this process: an alarm that hits nobody's call ends nothing."""
    signal.signal(signal.SIGALRM, _on_alarm)


def _on_alarm(_signal: int, _frame: Any) -> None:
    global _rings_at
    _rings_at = float("inf")
    # An alarm that was on its way when its call ended must hit neither the framework nor the next.
    if _armed is None:
        return
    left = _ends_at - time.monotonic()
    if left > _EARLY:
        _set_timer(left)
    else:
        raise HandlerTimeout(f"the call took longer than its limit of {_armed:g} s")


def _set_timer(seconds: float) -> None:
    global _rings_at
    _rings_at = time.monotonic() + seconds
    signal.setitimer(signal.ITIMER_REAL, seconds)


class Alarm:
    """The timer of :func:`alarm`."""

    def start(self, seconds: float) -> None:
        """Raise :class:`~eventworker.errors.HandlerTimeout` in the main thread after ``seconds``.

        It cannot interrupt C code that does not come back to Python; the daemon's kill can.
        """
        global _armed, _ends_at
        _ends_at = time.monotonic() + seconds
        _armed = seconds
        # One that rings earlier, for a call before this one, sets itself anew. So a thousand short
        # calls set it once.
        if _rings_at > _ends_at:
            _set_timer(seconds)

    def stop(self) -> None:
        """Raise nothing any more."""
        global _armed
        _armed = None


@contextmanager
def alarm() -> Iterator[Alarm]:
    """A time limit for one call after the other.

    SIGALRM and its timer are ours for the block alone, whatever the block does to them: a plugin
    that has taken the signal for itself has no more than its own calls without a limit.
    """
    global _rings_at
    handler = signal.signal(signal.SIGALRM, _on_alarm)
    left, interval = signal.setitimer(signal.ITIMER_REAL, 0)
    _rings_at = float("inf")
    began = time.monotonic()
    timer = Alarm()
    try:
        yield timer
    finally:
        timer.stop()
        signal.setitimer(signal.ITIMER_REAL, 0)
        _rings_at = float("inf")
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
