"""Reading deliveries: what is an event goes on, what is none goes into the quarantine."""

from __future__ import annotations

import logging

from msgspec.structs import replace
from sqlalchemy import Engine

from eventworker import wire
from eventworker.db import short_transaction
from eventworker.errors import DecodeError
from eventworker.event import MAX_BODY_BYTES, Event
from eventworker.inbox import anonymous, quarantine
from eventworker.transport import Delivery

log = logging.getLogger(__name__)


class Intake:
    """Reads deliveries.

    :param max_event_bytes: the longest body that is read.
    """

    def __init__(self, engine: Engine, max_event_bytes: int) -> None:
        self._engine = engine
        self._max_event_bytes = max_event_bytes

    def read(self, delivery: Delivery) -> Event | None:
        """The event, with an id of ours where it has none; None for what is no event, which is in
        the quarantine then.

        :raises DatabaseUnavailable: when something has to be written and the database is away.
        """
        try:
            if delivery.refusal:
                raise DecodeError(delivery.refusal, delivery.body)
            event = decoded(delivery, self._max_event_bytes)
            if delivery.seq is not None and event.stream is not None:
                event = replace(event, seq=delivery.seq)
        except DecodeError as error:
            log.error(
                "quarantined %d bytes that are no event: %s",
                len(delivery.body),
                error.reason,
            )
            with short_transaction(self._engine) as connection:
                quarantine.put(connection, delivery.body, error.reason, delivery.properties)
            return None
        if delivery.event_id is None and not wire.has_own_id(delivery.content_type):
            delivery.anonymous = True
            with short_transaction(self._engine) as connection:
                delivery.event_id = anonymous.identify(
                    connection, delivery.body, delivery.redelivered
                )
            return self.read(delivery)
        return event


def decoded(delivery: Delivery, max_bytes: int = MAX_BODY_BYTES) -> Event:
    """The event that a delivery's bytes are, with what was said beside them.

    :raises DecodeError: when they are none.
    """
    return wire.read(
        delivery.body,
        delivery.content_type,
        content_encoding=delivery.content_encoding,
        id=delivery.event_id,
        time=delivery.time,
        source=delivery.source,
        traceparent=delivery.traceparent,
        tracestate=delivery.tracestate,
        max_bytes=max_bytes,
    )
