"""What an entity can find out about the service and its nodes (XEP-0060, sections 5.1 to 5.5)."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from sqlalchemy import FromClause, and_, exists, func, or_, select

from eventworker.pubsub.collections import Collections
from eventworker.pubsub.config import COLLECTION
from eventworker.pubsub.configuring import told_of
from eventworker.pubsub.desk import Node
from eventworker.pubsub.errors import unsupported
from eventworker.pubsub.facts import Actor, Fields, NodeEntry, NodeInfo, Page, Part
from eventworker.pubsub.features import features_of
from eventworker.pubsub.forms import PREFIX
from eventworker.pubsub.groups import is_in_group
from eventworker.pubsub.items import fresh
from eventworker.pubsub.paging import part_of
from eventworker.pubsub.rosters import Rosters
from eventworker.pubsub.rules import AccessModel, Action, Affiliation, State
from eventworker.pubsub.tables import (
    affiliation_table,
    child_table,
    item_table,
    node_table,
    presence_table,
    subscription_table,
)

_node, _child, _item = node_table.c, child_table.c, item_table.c
_affiliation, _subscription = affiliation_table.c, subscription_table.c
#: Models under which anybody can find a node: he may subscribe, or ask to.
_KNOWN = (AccessModel.OPEN, AccessModel.AUTHORIZE)
#: Addresses of one kind in the metadata of a node.
_MOST = 100


class Discovery(Collections, Rosters):
    """Find nodes and their items."""

    def features(self) -> list[str]:
        """The features of the service, as disco#info lists them."""
        return features_of(self.settings, has_rosters=self.has_rosters())

    def nodes(
        self,
        actor: Actor,
        collection: str | None = None,
        page: Page | None = None,
        *,
        deep: bool = False,
    ) -> Part[NodeEntry]:
        """The nodes that the actor may know of, by their names.

        Those of the model ``whitelist`` only whoever is affiliated with them; those of the model
        ``presence`` also whoever shares presence, those of ``roster`` whoever is known to be in an
        admitted group; none its outcasts.

        :param collection: those in this collection; None: those in none that the actor may know of.
        :param page: a part of the list; ``after`` and ``before`` are names.
        :param deep: without a collection, all of them.
        """
        look = select(node_table).where(_node.name.is_not(None), self._known(node_table, actor))
        if collection is not None:
            found = self.node(collection, actor)
            self.require(found, actor, Action.SUBSCRIBE)
            look = look.join(child_table, _child.node_id == _node.id)
            look = look.where(_child.collection_id == found.id)
        elif not deep:
            above = node_table.alias("above")
            look = look.where(
                ~exists()
                .where(_child.node_id == _node.id, _child.collection_id == above.c.id)
                .where(self._known(above, actor))
            )
        part = part_of(self.connection, look, _node.name, page)
        rows = map(Node.of, part.entries)
        entries = [NodeEntry(each.name, each.kind, each.config.title) for each in rows]
        return Part(entries, part.first, part.total)

    def node_info(self, node: str, actor: Actor) -> NodeInfo:
        """What a node is; for those who may know of it also what it is about, by whom and for whom
        (the form ``#meta-data``).

        :raises PubSubError: ``item-not-found``.
        """
        found = self.node(node, actor)
        known = self._exists(
            select(_node.id).where(_node.id == found.id, self._known(node_table, actor))
        )
        return NodeInfo(node, found.kind, self._metadata(found) if known else {})

    def item_names(self, node: str, actor: Actor, page: Page | None = None) -> Part[str]:
        """The ids of a node's items, oldest first, for those who may retrieve them.

        :param page: a part of the list; ``after`` and ``before`` are ids.
        """
        found = self.node(node, actor)
        self.require(found, actor, Action.RETRIEVE)
        if found.kind == COLLECTION:
            raise unsupported("retrieve-items")
        mine = _item.node_id == found.id
        look: Any = select(_item.item_id).where(mine, fresh())
        if not found.config.persist_items:
            return Part([], 0, 0)
        part = part_of(
            self.connection,
            look,
            _item.position,
            page,
            key_of=lambda name: self.connection.scalar(
                select(_item.position).where(mine, _item.item_id == name)
            ),
        )
        return Part([row.item_id for row in part.entries], part.first, part.total)

    def _known(self, node: FromClause, actor: Actor) -> Any:
        """Whether the actor may know of a node, as a condition."""
        if actor.is_admin:
            return node.c.id == node.c.id
        of_mine = exists().where(_affiliation.node_id == node.c.id, _affiliation.jid == actor.bare)
        shares_presence = exists().where(
            presence_table.c.bare == actor.bare, presence_table.c.resource == ""
        )
        out = _affiliation.affiliation == Affiliation.OUTCAST
        return or_(
            and_(node.c.access_model.in_(_KNOWN), ~of_mine.where(out)),
            and_(node.c.access_model == AccessModel.PRESENCE, shares_presence, ~of_mine.where(out)),
            and_(
                node.c.access_model == AccessModel.ROSTER,
                is_in_group(node.c.id, actor.bare),
                ~of_mine.where(out),
            ),
            of_mine.where(~out),
        )

    def _metadata(self, node: Node) -> Fields:
        config = told_of(node.config)
        moment = node.created_at.astimezone(UTC).isoformat(timespec="seconds")
        publishers = (Affiliation.PUBLISHER, Affiliation.PUBLISH_ONLY)
        known = {
            "creation_date": [moment.replace("+00:00", "Z")],
            "creator": [node.creator],
            "owner": self._affiliated(node, Affiliation.OWNER),
            "publisher": self._affiliated(node, *publishers),
            "num_subscribers": [str(self._subscribers(node))],
        }
        return {**config, **{PREFIX + name: texts for name, texts in known.items()}}

    def _affiliated(self, node: Node, *affiliations: Affiliation) -> list[str]:
        look = select(_affiliation.jid).where(
            _affiliation.node_id == node.id, _affiliation.affiliation.in_(affiliations)
        )
        return list(self.connection.scalars(look.order_by(_affiliation.jid).limit(_MOST)))

    def _subscribers(self, node: Node) -> int:
        number = self.connection.scalar(
            select(func.count()).where(
                _subscription.node_id == node.id, _subscription.state == State.SUBSCRIBED
            )
        )
        return int(number or 0)
