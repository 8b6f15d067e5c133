"""Retrieving the items of a node (XEP-0060, section 6.5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, func, select

from eventworker.db import among
from eventworker.pubsub.config import COLLECTION
from eventworker.pubsub.desk import Desk, Node
from eventworker.pubsub.errors import PubSubError, unsupported
from eventworker.pubsub.facts import Actor, Item, Page, Part
from eventworker.pubsub.items import fresh
from eventworker.pubsub.names import can_be_name
from eventworker.pubsub.paging import MOST, part_of
from eventworker.pubsub.replies import shown_publisher
from eventworker.pubsub.rules import Action
from eventworker.pubsub.tables import item_table, subscription_table

_item = item_table.c
_SHOWN: list[ColumnElement[Any]] = [
    _item.item_id,
    _item.payload,
    _item.publisher,
    _item.published_at,
]


class Retrieving(Desk):
    """Retrieve items."""

    def items(
        self,
        node: str,
        actor: Actor,
        ids: Sequence[str] | None = None,
        max_items: int | None = None,
        subid: str | None = None,
        page: Page | None = None,
    ) -> Part[Item]:
        """Items of a node, oldest first; those of ``max_items`` newest first, as in the XEP.

        Items that have expired are not there, whether or not they have been removed.

        :param ids: only these; those that are not there are left out.
        :param max_items: only so many, the newest.
        :param subid: by which subscription, where the actor has several.
        :param page: a part of the list, which is then always oldest first; ``after`` and
            ``before`` are ids.
        """
        found = self.node(node, actor)
        self.require(found, actor, Action.RETRIEVE)
        if found.kind == COLLECTION:
            raise unsupported("retrieve-items")
        if not found.config.persist_items:
            raise unsupported("persistent-items")
        self._require_subscription(found, actor, subid)
        if max_items is not None:
            if max_items < 1:
                raise PubSubError("bad-request", text="max_items is a number from 1")
            max_items = min(max_items, MOST)
        look: Select[Any] = select(*_SHOWN)
        look = look.where(_item.node_id == found.id, fresh())
        if ids:
            wanted = list(filter(can_be_name, dict.fromkeys(ids)))
            look = look.where(among(self.dialect, _item.item_id, wanted))
        if max_items is not None:
            if page is None:
                newest = self.connection.execute(
                    look.order_by(_item.position.desc()).limit(max_items)
                ).all()
                return Part(_made(found, newest), 0, len(newest))
            look = self._newest(look, max_items)
        part = part_of(
            self.connection, look, _item.position, page, key_of=lambda each: self._at(found, each)
        )
        return Part(_made(found, part.entries), part.first, part.total)

    def _newest(self, look: Select[Any], number: int) -> Select[Any]:
        first = self.connection.scalar(
            look.with_only_columns(_item.position)
            .order_by(_item.position.desc())
            .offset(number - 1)
            .limit(1)
        )
        return look if first is None else look.where(_item.position >= first)

    def _at(self, node: Node, item_id: str) -> int | None:
        return self.connection.scalar(
            select(_item.position).where(_item.node_id == node.id, _item.item_id == item_id)
        )

    def _require_subscription(self, node: Node, actor: Actor, subid: str | None) -> None:
        if not self.settings.multi_subscribe or actor.is_admin:
            return
        subscription = subscription_table.c
        mine = (subscription.node_id == node.id, subscription.bare == actor.bare)
        if subid is not None:
            if not can_be_name(subid) or not self._exists(
                select(subscription.id).where(*mine, subscription.subid == subid)
            ):
                raise PubSubError("not-acceptable", "invalid-subid")
            return
        several = select(subscription.jid).where(
            *mine, subscription.jid.in_([actor.jid, actor.bare])
        )
        if self._exists(several.group_by(subscription.jid).having(func.count() > 1)):
            raise PubSubError("bad-request", "subid-required")


def _made(node: Node, rows: Sequence[Row[Any]]) -> list[Item]:
    return [
        Item(
            row.item_id, row.payload, shown_publisher(node.config, row.publisher), row.published_at
        )
        for row in rows
    ]
