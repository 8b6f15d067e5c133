"""Dead letters that later events of their resource wait behind."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, and_, func, select

from eventworker.db import DEAD, PENDING
from eventworker.inbox.backlog import delivery_table
from eventworker.inbox.registry import plugin_table

_dead = delivery_table.alias("dead_letter")
_waiting = delivery_table.alias("waiting")


@dataclass(frozen=True, slots=True)
class Blocked:
    """A dead letter of an ordered plugin, by the id of its delivery.

    :ivar waiting: number of events of the resource that wait behind it.
    """

    id: int
    plugin: str
    stream: str
    waiting: int


def blocked(connection: Connection) -> list[Blocked]:
    """All of them, those that most wait for first."""
    behind = and_(
        _waiting.c.stream == _dead.c.stream,
        _waiting.c.plugin == _dead.c.plugin,
        _waiting.c.seq > _dead.c.seq,
        _waiting.c.state == PENDING,
    )
    number = func.count().label("number")
    rows = connection.execute(
        select(_dead.c.id, plugin_table.c.name, _dead.c.stream, number)
        .join(_waiting, behind)
        .join(plugin_table, plugin_table.c.number == _dead.c.plugin)
        .where(_dead.c.state == DEAD, plugin_table.c.ordered_since.is_not(None))
        .group_by(_dead.c.id, plugin_table.c.name, _dead.c.stream)
        .order_by(number.desc(), _dead.c.id)
    )
    return [Blocked(*row) for row in rows]
