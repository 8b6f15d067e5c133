"""Publishing no faster than so many events per second."""

from __future__ import annotations

import time
from collections.abc import Callable

#: Seconds of the rate that may go at once, after a stall that was none of ours.
_BURST = 1.0
#: Seconds of the rate that one round is.
_ROUND = 0.1


class Pace:
    """A token bucket: what is due moves on by exactly ``1 / per_second`` for each event, whatever
    the sleeps and the sending took, so the rate is exact over any longer time.

    After a stall of the broker's it catches up, with at most one second's worth of events.

    :param per_second: events; None for no limit.
    :param sleep: as :func:`time.sleep`.
    """

    def __init__(
        self,
        per_second: float | None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._per_second = per_second
        self._clock = clock
        self._sleep = sleep
        self._due: float | None = None

    def round(self, largest: int) -> int:
        """How many events to send at a time, so that they do not come in gushes."""
        if self._per_second is None:
            return largest
        return max(1, min(largest, int(self._per_second * _ROUND)))

    def wait(self, events: int) -> None:
        """Wait until the next events may go, and count them."""
        if self._per_second is None:
            return
        now = self._clock()
        due = now if self._due is None else max(self._due, now - _BURST)
        if due > now:
            self._sleep(due - now)
        self._due = due + events / self._per_second
