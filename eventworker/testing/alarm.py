"""The signal by which a call is interrupted."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

from eventworker.engine import timelimit


@contextmanager
def borrowed_alarm() -> Iterator[None]:
    """SIGALRM and its timer are the call's for a while, then again whose they were.

    pytest-timeout, for one, has an alarm set while a test runs.
    """
    handler = signal.getsignal(signal.SIGALRM)
    seconds, interval = signal.setitimer(signal.ITIMER_REAL, 0)
    began = time.monotonic()
    timelimit.install()
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, handler)
        if seconds:
            left = max(seconds - (time.monotonic() - began), 0.001)
            signal.setitimer(signal.ITIMER_REAL, left, interval)
