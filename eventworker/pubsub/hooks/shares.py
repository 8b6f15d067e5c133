"""How the workers of one daemon are shared between those who have given hooks."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager

#: Seconds in which runs are counted.
_WINDOW = 60.0


class Shares:
    """Whose hooks run right now, and how many have begun during the last minute.

    Whoever claims a run does so inside of :meth:`claiming`: only then no other worker gives the
    same share away meanwhile.

    :param itself: the service, which has no bounds.
    :param workers: of this daemon; nobody else keeps all of them busy, unless there is but one.
    :param per_minute: runs of an owner in a minute; 0 for any number.
    """

    def __init__(self, itself: str, workers: int, per_minute: int = 0) -> None:
        self._itself = itself
        self._most = max(1, workers - 1)
        self._per_minute = per_minute
        self._lock = threading.Lock()
        self._running: Counter[str] = Counter()
        self._begun: defaultdict[str, deque[float]] = defaultdict(deque)

    @contextmanager
    def claiming(self) -> Iterator[list[str]]:
        """Claim inside of the block, nothing of the owners that it is given."""
        with self._lock:
            yield self._exhausted()

    def begin(self, owner: str) -> None:
        """A run of this owner's has been claimed; inside of :meth:`claiming`."""
        if owner != self._itself:
            self._running[owner] += 1
            if self._per_minute:
                self._begun[owner].append(time.monotonic())

    def end(self, owner: str) -> None:
        """It is over."""
        if owner != self._itself:
            with self._lock:
                self._running[owner] -= 1
                if not self._running[owner]:
                    del self._running[owner]

    def _exhausted(self) -> list[str]:
        busy = {owner for owner, count in self._running.items() if count >= self._most}
        since = time.monotonic() - _WINDOW
        for owner, begun in list(self._begun.items()):
            while begun and begun[0] <= since:
                begun.popleft()
            if len(begun) >= self._per_minute:
                busy.add(owner)
            elif not begun:
                del self._begun[owner]
        return sorted(busy)
