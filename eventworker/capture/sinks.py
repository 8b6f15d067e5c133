"""Where events that are captured after the fact go: a sink is called with each of them."""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec
from sqlalchemy import Engine

from eventworker import outbox
from eventworker.db import short_transaction
from eventworker.errors import EncodeError
from eventworker.event import Event
from eventworker.outbox.wakeup import bell_of

log = logging.getLogger(__name__)

#: Takes an event, and keeps it when it returns. An exception says that it did not.
Sink = Callable[[Event], None]


def outbox_sink(engine: Engine) -> Sink:
    """A sink that writes into the outbox, each event in a short transaction of its own.

    :param engine: the database of ``[database] connection``.
    """

    def sink(event: Event) -> None:
        with short_transaction(engine) as connection:
            outbox.record(connection, event)
        if engine.dialect.name == "postgresql":
            bell_of(engine).ring()

    return sink


def without_images(event: Event, error: EncodeError) -> Event:
    """The event as it is recorded when ``error`` says that it is too large for the wire.

    :raises EncodeError: the same, when the event has no images that could be left out.
    """
    if event.resource_before is None and event.resource_after is None:
        raise error
    log.warning(
        "recorded without its images: %s",
        error,
        extra={"event": str(event.id), "resource": event.resource},
    )
    return msgspec.structs.replace(event, resource_before=None, resource_after=None)
