"""The tables with rows that keep something of an event beyond its id, and those rows themselves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Table, and_, delete, false, or_, select, tuple_

from eventworker.db import clock, in_call
from eventworker.effects.table import IS_OPEN as EFFECT_IS_OPEN
from eventworker.effects.table import effect_table, shared_table
from eventworker.inbox.backlog import IS_OPEN, delivery_table, event_table
from eventworker.outbox.table import READY, SENT, outbox_table

_delivery, _outbox, _effect = delivery_table.c, outbox_table.c, effect_table.c


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A table with rows that keep something of an event beyond its id.

    :ivar event_id: the column that says of which event.
    :ivar body: a column to find events by; None where the other places' finds are enough.
    :ivar plugin: the column of the plugin's number, where a row is about a pair of the two.
    :ivar waits: in SQL: the row is still to be handled, by one process or another.
    :ivar held: in SQL: a process is handling it right now.
    """

    table: Table
    event_id: ColumnElement[UUID]
    body: ColumnElement[bytes] | None = None
    plugin: ColumnElement[int] | None = None
    waits: ColumnElement[bool] = field(default_factory=false)
    held: ColumnElement[bool] = field(default_factory=false)


#: All of them; they are locked in this order. The event comes first: whoever writes deliveries has
#: locked their event before, so none can be added to one that we have looked at.
PLACES = (
    Place(event_table, event_table.c.id, body=event_table.c.body),
    Place(
        delivery_table,
        _delivery.event_id,
        plugin=_delivery.plugin,
        waits=IS_OPEN,
        held=in_call(delivery_table),
    ),
    Place(
        effect_table,
        _effect.event_id,
        plugin=_effect.plugin,
        waits=EFFECT_IS_OPEN,
        held=in_call(effect_table),
    ),
    Place(shared_table, shared_table.c.event_id),
    Place(
        outbox_table,
        _outbox.id,
        body=_outbox.body,
        # Nobody looks again at what was sent and has no check_at: it is handled, or, without a
        # reconciler, it has to be taken for that.
        waits=or_(
            _outbox.state == READY, and_(_outbox.state == SENT, _outbox.check_at.is_not(None))
        ),
        held=and_(_outbox.state == READY, _outbox.leased_until > clock()),
    ),
)


#: The values of a row's primary key.
Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One of those rows, as an erasure sees it."""

    key: Key
    event_id: UUID
    plugin: int | None
    waits: bool
    held: bool


def locked(connection: Connection, place: Place, ids: Sequence[UUID]) -> list[Row]:
    """The rows of these events, locked; those that another transaction has locked are held.

    They are looked up by their keys first: MariaDB's locking reads lock what they pass by.
    """
    key = _key(place.table)
    plugin = place.event_id if place.plugin is None else place.plugin
    found = connection.execute(
        select(*key, place.event_id, plugin, place.waits, place.held).where(place.event_id.in_(ids))
    ).all()
    there = {tuple(row[: len(key)]): row[len(key) :] for row in found}
    found_again = connection.execute(
        select(*key, place.waits, place.held)
        .where(_is_one_of(key, there))
        .with_hint(place.table, "FORCE INDEX (PRIMARY)", "mariadb")
        .with_for_update(skip_locked=True, of=place.table)
    ).all()
    now = {tuple(row[: len(key)]): row[len(key) :] for row in found_again}
    return [
        Row(
            each,
            event_id,
            None if place.plugin is None else number,
            waits=bool(now[each][0] if each in now else waits),
            held=bool(now[each][1]) if each in now else True,
        )
        for each, (event_id, number, waits, _) in there.items()
    ]


def remove(connection: Connection, table: Table, keys: Sequence[Key]) -> None:
    """Delete the rows with these keys."""
    if keys:
        connection.execute(delete(table).where(_is_one_of(_key(table), keys)))


def _key(table: Table) -> list[Any]:
    return list(table.primary_key.columns)


def _is_one_of(key: list[Any], keys: Iterable[Key]) -> ColumnElement[bool]:
    if len(key) == 1:
        return key[0].in_([each for (each,) in keys])  # type: ignore[no-any-return]
    return tuple_(*key).in_(list(keys))
