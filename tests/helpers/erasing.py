"""Events of one author, in each place where they may stand."""

from typing import Any

from sqlalchemy import Engine

from eventworker.db import metadata, short_transaction
from eventworker.erasure import Erasure
from eventworker.event import Event
from eventworker.inbox import backlog, quarantine
from eventworker.inbox.backlog import Failure
from eventworker.inbox.claims import FirstClaim, run_once
from eventworker.outbox import queue, record
from tests.helpers.databases import (
    rows,
    write,
)
from tests.helpers.events import make_event

CANARY = "canary-7f3a"
ADA = Erasure(author="7")


def by_ada(**fields: Any) -> Event:
    return make_event(author_id=7, resource_after={"text": CANARY}, **fields)


def sent(engine: Engine, event: Event) -> Event:
    """In the outbox, and handled by both."""
    ready(engine, event)
    with short_transaction(engine) as connection:
        queue.settle(connection, [event.id])
    for plugin in (1, 2):
        run_once(engine, FirstClaim(event.id, plugin), lambda session: write(session, "done"))
    return event


def ready(engine: Engine, event: Event) -> Event:
    with short_transaction(engine) as connection:
        record(connection, event)
    return event


def confirmed(engine: Engine, event: Event) -> Event:
    """The broker has it, and nobody has looked yet whether it was handled."""
    ready(engine, event)
    with short_transaction(engine) as connection:
        queue.settle(connection, [event.id], check_in=300.0)
    return event


def failed(engine: Engine, event: Event, delay: float | None = None) -> Event:
    with short_transaction(engine) as connection:
        said = f"it broke: {event.resource_after}"
        failure = Failure(said, f"Traceback: {said}", delay)
        backlog.fail_first(connection, event, 1, failure)
    return event


def unreadable(engine: Engine, event: Event) -> bytes:
    """In quarantine: half of it, with its author at the beginning."""
    body = event.encode()[:-3]
    with short_transaction(engine) as connection:
        quarantine.put(connection, body, "no good", {"message_id": str(event.id)})
    return body


def everything(engine: Engine) -> str:
    """All that stands in eventworker's tables."""
    return repr([rows(engine, table) for table in metadata.sorted_tables])
