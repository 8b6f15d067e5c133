"""The outbox table as the queue: no broker needed.

A subscription leases a few rows at a time, hands them out, and settles them with the next look at
the table. A row whose lease runs out, because its consumer died or lost its database, is free
again; a consumer renews the leases of what it still holds before it hands out the next row.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine

from eventworker.db import first_line, insert_ignore, short_transaction
from eventworker.errors import DatabaseUnavailable, TransportError, TransportUnavailable
from eventworker.outbox import queue
from eventworker.outbox.table import outbox_table, row_of
from eventworker.outbox.wakeup import bell_of
from eventworker.transport import Delivery, Message, Subscription, Transport
from eventworker.transports.waiting import Lookout

log = logging.getLogger(__name__)

#: Seconds by which a lease outlasts the work on one delivery; see ``_keep_leases``.
MARGIN = 60.0
#: Settled rows are written with the next look at the table, at the latest when there are this many
#: of them, or when the first of them has waited for so many seconds.
SETTLE_BATCH, SETTLE_WITHIN = 500, 1.0


def _described(row: queue.Row) -> dict[str, Any]:
    """For the quarantine."""
    return {
        "message_id": str(row.id),
        "source": row.source,
        "traceparent": row.traceparent,
        "tracestate": row.tracestate,
        "seq": row.seq,
    }


class SqlTransport(Transport):
    """Events travel through ``eventworker_outbox`` of ``engine``."""

    def __init__(self, engine: Engine, poll_interval: float = 1.0) -> None:
        self._engine = engine
        self._poll_interval = poll_interval

    def publish(
        self, messages: Sequence[Message], timeout: float = 30.0
    ) -> list[TransportError | None]:
        if not messages:
            return []
        # An id that is there already is the same event published once more.
        statement = insert_ignore(self._engine.dialect.name, outbox_table)
        try:
            with short_transaction(self._engine) as connection:
                connection.execute(statement, [row_of(message) for message in messages])
        except DatabaseUnavailable as error:
            return [TransportUnavailable(str(error)) for _ in messages]
        if self._engine.dialect.name == "postgresql":
            bell_of(self._engine).ring()
        return [None] * len(messages)

    def subscribe(self, prefetch: int, owner: str = "", hold: float = 60.0) -> Subscription:
        lease = hold + MARGIN
        return SqlSubscription(self._engine, prefetch, owner, self._poll_interval, lease)

    def close(self) -> None:
        pass


class SqlSubscription(Subscription):
    """Leases up to ``prefetch`` rows; ``owner`` is written beside them."""

    def __init__(
        self, engine: Engine, prefetch: int, owner: str, poll_interval: float, lease: float
    ) -> None:
        self._engine = engine
        self._prefetch = prefetch
        self._owner = owner or f"consumer-{id(self):x}"
        self._lease = lease
        self._ready: deque[queue.Row] = deque()
        self._held: set[UUID] = set()
        self._settled: list[UUID] = []
        self._settle_at = 0.0
        self._leased_at = 0.0
        self._paused = False
        #: Whether rows may be leased to us that we do not hold.
        self._unsure = False
        self._lookout = Lookout(engine, poll_interval)

    def receive(self, timeout: float) -> Delivery | None:
        deadline = time.monotonic() + timeout
        while True:
            if not self._ready and not self._paused and (self._lookout.due or self._settled):
                self._fetch()
            self._keep_leases()
            if self._ready and not self._paused:
                return self._hand_out(self._ready.popleft())
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            self._lookout.wait(left)

    def gather(self, most: int, timeout: float, linger: float = 0.0) -> list[Delivery]:
        if linger > 0:
            return super().gather(most, timeout, linger)
        first = self.receive(timeout)
        if first is None:
            return []
        # What one look has leased; another one, for the rest, would mostly find nothing.
        count = min(most - 1, len(self._ready))
        return [first, *(self._hand_out(self._ready.popleft()) for _ in range(count))]

    def _hand_out(self, row: queue.Row) -> Delivery:
        return Delivery(
            row.body,
            row.id,
            row.claims > 1,
            self,
            row.id,
            row.time,
            row.source,
            partial(_described, row),
            traceparent=row.traceparent,
            tracestate=row.tracestate,
            seq=row.seq,
        )

    def _fetch(self) -> None:
        """Write what is settled and lease what is next, in one transaction."""
        room = self._prefetch - len(self._held)
        try:
            with short_transaction(self._engine) as connection:
                self._write_settled(connection)
                if self._unsure:
                    queue.release_owner(connection, self._owner, but=self._held)
                rows = queue.claim(connection, room, self._lease, self._owner) if room > 0 else []
        except DatabaseUnavailable as error:
            log.debug("no look at the outbox: %s", first_line(error))
            self._unsure = True
            return
        self._unsure = False
        self._settled.clear()
        self._lookout.looked(bool(rows))
        if rows:
            if not self._held:
                self._leased_at = time.monotonic()
            self._ready.extend(rows)
            self._held.update(row.id for row in rows)

    def _write_settled(self, connection: Connection) -> None:
        if self._settled:
            queue.settle(connection, self._settled)

    def _keep_leases(self) -> None:
        """Renew the leases when less than a delivery's time is left; what was lost to another
        consumer is not handed out."""
        if not self._ready or time.monotonic() - self._leased_at < MARGIN / 2:
            return
        try:
            with short_transaction(self._engine) as connection:
                mine = queue.extend(connection, list(self._held), self._lease, self._owner)
        except DatabaseUnavailable:
            self._unsure = True
            mine = self._held - {row.id for row in self._ready}
        self._leased_at = time.monotonic()
        self._held = mine
        self._ready = deque(row for row in self._ready if row.id in mine)

    def ack(self, delivery: Delivery) -> None:
        self._held.discard(delivery.token)
        now = time.monotonic()
        if not self._settled:
            self._settle_at = now + SETTLE_WITHIN
        self._settled.append(delivery.token)
        if len(self._settled) >= SETTLE_BATCH or now >= self._settle_at:
            self._flush()

    def requeue(self, delivery: Delivery) -> None:
        self._held.discard(delivery.token)
        try:
            with short_transaction(self._engine) as connection:
                queue.give_back(connection, [delivery.token], self._owner)
        except DatabaseUnavailable:
            self._unsure = True

    def _flush(self) -> None:
        try:
            with short_transaction(self._engine) as connection:
                self._write_settled(connection)
            self._settled.clear()
        except DatabaseUnavailable:
            pass  # they stay in the list, and the inbox knows them should they come again

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False

    def close(self) -> None:
        self._flush()
        try:
            with short_transaction(self._engine) as connection:
                queue.give_back(connection, list(self._held), self._owner)
        except DatabaseUnavailable:
            pass  # the leases run out by themselves
        self._lookout.close()
