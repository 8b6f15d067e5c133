"""Probes whose events share transactions, in the three ways in which a plugin can use its session.

Each also notes in the file ``shared`` which of its calls were made in a transaction with others.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Float, Integer, String, insert, select, update
from sqlalchemy.orm import DeclarativeBase, Session

from eventworker.db import GroupSession
from eventworker.event import Event
from eventworker_probes.behaviours import BEHAVIOURS
from eventworker_probes.probe import Probe, note_call


class Base(DeclarativeBase):
    pass


class Effect(Base):
    """A row of the table of effects, which has no key; only the mapping needs one."""

    __tablename__ = "probe_effect"
    event_id = Column(String(36), primary_key=True)
    plugin = Column(String(20), primary_key=True)
    pid = Column(Integer)
    at = Column(Float, primary_key=True)


class Tally(Base):
    """How many effects of a plugin there are."""

    __tablename__ = "probe_tally"
    plugin = Column(String(20), primary_key=True)
    n = Column(Integer)


class Sharing(Probe):
    transactional = True

    def handle(self, session: Session, event: Event) -> None:
        self._note(session, [event])
        self.write(session, event)
        self._misbehave(session, event)

    def write(self, session: Session, event: Event) -> None:
        """The effect."""
        raise NotImplementedError

    def _effect(self, event: Event) -> dict[str, Any]:
        ours = {"event_id": str(event.id), "plugin": self.name, "pid": os.getpid()}
        return {**ours, "at": time.time()}

    def _note(self, session: Session, events: Sequence[Event]) -> None:
        for event in events:
            line = f"{event.id} {self.name} {os.getpid()}\n"
            note_call(self._folder, line)
            if isinstance(session, GroupSession):
                note_call(self._folder, line, "shared")

    def _misbehave(self, session: Session, event: Event) -> None:
        if event.resource in self.config[f"plugin:{self.name}"].obeys:
            BEHAVIOURS[event.resource](session, self._folder)

    @property
    def _folder(self) -> Path:
        return Path(self.config[f"plugin:{self.name}"].folder)


class Adder(Sharing):
    """Adds a new object and sends nothing."""

    name = "adder"

    def write(self, session: Session, event: Event) -> None:
        session.add(Effect(**self._effect(event)))


class Writer(Sharing):
    """Asks, inserts and counts by statements of its own."""

    name = "writer"

    def write(self, session: Session, event: Event) -> None:
        mine = (Effect.event_id == str(event.id), Effect.plugin == self.name)
        if session.scalar(select(Effect.at).where(*mine)) is not None:
            raise LookupError("the effect is there before its call")
        session.execute(insert(Effect).values(self._effect(event)))
        session.execute(update(Tally).where(Tally.plugin == self.name).values(n=Tally.n + 1))


class Batcher(Sharing):
    """Takes all events of a group at once."""

    name = "batcher"

    def write(self, session: Session, event: Event) -> None:
        session.execute(insert(Effect.__table__), [self._effect(event)])

    def handle_batch(self, session: Session, events: list[Event]) -> None:
        self._note(session, events)
        session.execute(insert(Effect.__table__), [self._effect(event) for event in events])
        for event in events:
            self._misbehave(session, event)
