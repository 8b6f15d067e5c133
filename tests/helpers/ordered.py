"""Events recorded in order, and a plugin that leaves behind in which order it was called."""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import Any

import pytest
from sqlalchemy import Engine, select, update

from eventworker import outbox
from eventworker.db import clock, short_transaction
from eventworker.engine import gaps, order
from eventworker.event import Event
from eventworker.inbox.backlog import delivery_table
from eventworker.inbox.registry import plugin_table
from eventworker.outbox import queue
from eventworker.outbox.table import LOST, SENT, outbox_table
from tests.helpers.databases import effect_table, write
from tests.helpers.events import make_event
from tests.helpers.plugins import Body, Workshop

_moment = itertools.count()


def record(engine: Engine, *resource_ids: Any, sent: bool = True, **fields: Any) -> list[Event]:
    """One event for each id, in order; ``sent``: it has left the outbox, as for a broker."""
    events = []
    for resource_id in resource_ids:
        with short_transaction(engine) as connection:
            event = make_event(resource="story", resource_id=resource_id, **fields)
            events.append(outbox.record(connection, event, ordered=True))
    if sent:
        with short_transaction(engine) as connection:
            queue.settle(connection, [event.id for event in events])
    return events


def nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a test of one thread what comes too early is in nobody else's hands, so that a wait for
    the one before is in vain."""
    monkeypatch.setattr(order, "_PAUSES", (0.0,))


class InOrder:
    """An ordered plugin; its effects say when, of which resource and which place."""

    ordered = True

    def __init__(self, name: str = "inorder", body: Body | None = None, **declared: Any) -> None:
        self.name = name
        self.body = body
        self.calls: list[Event] = []
        for attribute, value in declared.items():
            setattr(self, attribute, value)

    def enabled(self) -> bool:
        return True

    def handle(self, session: Any, event: Event) -> None:
        self.calls.append(event)
        write(session, f"{next(_moment):09} {event.stream} {event.seq}", event.id)
        if self.body is not None:
            self.body(session, event)


def done(engine: Engine) -> dict[str, list[int]]:
    """The places of the events that are done, by resource, in the order in which they were."""
    with engine.connect() as connection:
        found = sorted(connection.scalars(select(effect_table.c.what)))
    places: dict[str, list[int]] = defaultdict(list)
    for what in found:
        _, stream, seq = what.split()
        places[stream].append(int(seq))
    return dict(places)


def failing(error: BaseException, *seqs: int) -> Any:
    def body(_session: Any, event: Event) -> None:
        if event.stream == "story/1" and event.seq in seqs:
            raise error

    return body


def drain(*shops: Workshop) -> None:
    """What is due now, and what becomes due by that."""
    for _ in range(100):
        if not any([shop.runner.run_due() for shop in shops]):
            return
    raise AssertionError("something is due for ever")


def an_hour_later(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if what is there had been there for an hour, and the plugin and the daemon longer."""
    given = outbox_table.c.state.in_((SENT, LOST))
    then = clock(-3600.0)
    with short_transaction(engine) as connection:
        connection.execute(update(plugin_table).values(ordered_since=clock(-7200.0)))
        connection.execute(update(outbox_table).where(given).values(settled_at=then, sent_at=then))
        connection.execute(update(delivery_table).values(created_at=then))
    monkeypatch.setattr(gaps, "_up_since", gaps._up_since - 7200.0)


def set_state(engine: Engine, event: Event, state: int) -> None:
    with short_transaction(engine) as connection:
        connection.execute(
            update(outbox_table).where(outbox_table.c.id == event.id).values(state=state)
        )
