"""A second round for messages that no queue was bound for.

A binding that somebody removed is put back by nobody but us, and what was returned would wait in
the outbox until its next turn.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

import pika

from eventworker.errors import TransportError, Unpublishable, Unroutable
from eventworker.transport import Answer, Message
from eventworker.transports.rabbit.publisher import RabbitPublisher
from eventworker.transports.rabbit.settings import (
    CONNECTION_ERRORS,
    RabbitSettings,
    connection_parameters,
    describe,
)
from eventworker.transports.rabbit.topology import declare_topology

log = logging.getLogger(__name__)

#: Seconds between two repairs: a resource that is bound to nothing on purpose stays unroutable.
_REPAIR_EVERY = 10.0

Results = list[TransportError | None]


class Rounds:
    """Publishes, and where it helps, publishes some of it again."""

    def __init__(self, settings: RabbitSettings, publisher: RabbitPublisher) -> None:
        self._settings = settings
        self._publisher = publisher
        self._repair_at = 0.0

    def begin(self, messages: Sequence[Message], timeout: float) -> Answer:
        """See :meth:`eventworker.transport.Transport.begin`."""
        deadline = time.monotonic() + timeout
        first = self._publisher.begin(messages, timeout)

        def answer() -> Results:
            results = first()
            if any(isinstance(error, Unroutable) for error in results) and self._repaired():
                return self._again(messages, results, deadline)
            return results

        return answer

    def _repaired(self) -> bool:
        """Whether exchange, queue and bindings have just been put back."""
        if time.monotonic() < self._repair_at:
            return False
        self._repair_at = time.monotonic() + _REPAIR_EVERY
        try:
            with pika.BlockingConnection(
                connection_parameters(self._settings, "repair")
            ) as connection:
                declare_topology(connection, self._settings)
        except (*CONNECTION_ERRORS, TransportError) as error:
            log.warning("RabbitMQ at %s: %s", self._settings.where, describe(error))
            return False
        return True

    def _again(self, messages: Sequence[Message], results: Results, deadline: float) -> Results:
        returned = [index for index, error in enumerate(results) if isinstance(error, Unroutable)]
        left = max(0.0, deadline - time.monotonic())
        second = self._publisher.begin([messages[index] for index in returned], left)()
        for index, error in zip(returned, second, strict=True):
            # One that is not confirmed in the time that is left is still known to be bound to none.
            if error is None or isinstance(error, (Unroutable, Unpublishable)):
                results[index] = error
        return results
