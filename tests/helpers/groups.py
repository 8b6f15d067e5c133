"""Transactional plugins, and what is left of the events that they were given together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine, insert, select

from eventworker.event import Event
from eventworker.inbox.claims import Outcome
from tests.helpers.databases import (
    Author,
    effect_table,
    outcomes,
)
from tests.helpers.events import make_event
from tests.helpers.plugins import Body, Plugin


class Adder:
    """Adds a new object and sends nothing itself, unless the body does."""

    transactional = True

    def __init__(self, body: Body | None = None) -> None:
        self.name = "adder"
        self.body = body
        self.calls: list[Event] = []

    def enabled(self) -> bool:
        return True

    def handle(self, session: Any, event: Event) -> None:
        self.calls.append(event)
        session.add(Author(name=str(event.resource_id)))
        if self.body is not None:
            self.body(session, event)


def events(count: int) -> list[Event]:
    return [make_event(resource_id=number) for number in range(count)]


def writer(body: Body | None = None, **more: Any) -> Plugin:
    return Plugin("writer", body, transactional=True, **more)


def on(number: int, act: Callable[[Any], None]) -> Body:
    """Does it for one event only."""

    def body(session: Any, event: Event) -> None:
        if event.resource_id == number:
            act(session)

    return body


def failing(error: BaseException) -> Callable[[Any], None]:
    def act(_session: Any) -> None:
        raise error

    return act


def names(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return sorted(connection.scalars(select(Author.name)), key=int)


def ends(engine: Engine, some: list[Event]) -> list[Outcome | None]:
    known = outcomes(engine)
    return [known.get((each.id, 1)) for each in some]


def all_done_once(engine: Engine, some: list[Event]) -> bool:
    with engine.connect() as connection:
        written = sorted(connection.scalars(select(effect_table.c.event_id)))
    return written == sorted(str(each.id) for each in some)


class Batcher(Plugin):
    """Has both methods."""

    def __init__(self, body: Callable[[Any, list[Event]], None] | None = None) -> None:
        super().__init__("batcher", transactional=True)
        self.batch_body = body
        self.batches: list[list[Event]] = []

    def handle_batch(self, session: Any, events: list[Event]) -> None:
        self.batches.append(list(events))
        session.execute(
            insert(effect_table), [{"event_id": str(e.id), "what": "batch"} for e in events]
        )
        if self.batch_body is not None:
            self.batch_body(session, events)
