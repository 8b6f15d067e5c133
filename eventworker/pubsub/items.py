"""The rows of a node's items, as several verbs read, write and remove them.

Whoever writes here has locked the node, see :meth:`Desk.node`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    Integer,
    bindparam,
    delete,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import mysql, postgresql, sqlite

from eventworker.db import among, clock
from eventworker.pubsub.config import NodeConfig
from eventworker.pubsub.desk import Desk, Node
from eventworker.pubsub.names import can_be_name
from eventworker.pubsub.tables import item_table, node_table

_item = item_table.c
#: What another publication under the same id changes; the row stays.
_NEW = ("position", "publisher", "payload", "published_at", "expires_at")
# Built once, since that takes longer than to run them.
_COUNT = (
    update(node_table)
    .where(node_table.c.id == bindparam("node"))
    .values(position=bindparam("counted"))
)
# Of the index alone: to look at the rows, too, would take several times as long.
_TOO_MANY = (
    select(_item.position)
    .where(_item.node_id == bindparam("node"))
    .order_by(_item.position.desc())
    .limit(1)
    .offset(bindparam("most", type_=Integer))
)
_REMOVE_TO = (
    delete(item_table)
    .where(_item.node_id == bindparam("node"), _item.position <= bindparam("last"))
    .returning(_item.position, _item.item_id)
)


def fresh() -> ColumnElement[bool]:
    """Items whose time is not over, whether or not those have been removed already."""
    return or_(_item.expires_at.is_(None), _item.expires_at > clock())


def capacity(desk: Desk, config: NodeConfig) -> int:
    """Items that a node of that configuration keeps at the most."""
    most = desk.settings.max_items
    return most if config.max_items is None else min(most, config.max_items)


def store(desk: Desk, node: Node, publisher: str, items: Sequence[Mapping[str, Any]]) -> None:
    """Keep items, ``{"item_id", "payload"}``, in their order; those of the same id are replaced."""
    connection = desk.connection
    connection.execute(_COUNT, {"node": node.id, "counted": node.position + len(items)})
    seconds = node.config.item_expire
    common: dict[str, Any] = {"node_id": node.id, "publisher": publisher}
    if seconds is not None:
        common["seconds"] = seconds
    rows = [
        {**common, "position": position, **item}
        for position, item in enumerate(items, node.position + 1)
    ]
    # One row by itself is a plain statement; the drivers prepare something for many.
    connection.execute(
        _upsert(connection.dialect.name, seconds is not None), rows if len(rows) > 1 else rows[0]
    )


@cache
def _upsert(dialect: str, expires: bool) -> Any:
    values = {
        **{name: bindparam(name, type_=_item[name].type) for name in _GIVEN},
        "published_at": clock(),
        "expires_at": clock(bindparam("seconds", type_=Float)) if expires else None,
    }
    if dialect == "mariadb":
        made: Any = mysql.insert(item_table).values(values)
        return made.on_duplicate_key_update({name: made.inserted[name] for name in _NEW})
    made = (sqlite if dialect == "sqlite" else postgresql).insert(item_table).values(values)
    return made.on_conflict_do_update(
        index_elements=[_item.node_id, _item.item_id],
        set_={name: made.excluded[name] for name in _NEW},
    )


_GIVEN = ("node_id", "item_id", "position", "publisher", "payload")


def room_for(desk: Desk, node: Node, ids: Sequence[str]) -> bool:
    """Whether items of these ids can be published without removing another one."""
    most = capacity(desk, node.config)
    if node.position + len(ids) <= most:
        return True  # as many as were ever published
    kept = desk.connection.scalar(
        select(func.count()).where(
            _item.node_id == node.id,
            fresh(),
            ~among(desk.dialect, _item.item_id, list(ids)),
        )
    )
    return int(kept or 0) + len(ids) <= most


def trim(desk: Desk, node: Node, published: int = 0) -> list[str]:
    """Remove the oldest items of a node that has more than it may; returns their ids in order.

    :param published: items that were stored since the node was read.
    """
    most = capacity(desk, node.config)
    if node.position + published <= most:
        return []
    last = desk.connection.scalar(_TOO_MANY, {"node": node.id, "most": most})
    if last is None:
        return []
    removed = desk.connection.execute(_REMOVE_TO, {"node": node.id, "last": last})
    return [item_id for _, item_id in sorted(tuple(row) for row in removed)]


def publishers(connection: Connection, node: Node, ids: Sequence[str]) -> dict[str, str]:
    """Who published those of the items that are there."""
    ids = list(filter(can_be_name, ids))
    rows = connection.execute(
        select(_item.item_id, _item.publisher).where(
            _item.node_id == node.id, among(connection.dialect.name, _item.item_id, ids), fresh()
        )
    )
    return {row.item_id: row.publisher for row in rows}


def remove(connection: Connection, node: Node, ids: Sequence[str]) -> None:
    """Remove items by their ids."""
    connection.execute(
        delete(item_table).where(
            _item.node_id == node.id, among(connection.dialect.name, _item.item_id, ids)
        )
    )


def remove_all(connection: Connection, node: Node) -> int:
    """Remove the node's items; returns their number."""
    return connection.execute(delete(item_table).where(_item.node_id == node.id)).rowcount
