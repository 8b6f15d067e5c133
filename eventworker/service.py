"""The contract of a side service: something the daemon keeps running beside the consumers.

Found through the entry-point group ``eventworker.service``; runs in a child process of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["Child", "Service", "Slot"]


class Slot(Protocol):
    """Where a side service says that it is getting on."""

    def note_work(self) -> None:
        """Something was done: a process that works is none that dies at every start."""


class Child(Protocol):
    """What a side service is told by the daemon."""

    @property
    def name(self) -> str:
        """Owner of the leases that this process takes."""

    @property
    def slot(self) -> Slot:
        """Where it says that it is getting on."""

    @property
    def stopping(self) -> bool:
        """Whether it has been told to finish what it has in hand and end."""

    def wait(self, seconds: float) -> None:
        """Wait, at most until told to stop."""

    def at_stop(self, function: Callable[[], None]) -> None:
        """Have it called when told to stop, by the signal handler: it must be short, and take no
        lock."""


@dataclass(frozen=True, slots=True)
class Service:
    """A side service.

    :ivar wanted: whether this configuration asks for it.
    :ivar run: called with configuration and child; returns when ``child.stopping``.
    """

    wanted: Callable[[Any], bool]
    run: Callable[[Any, Any], None]
