"""The inbox: one row per event and plugin, written in the transaction of the plugin's effect.

The row says how far the two have come (:class:`Outcome`). An ack is allowed once every plugin that
the event is owed to has its row; a second delivery finds the row and skips.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    bindparam,
    exc,
    select,
    update,
)

from eventworker.db import (
    EventId,
    EventSession,
    OwnedTransaction,
    Superseded,
    UTCDateTime,
    clock,
    first_line,
    insert_new,
    metadata,
    transaction_identity,
    translated,
)
from eventworker.db.postgresql import begin_with
from eventworker.errors import DatabaseUnavailable
from eventworker.failpoints import reached


class Outcome(enum.IntEnum):
    """How far an event and a plugin have come. All but PENDING and RETRY are final."""

    DONE = 1
    #: Owed, and waiting for a process that has the plugin (its lane, or another host).
    PENDING = 2
    #: Failed, and due again.
    RETRY = 3
    #: Given up on; an operator may replay it.
    DEAD = 4
    #: The plugin was off, or does not want such events.
    SKIPPED = 5
    #: Given up on, and an operator agreed.
    DISCARDED = 6


inbox_table = Table(
    "eventworker_inbox",
    metadata,
    Column("event_id", EventId, nullable=False),
    Column("plugin", SmallInteger, nullable=False),
    Column("outcome", SmallInteger, nullable=False),
    Column("at", UTCDateTime, nullable=False, index=True),
    PrimaryKeyConstraint("event_id", "plugin"),
)
_inbox = inbox_table.c


class Claim(Protocol):
    """What makes one call of one plugin ours, and done."""

    def is_taken(self, connection: Connection) -> bool:
        """Whether the work is settled already (a look, not a guarantee)."""

    def take(self, connection: Connection) -> str | None:
        """Write what says so; see :class:`~eventworker.db.OwnedTransaction`."""


@dataclass(frozen=True, slots=True)
class FirstClaim:
    """The claim of a delivery that is handled as it arrives: no row may exist yet."""

    event_id: UUID
    plugin: int

    def is_taken(self, connection: Connection) -> bool:
        found = select(_inbox.outcome).where(
            _inbox.event_id == self.event_id, _inbox.plugin == self.plugin
        )
        return connection.scalar(found) is not None

    def take(self, connection: Connection) -> str | None:
        if connection.dialect.name == "postgresql":
            return take_on_postgresql(connection, self.plugin, [self.event_id])[0]
        done = {"event_id": self.event_id, "plugin": self.plugin, "outcome": int(Outcome.DONE)}
        taken: str | None = connection.scalar(_take_first(connection.dialect.name), done)
        return taken


def take_on_postgresql(
    connection: Connection, plugin: int, event_ids: Sequence[UUID]
) -> tuple[str | None, Collection[UUID]]:
    """Write rows that say done, where there are none, as the first statement of a transaction.

    :returns: what tells this transaction from every other one, None if no row was written; and
        the events that got theirs.
    """
    # Ids and numbers need no binding.
    rows = begin_with(connection, _TAKE.format(",".join(map(str, event_ids)), plugin))
    if not rows.ntuples:
        return None, ()
    identity = rows.get_value(0, 1).decode()
    if rows.ntuples == len(event_ids):
        return identity, event_ids
    return identity, [UUID(rows.get_value(at, 0).decode()) for at in range(rows.ntuples)]


_TAKE = (
    f"INSERT INTO {inbox_table.name} (event_id, plugin, outcome, at) "
    f"SELECT unnest('{{{{{{}}}}}}'::uuid[]), {{:d}}, {int(Outcome.DONE)}, clock_timestamp() "
    "ON CONFLICT DO NOTHING RETURNING event_id, pg_current_xact_id()::text"
)


@cache
def _take_first(dialect: str) -> Any:
    return new_rows(dialect).returning(transaction_identity())


def run_once(
    engine: Engine,
    claim: Claim,
    call: Callable[[EventSession], None],
    *,
    immediate: bool = False,
) -> bool:
    """Run ``call`` with a session whose effects are committed together with the claim, or not at
    all.

    :param claim: whose ``take`` writes the inbox row.
    :param immediate: on SQLite, take the write lock at the start.
    :returns: False when the event was handled already; the call's effects are then undone, or it
        was not called.
    :raises TransactionLost: when the commit cannot be proven.
    :raises DatabaseUnavailable: when the database is away, or the connection was lost: whether the
        COMMIT was carried out, the inbox row will tell at the next try.
    """
    try:
        with claimed_session(engine, claim, immediate=immediate) as session:
            if session is None:
                return False
            call(session)
    except Superseded:
        return False
    return True


@contextmanager
def claimed_session(
    engine: Engine, claim: Claim, *, immediate: bool = False
) -> Iterator[EventSession | None]:
    """A session whose effects are committed together with the claim at the end of the block, or not
    at all; None when the work is settled already. See :func:`run_once`.

    :raises Superseded: when somebody else settled it meanwhile; what the block did is undone.
    """
    with connected(engine) as connection:
        if engine.dialect.name == "sqlite":
            # There the claim comes last, so this look is what spares the call.
            taken = claim.is_taken(connection)
            connection.rollback()
            if taken:
                yield None
                return
            connection.execution_options(eventworker_immediate=immediate)
        owned = OwnedTransaction(connection, claim.take)
        try:
            if not owned.begin():
                yield None
                return
            reached("call.claimed")
            session = EventSession(owned)
            try:
                yield session
                session.flush()
                reached("call.returned")
                owned.commit()
            finally:
                session.dispose()
        finally:
            owned.release()


@contextmanager
def connected(engine: Engine) -> Iterator[Connection]:
    """A connection, whose own loss, and only that, is reported as the database's: a plugin may
    talk to other databases, and their troubles are the plugin's."""
    try:
        connection = engine.connect()
    except exc.DBAPIError as error:
        raise translated(error) from error
    with connection:
        try:
            yield connection
        except exc.DBAPIError as error:
            if connection.invalidated:
                raise DatabaseUnavailable(
                    f"the connection was lost: {first_line(error)}"
                ) from error
            raise


