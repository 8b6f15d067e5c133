"""Plugins that do the work of the benchmarks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import benchwork
from sqlalchemy import insert
from sqlalchemy.orm import Session

from eventworker import Event, WorkerTaskBase


def plain(event: Event) -> dict[str, Any]:
    """What the work needs of an event."""
    return {
        "resource": event.resource,
        "resource_id": event.resource_id,
        "resource_after": event.resource_after,
    }


class Add(WorkerTaskBase):
    """One new row, through the session alone."""

    transactional = True

    def handle(self, session: Session, event: Event) -> None:
        """Add it."""
        benchwork.add(session, plain(event))


class AddOrdinary(Add):
    """The same by a plugin that says nothing of its effects."""

    transactional = False


class AddBatch(Add):
    """The same, and many events at once."""

    def handle_batch(self, session: Session, events: Sequence[Event]) -> None:
        """Add a row for each."""
        benchwork.enter()
        rows = [benchwork.values(plain(event)) for event in events]
        session.execute(insert(benchwork.Effect), rows)


class Mixed(WorkerTaskBase):
    """A row selected, another added, the first changed."""

    transactional = True

    def handle(self, session: Session, event: Event) -> None:
        """Do so."""
        benchwork.mixed(session, plain(event))


class Failing(WorkerTaskBase):
    """One new row; some events fail at first."""

    transactional = True

    def handle(self, session: Session, event: Event) -> None:
        """Add it, or raise."""
        benchwork.failing(session, plain(event))
