"""The relay: consumes the outbox like any consumer, and publishes what it finds to the broker.

A row is settled after the broker has confirmed it. Killed in between, the relay publishes it again;
the inbox of each plugin absorbs the duplicate.
"""

from __future__ import annotations

import logging
import time
from typing import Any
from uuid import UUID

from sqlalchemy import Engine

from eventworker import transports
from eventworker.db import build_engine, first_line, short_transaction
from eventworker.engine.child import Child
from eventworker.engine.service import Service
from eventworker.errors import DatabaseUnavailable, TransportError, Unpublishable, Unroutable
from eventworker.failpoints import reached
from eventworker.outbox import queue
from eventworker.outbox.queue import Row
from eventworker.transport import Message, Transport
from eventworker.transports.waiting import Lookout

log = logging.getLogger(__name__)

#: Seconds for one round of confirms; the lease outlasts it.
_CONFIRM_TIMEOUT, _LEASE = 30.0, 90.0
#: Seconds before rows that the broker did not take are tried again.
_UNROUTABLE_PAUSE, _AWAY_PAUSE = 30.0, 1.0


class Relay:
    """Moves ready rows of the outbox to ``transport``, a batch at a time.

    :param check_in: seconds until the reconciler looks at what was sent; None for never.
    """

    def __init__(
        self,
        engine: Engine,
        transport: Transport,
        batch: int,
        owner: str,
        check_in: float | None = None,
    ) -> None:
        self._engine = engine
        self._transport = transport
        self._batch = batch
        self._owner = owner
        self._check_in = check_in
        #: Resources that no queue is bound for, until when (time.monotonic) they are passed over:
        #: thousands of their events, all due again at once, would hold up those that can be sent.
        self._unroutable: dict[str, float] = {}

    def run_once(self) -> int:
        """Publish one batch; returns the number of rows it found.

        :raises DatabaseUnavailable: when the database is away.
        :raises TransportUnavailable: when the broker is; the rows are free again then.
        """
        now = time.monotonic()
        self._unroutable = {name: at for name, at in self._unroutable.items() if at > now}
        with short_transaction(self._engine) as connection:
            rows = queue.claim(
                connection, self._batch, _LEASE, self._owner, without=list(self._unroutable)
            )
        if not rows:
            return 0
        reached("relay.claimed")
        messages = [
            Message(
                row.id,
                row.time,
                row.source,
                row.resource,
                row.body,
                row.traceparent,
                row.tracestate,
            )
            for row in rows
        ]
        results = self._transport.publish(messages, _CONFIRM_TIMEOUT)
        reached("relay.confirmed")
        away = self._settle(rows, results)
        reached("relay.settled")
        if away is not None:
            raise away
        return len(rows)

    def _settle(
        self, rows: list[Row], results: list[TransportError | None]
    ) -> TransportError | None:
        """Write down what became of each row; returns the error if the broker is away."""
        sent: list[UUID] = []
        unroutable: list[UUID] = []
        unsent: list[UUID] = []
        away: TransportError | None = None
        with short_transaction(self._engine) as connection:
            for row, error in zip(rows, results, strict=True):
                if error is None:
                    sent.append(row.id)
                elif isinstance(error, Unpublishable):
                    # One bad row must not hold up those behind it.
                    log.error("never published: %s", error, extra={"event": str(row.id)})
                    queue.bury(connection, row.id, str(error))
                elif isinstance(error, Unroutable):
                    unroutable.append(row.id)
                    self._unroutable[row.resource] = time.monotonic() + _UNROUTABLE_PAUSE
                else:
                    unsent.append(row.id)
                    away = error
            queue.settle(connection, sent, self._check_in)
            queue.give_back(connection, unroutable, self._owner, _UNROUTABLE_PAUSE)
            queue.give_back(connection, unsent, self._owner, _AWAY_PAUSE)
        for reason in {str(error) for error in results if isinstance(error, Unroutable)}:
            log.error("%d events wait in the outbox: %s", len(unroutable), reason)
        return away


def run(conf: Any, child: Child) -> None:
    """Relay until the child is told to stop."""
    engine = build_engine(conf.database.connection)
    transport = transports.build(conf, engine)
    check_in = conf.outbox.reconcile_after or None
    relay = Relay(engine, transport, conf.outbox.relay_batch, child.name, check_in)
    child.at_stop(transport.interrupt)
    lookout = Lookout(engine, conf.notifications.poll_interval)
    try:
        while not child.stopping:
            try:
                if lookout.due:
                    found = relay.run_once() > 0
                    lookout.looked(found)
                    if found:
                        child.slot.note_work()
                else:
                    lookout.wait(0.5)
            except (DatabaseUnavailable, TransportError) as error:
                log.warning("the relay pauses: %s", first_line(error))
                child.wait(_AWAY_PAUSE)
    finally:
        lookout.close()
        transport.close()


service = Service(
    wanted=lambda conf: conf.notifications.driver == "rabbit" and conf.outbox.relay, run=run
)
