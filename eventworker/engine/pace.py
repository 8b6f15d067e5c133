"""How much is taken on at a time, learned from how the last times went."""

from __future__ import annotations

#: Events done without trouble, for each place, before the number grows again.
_CONFIDENCE = 16
#: Seconds that a round should take at the most.
_ROUND = 1.0


class Pace:
    """A number of events, between one and ``largest``.

    Halved by trouble, cut down to what fits into the time, and doubled again after a while without.

    :ivar size: the number.
    """

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._done = 0
        self.size = largest

    def shrink(self) -> None:
        """There was trouble."""
        self.limit(self.size // 2)

    def limit(self, size: int) -> None:
        """No more than these were done in the time that there is."""
        self.size = max(size, 1)
        self._done = 0

    def grow(self, done: int) -> None:
        """So many were done without trouble."""
        self._done += done
        if self.size < self._largest and self._done >= self.size * _CONFIDENCE:
            self.size = min(self.size * 2, self._largest)
            self._done = 0

    def keep(self, done: int, seconds: float) -> None:
        """So many took so long; a round should take a second at the most."""
        if seconds > _ROUND and done:
            self.limit(min(self.size, int(done * _ROUND / seconds)))
        else:
            self.grow(done)
