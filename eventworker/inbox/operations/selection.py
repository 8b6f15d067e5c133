"""Choosing deliveries: by id, state, plugin, resource and age."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, and_, func, select

from eventworker.db import Since, at_rest, moment
from eventworker.errors import PluginError
from eventworker.inbox import registry
from eventworker.inbox.backlog import delivery_table, event_table

_delivery = delivery_table.c
_event = event_table.c

#: Rows locked and changed by one statement.
BITE = 500


@dataclass(frozen=True, slots=True)
class Selection:
    """Deliveries that satisfy all that is given; without anything given, all of them."""

    ids: tuple[int, ...] = ()
    states: tuple[str, ...] = ()
    plugin: str | None = None
    resource: str | None = None
    since: Since | None = None

    def condition(self, connection: Connection) -> ColumnElement[bool]:
        """The selection as SQL.

        :raises PluginError: when no plugin of that name is registered.
        """
        terms: list[ColumnElement[bool]] = []
        if self.ids:
            terms.append(_delivery.id.in_(self.ids))
        if self.states:
            terms.append(_delivery.state.in_(self.states))
        if self.plugin is not None:
            terms.append(_delivery.plugin == plugin_number(connection, self.plugin))
        if self.resource is not None:
            with_resource = select(_event.id).where(_event.resource == self.resource)
            terms.append(_delivery.event_id.in_(with_resource))
        if self.since is not None:
            terms.append(_delivery.created_at >= moment(self.since))
        return and_(True, *terms)


@dataclass(frozen=True, slots=True)
class Pair:
    """A locked delivery and whom it concerns."""

    id: int
    event_id: UUID
    plugin: int
    stream: str | None
    seq: int | None


def plugin_number(connection: Connection, name: str) -> int:
    """The number of a registered plugin.

    :raises PluginError: when the name is unknown.
    """
    known = registry.numbers(connection, [name])
    if name not in known:
        raise PluginError(f"no plugin {name} is registered; see: eventworker plugins list")
    return known[name]


def count(connection: Connection, selection: Selection, states: tuple[str, ...] = ()) -> int:
    """Number of selected deliveries; with ``states``, of those at rest in them."""
    condition = selection.condition(connection)
    if states:
        condition = and_(condition, at_rest(delivery_table, states))
    counted = select(func.count()).select_from(delivery_table).where(condition)
    return int(connection.scalar(counted) or 0)


def locked(
    connection: Connection, selection: Selection, states: tuple[str, ...]
) -> Iterator[list[Pair]]:
    """The selected deliveries that are at rest, locked, bite by bite.

    Deliveries are locked before their inbox rows, as the consumers do it.
    """
    condition = and_(selection.condition(connection), at_rest(delivery_table, states))
    last = 0
    while True:
        rows = connection.execute(
            select(
                _delivery.id,
                _delivery.event_id,
                _delivery.plugin,
                _delivery.stream,
                _delivery.seq,
            )
            .where(condition, _delivery.id > last)
            .order_by(_delivery.id)
            .limit(BITE)
            .with_for_update()
        ).all()
        if not rows:
            return
        yield [Pair(*row) for row in rows]
        last = rows[-1].id