def set_outcome(connection: Connection, event_id: UUID, plugin: int, outcome: Outcome) -> None:
    """Move an existing row to another outcome."""
    connection.execute(
        update(inbox_table)
        .where(_inbox.event_id == event_id, _inbox.plugin == plugin)
        .values(outcome=int(outcome), at=clock())
    )


def note(connection: Connection, event_id: UUID, plugins: list[int], outcome: Outcome) -> list[int]:
    """Insert rows for those plugins that have none yet; returns the plugins that got one."""
    if not plugins:
        return []
    new = new_rows(connection.dialect.name).returning(_inbox.plugin)
    rows = [{"event_id": event_id, "plugin": number, "outcome": int(outcome)} for number in plugins]
    return list(connection.execute(new, rows).scalars())


def note_all(connection: Connection, pairs: Sequence[tuple[UUID, int]], outcome: Outcome) -> None:
    """Insert rows for those pairs of an event and a plugin that have none yet."""
    if not pairs:
        return
    # In one order, so that two who write the same ones wait in one direction only.
    ordered = sorted(set(pairs), key=lambda pair: (pair[0].int, pair[1]))
    connection.execute(
        new_rows(connection.dialect.name),
        [{"event_id": e, "plugin": n, "outcome": int(outcome)} for e, n in ordered],
    )


@cache
def new_rows(dialect: str) -> Any:
    """INSERT of rows where there are none yet, made once."""
    return insert_new(dialect, inbox_table).values(
        event_id=bindparam("event_id"),
        plugin=bindparam("plugin"),
        outcome=bindparam("outcome"),
        at=clock(),
    )
