"""Deliveries that did not end at their first call: pending, retrying and dead ones, as rows.

A row of ``eventworker_delivery`` and the inbox row beside it move together::

    park ──▶ pending ─┐ claim (attempt + 1, lease)     ┌─▶ done     row deleted
    fail ──▶ retry ───┴──────────────▶ one call ───────┼─▶ retry    due later
                ▲                          │           └─▶ dead     kept for the operator
                └── the lease runs out: the process died in the call

``due_at`` doubles as the lease: a claimed row is due again when the lease ends, so nothing has to
rescue it. The attempt is counted when it is claimed, in a transaction of its own: a call that takes
the process down cannot take its own count with it. All times are the database's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from msgspec.structs import replace
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Index,
    SmallInteger,
    String,
    Table,
    UniqueConstraint,
    and_,
    delete,
    exists,
    insert,
    select,
    update,
)

from eventworker.db import (
    DEAD,
    PENDING,
    RETRY,
    STREAM_LENGTH,
    EventId,
    Failure,
    UTCDateTime,
    attempt_columns,
    claim_rows,
    clock,
    failed,
    insert_or_update,
    message_columns,
    metadata,
    serial,
    transaction_identity,
)
from eventworker.event import Event, decode
from eventworker.inbox.claims import Outcome, inbox_table, note, set_outcome

#: The events that rows of the backlog refer to; an event that is done at once is never stored.
event_table = Table(
    "eventworker_event",
    metadata,
    *message_columns(),
    Column("stored_at", UTCDateTime, nullable=False),
)

delivery_table = Table(
    "eventworker_delivery",
    metadata,
    serial(),
    Column("event_id", EventId, nullable=False),
    Column("plugin", SmallInteger, nullable=False),
    *attempt_columns(),
    # The event's, for those that wait for it.
    Column("stream", String(STREAM_LENGTH)),
    Column("seq", BigInteger),
    UniqueConstraint("event_id", "plugin"),
    Index("ix_eventworker_delivery_due", "state", "due_at"),
)
_delivery = delivery_table.c
Index(
    "ix_eventworker_delivery_stream",
    _delivery.stream,
    _delivery.plugin,
    _delivery.seq,
    postgresql_where=_delivery.stream.is_not(None),
    sqlite_where=_delivery.stream.is_not(None),
)
_event = event_table.c
#: In SQL: the row is still to be called.
IS_OPEN = _delivery.state.in_((PENDING, RETRY))


@dataclass(frozen=True, slots=True)
class Due:
    """A claimed row: this process may call this plugin with this event, ``attempts`` included.

    :ivar state: pending or retry, as the claim left it.
    """

    id: int
    event: Event
    plugin: int
    attempts: int
    state: str

    def is_taken(self, connection: Connection) -> bool:
        found = connection.scalar(select(_delivery.attempts).where(_delivery.id == self.id))
        return found != self.attempts

    def take(self, connection: Connection) -> str | None:
        """The claim of a call from the backlog: the inbox row turns done, this row goes.

        Only while the attempt is still ours: a lease that ran out may have given it to another.
        """
        gone = connection.execute(
            delete(delivery_table).where(
                _delivery.id == self.id, _delivery.attempts == self.attempts, IS_OPEN
            )
        )
        if not gone.rowcount:
            return None
        inbox = inbox_table.c
        connection.execute(
            update(inbox_table)
            .where(inbox.event_id == self.event.id, inbox.plugin == self.plugin)
            .values(outcome=int(Outcome.DONE), at=clock())
        )
        return str(connection.scalar(select(transaction_identity())))


def store(connection: Connection, event: Event) -> None:
    """Keep the event's body for the rows that refer to it.

    One that is there already is dated anew, so that housekeeping, which deletes old bodies that no
    row refers to, does not take it away before the rows are written.
    """
    values = {
        "id": event.id,
        "time": event.time,
        "source": event.source,
        "resource": event.resource,
        "body": event.encode(max_bytes=2**24),
        "traceparent": event.traceparent,
        "tracestate": event.tracestate,
        "stream": event.stream if event.seq is not None else None,
        "seq": event.seq,
        "stored_at": clock(),
    }
    connection.execute(
        insert_or_update(connection.dialect.name, event_table, values, {"stored_at": clock()})
    )


def stored_event(row: Any) -> Event:
    """The event of a row that has the columns of a message.

    :raises DecodeError: when its bytes are no event.
    """
    event = decode(
        row.body,
        id=row.id,
        time=row.time,
        source=row.source,
        traceparent=row.traceparent,
        tracestate=row.tracestate,
        max_bytes=2**24,
    )
    return event if row.seq is None else replace(event, seq=row.seq)


def park(connection: Connection, event: Event, plugins: Sequence[int], delay: float = 0.0) -> None:
    """Owe the event to these plugins later; those that have their outcome already keep it.

    :param delay: seconds until it is due.
    """
    store(connection, event)
    owed = note(connection, event.id, list(plugins), Outcome.PENDING)
    _insert(connection, event.id, owed, PENDING, delay=delay, event=event)
    if len(owed) < len(plugins):
        _was_known(connection, event)


def _was_known(connection: Connection, event: Event) -> None:
    """See to an event that is stored now and had an outcome before.

    A row that was written when only its id was known, that of a call that killed its process, gets
    its place: what comes after it waits for it. And where no row needs the body, it does not stay:
    the event may have been erased since. It is stored first all the same, since its row is what an
    erasure and a consumer wait for each other at.
    """
    if event.seq is not None:
        connection.execute(
            update(delivery_table)
            .where(_delivery.event_id == event.id, _delivery.seq.is_(None))
            .values(stream=event.stream, seq=event.seq)
        )
    unneeded = ~exists().where(_delivery.event_id == _event.id)
    connection.execute(delete(event_table).where(_event.id == event.id, unneeded))


def fail_first(connection: Connection, event: Event, plugin: int, failure: Failure) -> None:
    """Record that the call at the event's arrival failed."""
    store(connection, event)
    if not record_failure(connection, event.id, plugin, failure, event):
        _was_known(connection, event)


