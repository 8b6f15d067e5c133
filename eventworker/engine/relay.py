"""The relay: consumes the outbox like any consumer, and publishes what it finds to the broker.

A row is settled after the broker has confirmed it. Killed in between, the relay publishes it again;
the inbox of each plugin absorbs the duplicate.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine

from eventworker import transports
from eventworker.db import configured_engine, first_line, short_transaction
from eventworker.engine.child import Child
from eventworker.errors import DatabaseUnavailable, TransportError, Unpublishable, Unroutable
from eventworker.failpoints import reached
from eventworker.outbox import queue
from eventworker.outbox.queue import Row
from eventworker.service import Service
from eventworker.transport import Answer, Message, Transport
from eventworker.transports.waiting import Lookout

log = logging.getLogger(__name__)

#: Seconds for one round of confirms; the lease outlasts it.
_CONFIRM_TIMEOUT, _LEASE = 30.0, 90.0
#: Seconds before rows that the broker did not take are tried again.
_UNROUTABLE_PAUSE, _AWAY_PAUSE = 30.0, 1.0
#: Batches that are published at a time, so that the broker need not wait for the database.
_UNDER_WAY = 2


@dataclass(slots=True)
class _Batch:
    """Rows that are being published."""

    rows: list[Row]
    answer: Answer
    results: list[TransportError | None] = field(default_factory=list)


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
        self._interrupted = False

    def run_once(self) -> int:
        """Publish one batch; returns the number of rows it found.

        :raises DatabaseUnavailable: when the database is away; what was leased is free again with
            the next call.
        :raises TransportUnavailable: when the broker is; the rows are free again then.
        """
        return self.run_until_empty(most=1)

    def run_until_empty(
        self, stopping: Callable[[], bool] = lambda: False, most: int | None = None
    ) -> int:
        """Publish batch after batch, as :meth:`run_once` does, until nothing is ready.

        While the broker confirms one batch the next is on its way already.

        :param stopping: asked before each batch; those that are on their way are finished.
        :param most: batches after which to end; None for no limit.
        """
        try:
            return self._relay(stopping, most)
        except DatabaseUnavailable:
            self._interrupted = True
            raise

    def _relay(self, stopping: Callable[[], bool], most: int | None) -> int:
        found, begun = 0, 0
        under_way: deque[_Batch] = deque()
        done: _Batch | None = None
        away: TransportError | None = None
        while True:
            ends = away is not None or begun == most or stopping()
            away, rows = self._write_and_claim(done, 0 if ends else self._batch, away)
            if done is not None:
                reached("relay.settled")
            if rows:
                found, begun = found + len(rows), begun + 1
                under_way.append(self._begin(rows))
            if not under_way:
                break
            done = None
            # A batch that is not full was all there is, so there is no other to go with it.
            if len(under_way) >= _UNDER_WAY or len(rows) < self._batch:
                done = under_way.popleft()
                done.results = done.answer()
                reached("relay.confirmed")
        if away is not None:
            raise away
        return found

    def _write_and_claim(
        self, done: _Batch | None, wanted: int, away: TransportError | None
    ) -> tuple[TransportError | None, list[Row]]:
        """In one transaction write down what became of a batch, and lease the next.

        :param away: the error of a batch before it, if the broker is away.
        :returns: the error if the broker is away, which leases no more; and the rows.
        """
        if done is None and not wanted:
            return away, []
        rows: list[Row] = []
        with short_transaction(self._engine) as connection:
            if self._interrupted:
                queue.release_owner(connection, self._owner)
            if done is not None:
                away = self._settle(connection, done) or away
            if wanted and away is None:
                rows = self._claim(connection, wanted)
        self._interrupted = False
        return away, rows

    def _claim(self, connection: Connection, limit: int) -> list[Row]:
        now = time.monotonic()
        self._unroutable = {name: at for name, at in self._unroutable.items() if at > now}
        return queue.claim(connection, limit, _LEASE, self._owner, without=list(self._unroutable))

    def _begin(self, rows: list[Row]) -> _Batch:
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
                row.stream,
                row.seq,
            )
            for row in rows
        ]
        return _Batch(rows, self._transport.begin(messages, _CONFIRM_TIMEOUT))

    def _settle(self, connection: Connection, batch: _Batch) -> TransportError | None:
        """Write down what became of each row; returns the error if the broker is away."""
        sent: list[UUID] = []
        unroutable: list[UUID] = []
        unsent: list[UUID] = []
        away: TransportError | None = None
        for row, error in zip(batch.rows, batch.results, strict=True):
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
        for reason in {str(error) for error in batch.results if isinstance(error, Unroutable)}:
            log.error("%d events wait in the outbox: %s", len(unroutable), reason)
        return away


def run(conf: Any, child: Child) -> None:
    """Relay until the child is told to stop."""
    engine = configured_engine(conf.database)
    transport = transports.build(conf, engine)
    check_in = conf.outbox.reconcile_after or None
    relay = Relay(engine, transport, conf.outbox.relay_batch, child.name, check_in)
    child.at_stop(transport.interrupt)
    lookout = Lookout(engine, conf.notifications.poll_interval)
    try:
        while not child.stopping:
            try:
                if lookout.due:
                    found = relay.run_until_empty(lambda: child.stopping) > 0
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
