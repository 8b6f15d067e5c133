"""What a child is doing right now, in memory that it shares with the daemon.

Written before and after each call of a plugin, read by the daemon to see an overrun and, after a
death, whom to blame. No lock: one writer, and a state that is set last and cleared first.
"""

from __future__ import annotations

import mmap
import struct
import time
from dataclasses import dataclass
from uuid import UUID

_BODY = struct.Struct("=16sHdd")
#: Where the state stands, behind the body, whether the process wants to be replaced, and whether it
#: has done anything since it began.
_STATE, _WORN, _WORKED = 64, 65, 66
_IDLE, _CALLING, _RETURNED = 0, 1, 2


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

    def clear(self) -> None:
        """Begin anew, for another process."""
        self._memory[_STATE] = _IDLE
        self._memory[_WORN] = 0
        self._memory[_WORKED] = 0

    def retire(self) -> None:
        """The process is about to end well, and wants to be replaced."""
        self._memory[_WORN] = 1

    @property
    def retired(self) -> bool:
        """Whether it said so."""
        return bool(self._memory[_WORN])

    def enter(self, event_id: UUID, plugin: int, timeout: float) -> None:
        kill_at = time.monotonic() + timeout + grace(timeout)
        _BODY.pack_into(self._memory, 0, event_id.bytes, plugin, timeout, kill_at)
        self._memory[_STATE] = _CALLING

    def returned(self) -> None:
        """The call is over and has no time limit any more; its end is yet to be written down."""
        if self._memory[_STATE]:
            self._memory[_STATE] = _RETURNED

    def leave(self) -> None:
        """The end of the call is written down."""
        self._memory[_STATE] = _IDLE

    def note_work(self) -> None:
        """Something was handled to its end: whatever this process dies of now, it was able to
        work."""
        self._memory[_WORKED] = 1

    @property
    def has_worked(self) -> bool:
        """Whether the process has handled anything."""
        return bool(self._memory[_WORKED])

    def read(self) -> Call | None:
        """The call in progress, or whose end is not written down yet; None if there is none."""
        state = self._memory[_STATE]
        if state == _IDLE:
            return None
        raw, plugin, timeout, kill_at = _BODY.unpack_from(self._memory, 0)
        if state == _RETURNED:
            kill_at = float("inf")
        return Call(UUID(bytes=bytes(raw)), plugin, timeout, kill_at)


def grace(timeout: float) -> float:
    """Seconds between the interruption of an overrunning call and the kill."""
    return min(max(0.5, timeout / 10), 10.0)
