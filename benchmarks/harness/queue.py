"""A queue that events wait in, from the publisher's side."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod

from tests.servers import wait_until


class Queue(ABC):
    """Where a contender's events come from."""

    @abstractmethod
    def publish(self, number: int, published: float | None = None) -> None:
        """Put one event into it, durably."""

    @abstractmethod
    def left(self) -> int:
        """Events that are in it, those in somebody's hands included."""

    @abstractmethod
    def close(self) -> None:
        """Let go of it."""

    def fill(self, events: int) -> None:
        """Put so many events into it; returns when they are all there."""
        for number in range(events):
            self.publish(number)
        wait_until(lambda: self.left() == events, 60, "the queue does not get full")

    def publish_steadily(self, first: int, rate: float, seconds: float) -> int:
        """Put so many events a second into it, each with the time; returns how many.

        :param first: the number of the first event.
        """
        events = int(rate * seconds)
        begun = time.monotonic()
        for index in range(events):
            while (early := begun + index / rate - time.monotonic()) > 0:
                time.sleep(early)
            self.publish(first + index, time.time())
        return events
