"""When a consumer has worked for long enough: the memory that a plugin leaks goes with its process.

Such a consumer finishes what is in hand, gives the rest back and ends; the daemon replaces it.
"""

from __future__ import annotations

import logging
import math
import os
import random
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

_MIB = 2**20
#: Seconds between two looks at the memory.
_LOOK_EVERY = 0.25
_PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")


def resident() -> int:
    """Bytes of this process that are in memory, shared ones included."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * _PAGE_SIZE


class Wear:
    """Counts what one process has done.

    :param max_rss: MiB; 0 for no limit.
    :param max_events: deliveries and calls from the backlog; 0 for no limit. Jittered, so that the
        consumers of a host do not end all at once.
    """

    def __init__(self, max_rss: int, max_events: int, memory: Callable[[], int] = resident) -> None:
        self._memory = memory
        self._max_rss = max_rss * _MIB
        self._max_events = max_events and max(1, round(max_events * random.uniform(0.9, 1.0)))
        self._events = 0
        self._look_at = 0.0
        if self._max_rss and (taken := memory()) >= self._max_rss:
            # Its successor would be no smaller, and the one after it neither.
            log.error(
                "max_consumer_rss = %d MiB is not looked at: with its plugins loaded the process "
                "has %d MiB already",
                max_rss,
                taken // _MIB,
            )
            self._max_rss = 0

    def count(self, events: int = 1) -> None:
        """So many were handled."""
        self._events += events

    @property
    def events_left(self) -> float:
        """How many more it may handle."""
        return max(self._max_events - self._events, 0) if self._max_events else math.inf

    def _resident(self) -> int:
        try:
            return self._memory()
        except OSError:  # no descriptor is left; that is no reason to end
            return 0

    def reason(self) -> str:
        """Why the process should end now; empty when it may go on."""
        if self._max_events and self._events >= self._max_events:
            return f"it has handled {self._events} events"
        if self._max_rss and self._events and time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + _LOOK_EVERY
            if (taken := self._resident()) >= self._max_rss:
                limit = self._max_rss // _MIB
                return (
                    f"it has {taken // _MIB} MiB of memory, and max_consumer_rss is {limit} MiB "
                    f"(events handled: {self._events})"
                )
        return ""
