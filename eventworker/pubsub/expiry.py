"""Items that go by themselves: when their time is over, or when their publisher goes offline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import exists, select

from eventworker.db import clock
from eventworker.pubsub import items as kept
from eventworker.pubsub.desk import Desk, Node
from eventworker.pubsub.notices import Word, tell_subscribers
from eventworker.pubsub.tables import item_table, node_table

_node, _item = node_table.c, item_table.c
#: Nodes, and items of each, in one transaction.
_NODES, _ITEMS = 50, 1000


class Expiry(Desk):
    """Remove items that nobody retracts."""

    def expire_items(self) -> int:
        """Remove items whose time is over, some of them; returns their number.

        Called again and again until that is 0. Nodes that somebody is busy with are left for later.
        """
        # As a subquery, since PostgreSQL asks its clock for each row, and then uses no index.
        over = _item.expires_at <= select(clock()).scalar_subquery()
        found = self.connection.scalars(
            select(_item.node_id).where(over).group_by(_item.node_id).limit(_NODES)
        ).all()
        if not found:
            return 0
        removed = 0
        for node in self._unless_busy(found):
            late = select(_item.item_id).where(_item.node_id == node.id, over)
            ids = self.connection.scalars(late.order_by(_item.position).limit(_ITEMS)).all()
            removed += len(ids)
            self._remove(node, ids)
        return removed

    def publisher_gone(self, publisher: str) -> None:
        """Somebody has gone offline: remove his items from the nodes with ``purge_offline``.

        :param publisher: bare JID.
        """
        his = (_item.node_id == _node.id, _item.publisher == publisher)
        look = select(_node.id, _node.name).where(
            _node.purge_offline, _node.name.is_not(None), exists().where(*his)
        )
        found = {row.name: row.id for row in self.connection.execute(look)}
        self.lock(found)
        for key in found.values():
            row = self.connection.execute(select(node_table).where(_node.id == key)).first()
            if row is None or row.name is None or not row.purge_offline:  # changed meanwhile
                continue
            ids = self.connection.scalars(
                select(_item.item_id)
                .where(_item.node_id == row.id, _item.publisher == publisher)
                .order_by(_item.position)
            ).all()
            self._remove(Node.of(row), ids)

    def _unless_busy(self, ids: Sequence[int]) -> list[Node]:
        look: Any = select(node_table).where(_node.id.in_(ids), _node.name.is_not(None))
        # A locking read of a small table would rather scan, and so lock, all of it.
        look = look.with_hint(node_table, "FORCE INDEX (PRIMARY)", "mariadb")
        rows = self.connection.execute(look.with_for_update(skip_locked=True)).all()
        return [Node.of(row) for row in rows]

    def _remove(self, node: Node, ids: Sequence[str]) -> None:
        if not ids:
            return
        kept.remove(self.connection, node, ids)
        config = node.config
        if config.notify_retract and config.deliver_notifications:
            tell_subscribers(self, node, Word.RETRACT, {"ids": list(ids)})
