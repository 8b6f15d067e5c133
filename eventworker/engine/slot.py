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

_BODY = struct.Struct("=16sHqdd")
#: Where the state stands, behind the body, and whether this process has done any work.
_STATE, _WORKED = 64, 65
_IDLE, _CALLING, _RETURNED = 0, 1, 2
#: Stands for the events of a group.
_SEVERAL = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Call:
    """A call in progress.

    :ivar event_id: None for a group of events, of which none can be blamed. They will be delivered
        again, and what is delivered again is alone.
    :ivar n: which of the plugin's effects of this event is being performed; 0 for a call with the
        event itself.
    :ivar kill_at: when the daemon kills the process, on the clock of :func:`time.monotonic`, which
        all processes of a host share.
    """

    event_id: UUID | None
    plugin: int
    timeout: float
    kill_at: float
    n: int = 0


class Slot:
    """One child's slot; made by the daemon before it forks the child."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)  # anonymous and shared: survives fork

    def enter(self, event_id: UUID, plugin: int, timeout: float, n: int = 0) -> None:
        kill_at = time.monotonic() + timeout + grace(timeout)
        _BODY.pack_into(self._memory, 0, event_id.bytes, plugin, n, timeout, kill_at)
        self._memory[_STATE] = _CALLING

    def enter_group(self, plugin: int, timeout: float) -> None:
        """As :meth:`enter`, for what is done for several events at once."""
        self.enter(_SEVERAL, plugin, timeout)

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

    def clear(self) -> None:
        """Called by the daemon before it forks the next process."""
        self._memory[_STATE] = _IDLE
        self._memory[_WORKED] = 0

    def read(self) -> Call | None:
        """The call in progress, or whose end is not written down yet; None if there is none."""
        state = self._memory[_STATE]
        if state == _IDLE:
            return None
        raw, plugin, n, timeout, kill_at = _BODY.unpack_from(self._memory, 0)
        if state == _RETURNED:
            kill_at = float("inf")
        event_id = UUID(bytes=bytes(raw))
        return Call(event_id if event_id != _SEVERAL else None, plugin, timeout, kill_at, n)


def grace(timeout: float) -> float:
    """Seconds between the interruption of an overrunning call and the kill."""
    return min(max(0.5, timeout / 10), 10.0)
