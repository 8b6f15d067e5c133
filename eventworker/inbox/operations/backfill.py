"""Owing past events to a plugin that came later.

What is still there of the past are the events that other plugins' deliveries refer to, and what
the caller knows besides: the outbox, which keeps what was sent for some days.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    FromClause,
    Select,
    SmallInteger,
    String,
    and_,
    exists,
    insert,
    literal,
    not_,
    select,
)

from eventworker.db import (
    PENDING,
    Since,
    clock,
    insert_ignore,
    insert_or_update,
    message_columns,
    moment,
    short_transaction,
)
from eventworker.errors import DatabaseUnavailable, DecodeError, EventworkerError, PluginError
from eventworker.event import Event
from eventworker.inbox import registry
from eventworker.inbox.backlog import delivery_table, event_table, stored_event
from eventworker.inbox.claims import Outcome, inbox_table
from eventworker.inbox.operations.selection import plugin_number

_inbox = inbox_table.c
_delivery = delivery_table.c

#: Events per transaction; their bodies are held in memory.
_BITE = 100
#: Tries of one bite: a consumer that claims the same events in another order is a deadlock, which
#: the database resolves by failing one of the two. An outage is said as often, without delay.
_TRIES = 5


@dataclass(frozen=True, slots=True)
class Backfill:
    """Which events are to be owed to which plugin.

    :ivar remembered: how long the inbox remembers what is done.
    :ivar past: events that are kept elsewhere, as a select of the columns of a message.
    :ivar wanted: whether the plugin wants an event; the others are not owed to it.
    """

    plugin: str
    since: Since
    remembered: timedelta
    past: Select[Any]
    wanted: Callable[[Event], bool] = lambda event: True

    @property
    def sources(self) -> tuple[FromClause, ...]:
        return self.past.subquery("past"), event_table


def run(engine: Engine, backfill: Backfill) -> int:
    """Owe the events to the plugin; those that it has an outcome for are left out.

    Committed bite by bite, so that consumers need not wait; after an error, run it again.

    :returns: the number of events that are owed now and were not before.
    :raises PluginError: when the plugin is not registered, or off.
    :raises EventworkerError: when the inbox does not remember as far back as ``since``.
    """
    number = _checked(engine, backfill)
    owed = 0
    for source in backfill.sources:
        last: UUID | None = None
        while done := _bite(engine, source, number, backfill, last):
            last, inserted = done
            owed += inserted
    return owed


def count(engine: Engine, backfill: Backfill) -> int:
    """The number of events that :func:`run` would owe; raises the same errors."""
    number = _checked(engine, backfill)
    past, kept = backfill.sources
    elsewhere_too = exists().where(past.c.id == kept.c.id)
    return sum(
        _count(engine, backfill, source, and_(_missing(source, number, backfill), *only))
        for source, only in ((past, ()), (kept, (not_(elsewhere_too),)))
    )


def _count(
    engine: Engine, backfill: Backfill, source: FromClause, missing: ColumnElement[bool]
) -> int:
    counted = 0
    last: UUID | None = None
    while True:
        # One transaction per bite, as in run(): on SQLite it keeps other writers out.
        with short_transaction(engine) as connection:
            rows = connection.execute(_next(source, missing, last)).all()
        if not rows:
            return counted
        counted += len(_wanted(rows, backfill))
        last = rows[-1].id


def _next(source: FromClause, missing: ColumnElement[bool], last: UUID | None) -> Select[Any]:
    after = [] if last is None else [source.c.id > last]
    return select(source).where(missing, *after).order_by(source.c.id).limit(_BITE)


def _checked(engine: Engine, backfill: Backfill) -> int:
    name, remembered = backfill.plugin, backfill.remembered
    with short_transaction(engine) as connection:
        number = plugin_number(connection, name)
        state = next(each.state for each in registry.read(connection) if each.number == number)
        if state != registry.ON:
            raise PluginError(f"plugin {name} is {state}, so nothing can be owed to it")
        # A pair whose inbox row has been deleted would look as if it had never been handled.
        forgotten = moment(backfill.since) < clock(-remembered.total_seconds())
        reaches_back = connection.scalar(select(literal(1)).where(forgotten))
    if reaches_back:
        raise EventworkerError(
            f"[retention] inbox_days = {remembered / timedelta(days=1):g}: what was done before "
            "that is not remembered and would be done twice; choose a later --since"
        )
    return number


def _missing(source: FromClause, number: int, backfill: Backfill) -> ColumnElement[bool]:
    has_outcome = exists().where(_inbox.event_id == source.c.id, _inbox.plugin == number)
    return and_(source.c.time >= moment(backfill.since), not_(has_outcome))


def _bite(
    engine: Engine, source: FromClause, number: int, backfill: Backfill, last: UUID | None
) -> tuple[UUID, int] | None:
    """The last event looked at and the number of new debts; None when there are no more events."""
    chosen = _next(source, _missing(source, number, backfill), last)
    for tries_left in reversed(range(_TRIES)):
        try:
            with short_transaction(engine) as connection:
                rows = connection.execute(chosen).all()
                if not rows:
                    return None
                ids = _store(connection, _wanted(rows, backfill))
                _note(connection, ids, number)
                return rows[-1].id, _owe(connection, ids, number)
        except DatabaseUnavailable:
            if not tries_left:
                raise
    raise AssertionError("the last try returns or raises")


def _wanted(rows: Sequence[Any], backfill: Backfill) -> list[Any]:
    return [row for row in rows if _is_wanted(row, backfill)]


def _is_wanted(row: Any, backfill: Backfill) -> bool:
    try:
        event = stored_event(row)
    except DecodeError:
        # Bytes that no consumer could read went through the outbox as well, and to the quarantine.
        return False
    return backfill.wanted(event)


def _store(connection: Connection, rows: list[Any]) -> list[UUID]:
    if rows:
        names = [column.name for column in message_columns()]
        # Dated anew where they are kept already, which keeps housekeeping off until we commit.
        dated: dict[str, Any] = {"stored_at": clock()}
        connection.execute(
            insert_or_update(connection.dialect.name, event_table, dated, dated),
            [{name: getattr(row, name) for name in names} for row in rows],
        )
    return [row.id for row in rows]


def _note(connection: Connection, ids: Sequence[UUID], number: int) -> None:
    # A consumer that handles one of them at this moment is waited for, and its row is left alone.
    pending: tuple[Any, ...] = (_small(number), _small(int(Outcome.PENDING)), clock())
    connection.execute(
        insert_ignore(connection.dialect.name, inbox_table).from_select(
            ["event_id", "plugin", "outcome", "at"],
            select(event_table.c.id, *pending).where(event_table.c.id.in_(ids)),
        )
    )


def _owe(connection: Connection, ids: Sequence[UUID], number: int) -> int:
    """Insert deliveries for the inbox rows that are pending without one: those just inserted."""
    new = and_(
        _inbox.event_id.in_(ids),
        _inbox.plugin == number,
        _inbox.outcome == int(Outcome.PENDING),
        not_(exists().where(_delivery.event_id == _inbox.event_id, _delivery.plugin == number)),
    )
    inserted = connection.execute(
        insert(delivery_table).from_select(
            ["event_id", "plugin", "state", "attempts", "due_at", "created_at", "stream", "seq"],
            select(
                _inbox.event_id,
                _inbox.plugin,
                literal(PENDING, String(10)),
                _small(0),
                clock(),
                clock(),
                event_table.c.stream,
                event_table.c.seq,
            ).where(new, event_table.c.id == _inbox.event_id),
        ),
        execution_options={"preserve_rowcount": True},
    )
    return inserted.rowcount


def _small(number: int) -> Any:
    return literal(number, SmallInteger)
