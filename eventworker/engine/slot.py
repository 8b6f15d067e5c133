"""What a child is doing right now, in memory that it shares with the daemon.

Written before and after each call of a plugin, read by the daemon to see an overrun and, after a
death, whom to blame. No lock: one writer, and a flag that is set last and cleared first.
"""

from __future__ import annotations

import mmap
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

_BODY = struct.Struct("=16sHdd")
#: Where the flag stands, behind the body.
_BUSY = 64


@dataclass(frozen=True, slots=True)
class Call:
    """A call in progress.

    :ivar kill_at: when the daemon kills the process, on the clock of :func:`time.monotonic`, which
        all processes of a host share.
    """

    event_id: UUID
    plugin: int
    timeout: float
    kill_at: float


class Slot:
    """One child's slot; made by the daemon before it forks the child."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)  # anonymous and shared: survives fork

    @contextmanager
    def calling(self, event_id: UUID, plugin: int, timeout: float) -> Iterator[None]:
        """The child is inside a plugin for at most ``timeout`` seconds plus a grace."""
        self.enter(event_id, plugin, timeout)
        try:
            yield
        finally:
            self.leave()

    def enter(self, event_id: UUID, plugin: int, timeout: float) -> None:
        kill_at = time.monotonic() + timeout + grace(timeout)
        _BODY.pack_into(self._memory, 0, event_id.bytes, plugin, timeout, kill_at)
        self._memory[_BUSY] = 1

    def leave(self) -> None:
        self._memory[_BUSY] = 0

    def read(self) -> Call | None:
        """The call in progress, or None."""
        if not self._memory[_BUSY]:
            return None
        raw, plugin, timeout, kill_at = _BODY.unpack_from(self._memory, 0)
        return Call(UUID(bytes=bytes(raw)), plugin, timeout, kill_at)


def grace(timeout: float) -> float:
    """Seconds between the interruption of an overrunning call and the kill."""
    return min(max(0.5, timeout / 10), 10.0)
