"""Which deliveries of a channel are to be acknowledged, in as few words as can be.

An ack of many (``multiple``) says that all deliveries up to its tag are dealt with (AMQP 0-9-1,
class ``basic``, method ``ack``). It is used only where that is true of every one that the broker
still waits to hear of.
"""

from __future__ import annotations

from typing import NamedTuple


class Frame(NamedTuple):
    """What to tell the broker: ack or give back the delivery of a tag, or all up to it."""

    tag: int
    ack: bool
    multiple: bool


class Tags:
    """The deliveries of one channel of which the broker has not been told the outcome.

    Tags ascend by delivery. Used from one thread, like the channel.
    """

    def __init__(self) -> None:
        self._unsettled: dict[int, None] = {}  # in their order
        self._acked: set[int] = set()
        self._returned: list[int] = []

    def delivered(self, tag: int) -> None:
        """A delivery has arrived under this tag."""
        self._unsettled[tag] = None

    def settle(self, tag: int, ack: bool) -> None:
        """It is dealt with, or given back; once for each delivery."""
        if ack:
            self._acked.add(tag)
        else:
            self._returned.append(tag)

    def frames(self) -> list[Frame]:
        """What to tell the broker of what was settled since the last call, in this order."""
        # What is given back goes first, so that no ack of many comes over it.
        frames = [Frame(tag, False, False) for tag in self._returned]
        for tag in self._returned:
            del self._unsettled[tag]
        self._returned.clear()
        if not self._acked:
            return frames
        first: list[int] = []
        for tag in self._unsettled:
            if tag not in self._acked:
                break
            first.append(tag)
        if first:
            frames.append(Frame(first[-1], True, len(first) > 1))
            self._acked.difference_update(first)
        frames += [Frame(tag, True, False) for tag in sorted(self._acked)]
        for tag in (*first, *self._acked):
            del self._unsettled[tag]
        self._acked.clear()
        return frames