def record_failure(
    connection: Connection,
    event_id: UUID,
    plugin: int,
    failure: Failure,
    event: Event | None = None,
) -> bool:
    """Record one failed attempt, even if the event's body is not stored here yet.

    The row of a call that killed its process is written before the event arrives again; until then
    there is nothing to call the plugin with, and :func:`claim` passes it over.

    :returns: False when it was handled, or counted, by somebody else in the meantime.
    """
    dead = failure.delay is None
    if not note(connection, event_id, [plugin], Outcome.DEAD if dead else Outcome.RETRY):
        return False
    state = DEAD if dead else RETRY
    delay = failure.delay or 0.0
    _insert(connection, event_id, [plugin], state, 1, failure, delay=delay, event=event)
    return True


def complete(connection: Connection, event: Event, plugin: int) -> bool:
    """Give the event to the row of a call that killed its process, if it has none yet; returns
    whether there was such a row."""
    bare = select(_delivery.id).where(
        _delivery.event_id == event.id,
        _delivery.plugin == plugin,
        ~exists().where(_event.id == _delivery.event_id),
    )
    if connection.scalar(bare) is None:
        return False
    store(connection, event)
    _was_known(connection, event)
    return True


def _insert(
    connection: Connection,
    event_id: UUID,
    plugins: Sequence[int],
    state: str,
    attempts: int = 0,
    failure: Failure | None = None,
    *,
    delay: float = 0.0,
    event: Event | None = None,
) -> None:
    if not plugins:
        return
    seq = None if event is None else event.seq
    stream = None if event is None or seq is None else event.stream
    row = {
        "event_id": event_id,
        "state": state,
        "attempts": attempts,
        "error": failure.error if failure else None,
        "traceback": failure.traceback if failure else None,
        "stream": stream,
        "seq": seq,
    }
    due = {"due_at": clock(delay), "created_at": clock()}
    # Rows are given beside the statement, so that it is compiled once and not each time.
    connection.execute(
        insert(delivery_table).values(**due), [{**row, "plugin": number} for number in plugins]
    )


def claim(
    connection: Connection, plugins: Sequence[int], limit: int, lease: float, owner: str
) -> list[Due]:
    """Claim due rows of these plugins, oldest first.

    :param lease: seconds until a row is due again if this process says no more about it.
    """
    if not plugins:
        return []
    due = and_(IS_OPEN, _delivery.due_at <= clock(), _delivery.plugin.in_(plugins))
    return _claim(connection, due, limit, lease, owner)


def claim_early(connection: Connection, ids: Sequence[int], lease: float, owner: str) -> list[Due]:
    """Claim those of these rows that are pending and in nobody's hands, though not due yet."""
    if not ids:
        return []
    free = and_(_delivery.id.in_(ids), _delivery.state == PENDING, _delivery.owner.is_(None))
    return _claim(connection, free, len(ids), lease, owner)


def _claim(
    connection: Connection, which: ColumnElement[bool], limit: int, lease: float, owner: str
) -> list[Due]:
    rows = claim_rows(
        connection,
        delivery_table,
        which,
        _delivery.due_at,
        limit,
        {"attempts": _delivery.attempts + 1, "due_at": clock(lease), "owner": owner},
        (_delivery.id, _delivery.event_id, _delivery.plugin, _delivery.attempts, _delivery.state),
        among=delivery_table.join(event_table, _event.id == _delivery.event_id),
    )
    if not rows:
        return []
    events = {
        row.id: stored_event(row)
        for row in connection.execute(
            select(event_table).where(_event.id.in_({row.event_id for row in rows}))
        )
    }
    return [
        Due(row.id, events[row.event_id], row.plugin, row.attempts, row.state)
        for row in sorted(rows, key=lambda row: row.id)
    ]


def _mine(due: Due) -> object:
    return and_(_delivery.id == due.id, _delivery.attempts == due.attempts)


def fail(connection: Connection, due: Due, failure: Failure) -> None:
    """Record that the claimed call failed: due again after the delay, or dead."""
    changed = connection.execute(
        update(delivery_table)
        .where(_mine(due))  # type: ignore[arg-type]
        .values(failed(failure))
    )
    if changed.rowcount:
        outcome = Outcome.RETRY if failure.delay is not None else Outcome.DEAD
        set_outcome(connection, due.event.id, due.plugin, outcome)


def give_back(connection: Connection, due: Due, delay: float = 0.0) -> None:
    """Undo the claim, attempt included: the call did not happen, or its failure was no fault of
    the event."""
    connection.execute(
        update(delivery_table)
        .where(_mine(due))  # type: ignore[arg-type]
        .values(attempts=_delivery.attempts - 1, due_at=clock(delay), owner=None)
    )


def skip(connection: Connection, due: Due) -> None:
    """The plugin does not want such events after all."""
    connection.execute(delete(delivery_table).where(_mine(due)))  # type: ignore[arg-type]
    set_outcome(connection, due.event.id, due.plugin, Outcome.SKIPPED)
