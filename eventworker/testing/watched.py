"""A plugin whose calls are counted, and one whose process dies at a chosen moment."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Self

from sqlalchemy import Engine
from sqlalchemy import event as sqlalchemy_event

from eventworker.effects import Effect
from eventworker.engine.loader import Loaded
from eventworker.event import Event

#: ``commit``: ``handle()`` has returned. ``write``: at its first INSERT, UPDATE or DELETE.
Moment = Literal["write", "commit"]


@dataclass(frozen=True, slots=True)
class Watched(Loaded):
    """A plugin whose calls are counted."""

    calls: list[Event] = field(default_factory=list)

    @classmethod
    def of(cls, loaded: Loaded, **more: Any) -> Self:
        return cls(**{each.name: getattr(loaded, each.name) for each in fields(loaded)}, **more)

    def call(self, session: Any, author: Any, event: Event) -> None:
        self.calls.append(event)
        Loaded.call(self, session, author, event)

    def call_batch(self, session: Any, events: list[Event]) -> None:
        self.calls.extend(events)
        Loaded.call_batch(self, session, events)


@dataclass(frozen=True, slots=True)
class Mortal(Watched):
    """A plugin that dies during its call."""

    at: Moment = "commit"

    def call(self, session: Any, author: Any, event: Event) -> None:
        with _death_at_a_write(session.bind.engine) if self.at == "write" else nullcontext():
            Watched.call(self, session, author, event)
            session.flush()
        if self.at == "commit":
            raise Died


@dataclass(frozen=True, slots=True)
class WatchedPerformer(Loaded):
    """A plugin of which is known what it performed; with ``crash`` it dies after each effect."""

    performed: list[Effect] = field(default_factory=list)
    crash: bool = False

    @classmethod
    def of(cls, loaded: Loaded, **more: Any) -> Self:
        return cls(**{each.name: getattr(loaded, each.name) for each in fields(Loaded)}, **more)

    def perform(self, effect: Effect) -> None:
        self.performed.append(effect)
        Loaded.perform(self, effect)
        if self.crash:
            raise Died


class Died(BaseException):
    """The death of a process, as far as one can die in a test."""


_WRITE = re.compile(r"\s*(?:INSERT|UPDATE|DELETE|MERGE|REPLACE)\b", re.IGNORECASE)


@contextmanager
def _death_at_a_write(engine: Engine) -> Iterator[None]:
    def die(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if _WRITE.match(statement):
            raise Died

    sqlalchemy_event.listen(engine, "before_cursor_execute", die)
    try:
        yield
    finally:
        sqlalchemy_event.remove(engine, "before_cursor_execute", die)
