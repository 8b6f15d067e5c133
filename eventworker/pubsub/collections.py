"""Collections (XEP-0248): nodes that are in other nodes, without a ring.

The rows of ``eventworker_pubsub_child`` say what is in what. A node's own configuration only tells
whether to look there at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import delete, func, insert, select, update

from eventworker.pubsub.config import COLLECTION, NodeConfig
from eventworker.pubsub.desk import Desk, Node
from eventworker.pubsub.errors import PubSubError
from eventworker.pubsub.facts import Actor
from eventworker.pubsub.names import can_be_name
from eventworker.pubsub.notices import Word, tell_subscribers
from eventworker.pubsub.rules import Affiliation
from eventworker.pubsub.tables import child_table, node_table

_child, _node = child_table.c, node_table.c


class Collections(Desk):
    """Put nodes into collections, and take them out."""

    def associate(self, collection: str, node: str, actor: Actor) -> None:
        """Put a node into a collection.

        :param actor: an owner of the node, whom the collection's ``children_association_policy``
            lets do it.
        :raises PubSubError: and nothing has changed.
        """
        self._lock_family([node, collection], [collection], self.node(node, actor).kind)
        child = self.node(node, actor, lock=True)
        self._require_owner(child, actor)
        parents = self._parents(child)
        if collection in parents:
            return
        into = self._collections(actor, child, [collection])
        self._require_no_ring(child, into, [])
        self._put(child, into)
        self._note(child, [*parents, collection])

    def disassociate(self, collection: str, node: str, actor: Actor) -> None:
        """Take a node out of a collection.

        :param actor: an owner of either.
        :raises PubSubError: ``bad-request``, when it is not in there.
        """
        self.lock([node, collection])
        child = self.node(node, actor, lock=True)
        parent = self.node(collection, actor, lock=True)
        if not (self._owns(child, actor) or self._owns(parent, actor)):
            raise PubSubError("forbidden")
        parents = self._parents(child)
        if collection not in parents:
            raise PubSubError("bad-request", text=f"{node} is not in {collection}")
        self._take(child, [parent])
        self._note(child, [each for each in parents if each != collection])

    def _lock_family(self, names: Iterable[str], outer: Iterable[str], inner: str) -> None:
        """Lock nodes that are to be put into one another, before anything is asked of them.

        What is above them now is locked, too, where there could be a ring; if that changes until
        all are locked, the database may refuse one of two who then wait for each other.

        :param outer: of the names, those that others are put into.
        :param inner: ``collection`` if one of the others is one.
        """
        above = layer = {*outer} if inner == COLLECTION else set()
        while layer:
            parent = node_table.alias("parent").c
            look = (
                select(parent.name)
                .join_from(child_table, node_table, _node.id == _child.node_id)
                .join(parent.id.table, parent.id == _child.collection_id)
                .where(_node.name.in_(sorted(filter(can_be_name, layer))), parent.name.is_not(None))
            )
            layer = {*self.connection.scalars(look)} - above
            above = above | layer
        self.lock({*names, *above})

    def _owns(self, node: Node, actor: Actor) -> bool:
        return self.standing(node, actor).affiliation is Affiliation.OWNER

    def _require_owner(self, node: Node, actor: Actor) -> None:
        if not self._owns(node, actor):
            raise PubSubError("forbidden", text=f"{node.name} is not the actor's own")

    def _parents(self, node: Node) -> tuple[str, ...]:
        """Names of the collections that the node is in."""
        look = select(_node.name).join(child_table, _child.collection_id == _node.id)
        look = look.where(_child.node_id == node.id, _node.name.is_not(None))
        return tuple(self.connection.scalars(look.order_by(_node.name)))

    def _children(self, node: Node) -> tuple[str, ...]:
        """Names of the nodes in the collection."""
        look = select(_node.name).join(child_table, _child.node_id == _node.id)
        look = look.where(_child.collection_id == node.id, _node.name.is_not(None))
        return tuple(self.connection.scalars(look.order_by(_node.name)))

    def _collections(
        self, actor: Actor, child: Node | None, names: Iterable[str], kind: str | None = None
    ) -> list[Node]:
        """The collections of these names, if a node may be put into each by this actor.

        They are locked. That is shared with others who put leaves there, unless it is to be
        counted: to fill a collection is not to wait for one another.

        :param child: None, if it is still to be made, of that ``kind``.
        """
        kind = child.kind if child is not None else kind
        found = []
        for name in sorted(names):
            parent = self.node(name, actor)
            alone = kind == COLLECTION or parent.config.children_max is not None
            parent = self._locked(parent, alone)
            if parent.kind != COLLECTION:
                raise PubSubError("not-allowed", "invalid-options", text=f"{name} is a leaf")
            self._require_association(parent, actor)
            self._require_room(parent, 1)
            found.append(parent)
        return found

    def _locked(self, node: Node, alone: bool) -> Node:
        look = select(node_table).where(_node.id == node.id, _node.name.is_not(None))
        row = self.connection.execute(look.with_for_update(read=not alone)).first()
        if row is None:
            raise PubSubError("item-not-found", text=f"there is no node {node.name}")
        return Node.of(row)

    def _require_association(self, parent: Node, actor: Actor) -> None:
        config = parent.config
        if (
            config.children_association_policy == "all"
            or (
                config.children_association_policy == "whitelist"
                and actor.bare in config.children_association_whitelist
            )
            or self._owns(parent, actor)
        ):
            return
        raise PubSubError("forbidden", text=f"{parent.name} takes no nodes of the actor's")

    def _require_room(self, parent: Node, number: int) -> None:
        most = parent.config.children_max
        if most is None:
            return
        there = self.connection.scalar(
            select(func.count()).where(_child.collection_id == parent.id)
        )
        if int(there or 0) + number > most:
            raise PubSubError("not-allowed", "max-nodes-exceeded")

    def _require_no_ring(
        self, node: Node | None, parents: Sequence[Node], children: Sequence[Node]
    ) -> None:
        """Refuse what would put a node, by way of others, into itself.

        :param node: which gains these parents and children; None, if it is still to be made.
        """
        if not any(child.kind == COLLECTION for child in children) and (
            node is None or node.kind != COLLECTION
        ):
            return
        above = self._above({parent.id for parent in parents})
        if node is not None and node.id in above:
            raise PubSubError("not-allowed", "invalid-options", text=f"{node.name} is above itself")
        if node is not None and children:
            above |= self._above({node.id})
        for child in children:
            if child.id in above:
                raise PubSubError(
                    "not-allowed", "invalid-options", text=f"{child.name} is above itself"
                )

    def _above(self, ids: set[int]) -> set[int]:
        """These nodes and all that are above them, locked: two who close a ring from both sides
        would not see each other otherwise."""
        above = layer = ids
        while layer:
            look = select(_child.collection_id).where(_child.node_id.in_(sorted(layer)))
            layer = set(self.connection.scalars(look)) - above
            if layer:
                lock = select(_node.id).where(_node.id.in_(sorted(layer))).with_for_update()
                self.connection.execute(lock)
            above = above | layer
        return above

    def _put(self, child: Node, parents: Sequence[Node]) -> None:
        if not parents:
            return
        rows = [{"collection_id": parent.id, "node_id": child.id} for parent in parents]
        self.connection.execute(insert(child_table), rows)
        for parent in parents:
            self._tell_of(parent, Word.ASSOCIATE, child)

    def _take(self, child: Node, parents: Sequence[Node]) -> None:
        for parent in parents:
            self._tell_of(parent, Word.DISASSOCIATE, child)
            self.connection.execute(
                delete(child_table).where(
                    _child.collection_id == parent.id, _child.node_id == child.id
                )
            )

    def _tell_of(self, parent: Node, word: Word, child: Node) -> None:
        if parent.config.deliver_notifications:
            tell_subscribers(self, parent, word, {"child": child.name, "child_id": child.id})

    def _note(self, child: Node, parents: Sequence[str]) -> None:
        """Have the child's own configuration say where it is."""
        self._write_config(child, replace(child.config, collection=tuple(sorted(parents))))

    def _write_config(self, node: Node, config: NodeConfig) -> None:
        change = update(node_table).where(_node.id == node.id)
        self.connection.execute(change.values(stored(config)))


def stored(config: NodeConfig) -> dict[str, Any]:
    """The columns of a node that follow from its configuration."""
    return {
        # What is in a collection is said by the rows of its children alone.
        "config": replace(config, children=()).to_json(),
        "access_model": config.access_model,
        "purge_offline": config.purge_offline,
    }
