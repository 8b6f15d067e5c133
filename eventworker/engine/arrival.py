"""Deliveries that are being dispatched, and what has become of them so far."""

from __future__ import annotations

from dataclasses import dataclass, field

from eventworker.engine.loader import Loaded
from eventworker.event import Event
from eventworker.transport import Delivery


@dataclass(slots=True)
class Left:
    """What is to be written down for the plugins that were not called.

    :ivar parked: they are owed the event now.
    :ivar waiting: they are owed it, after an earlier one.
    :ivar skipped: they do not want it, and what comes after it must not wait for it.
    :ivar to_us: this process has something to do in the backlog.
    """

    parked: list[int] = field(default_factory=list)
    waiting: list[tuple[int, Loaded]] = field(default_factory=list)
    skipped: list[int] = field(default_factory=list)
    to_us: bool = False

    def to_ourselves(self, number: int) -> None:
        """Owe it to a plugin of this process."""
        self.parked.append(number)
        self.to_us = True


@dataclass(slots=True)
class Arrival:
    """One delivery, and what became of it so far.

    :ivar is_wanted: a plugin that shares its transactions has been called with it.
    """

    delivery: Delivery
    event: Event
    left: Left = field(default_factory=Left)
    is_wanted: bool = False
