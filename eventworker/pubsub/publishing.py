"""Publisher use cases (XEP-0060, section 7)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from eventworker.pubsub import items as kept
from eventworker.pubsub.config import COLLECTION, NodeConfig
from eventworker.pubsub.configuring import new_config
from eventworker.pubsub.desk import Node
from eventworker.pubsub.errors import PubSubError, unsupported
from eventworker.pubsub.facts import Actor, Fields, NewItem
from eventworker.pubsub.forms import filled_in
from eventworker.pubsub.names import item_name, new_name
from eventworker.pubsub.nodes import Nodes
from eventworker.pubsub.notices import Word, tell_subscribers
from eventworker.pubsub.payload import namespace_of, size_of
from eventworker.pubsub.replies import told_of_items
from eventworker.pubsub.rules import CAPABILITIES, Action, Affiliation, Standing

#: Characters of the payloads in a notice of several items.
_LARGE = 128 * 1024


class Publishing(Nodes):
    """Publish and retract; a batch is published, and retracted, as a whole or not at all."""

    def publish(
        self, node: str, actor: Actor, items: Sequence[NewItem], options: Fields | None = None
    ) -> list[str]:
        """Publish items; returns their ids, in their order (section 7.1).

        An item of an id that is there replaces it, and is the node's newest. A full node makes room
        or refuses, as its ``publish_node_full`` says. A node that is not there is made, if the
        service is set up for that.

        :param items: none, to notify subscribers of a node that has neither items nor payloads.
        :param options: what has to be so in the node's configuration (section 7.1.5); a node that
            is made is made so.
        :raises PubSubError: and nothing has been published.
        """
        self._check_batch(items)
        namespaces = [self._namespace(each) for each in items]
        found = self._published_to(node, actor, items, namespaces, options)
        config = found.config
        self._fits(config, items, namespaces)
        ids = [each.id or new_name() for each in items]
        removed = self._keep(found, actor, items, ids) if config.persist_items else []
        if config.deliver_notifications:
            payloads = [each.payload if config.deliver_payloads else None for each in items]
            for part in _parts(list(zip(ids, payloads, strict=True))):
                told = told_of_items(self, found, actor.bare, part)
                tell_subscribers(self, found, Word.ITEMS, told)
            if removed and config.notify_retract and config.publish_node_full == "retract-oldest":
                tell_subscribers(self, found, Word.RETRACT, {"ids": removed})
        return ids

    def retract(self, node: str, actor: Actor, ids: Sequence[str], notify: bool = False) -> None:
        """Delete items (section 7.2).

        Owners delete any, publishers their own.

        :param notify: tell subscribers, also if the node's configuration does not say so.
        :raises PubSubError: ``item-not-found`` if any is not there, ``forbidden`` if any is not
            the actor's; then none was deleted.
        """
        if not ids or "" in ids:
            raise PubSubError("bad-request", "item-required")
        if len(ids) > self.settings.max_batch:
            raise PubSubError("not-allowed", "max-items-exceeded")
        ids = list(dict.fromkeys(ids))
        found = self.node(node, actor, lock=True)
        standing = self.require(found, actor, Action.RETRACT_OWN)
        if found.kind == COLLECTION or not found.config.persist_items:
            raise unsupported("persistent-items")
        there = kept.publishers(self.connection, found, ids)
        for each in ids:
            if each not in there:
                raise PubSubError("item-not-found", text=f"{node} has no item {each}")
        if not _may_delete_any(standing) and set(there.values()) != {actor.bare}:
            raise PubSubError("forbidden", text="these are the items of others")
        kept.remove(self.connection, found, ids)
        if found.config.deliver_notifications and (notify or found.config.notify_retract):
            tell_subscribers(self, found, Word.RETRACT, {"ids": ids})

    def _check_batch(self, items: Sequence[NewItem]) -> None:
        if len(items) > self.settings.max_batch:
            raise PubSubError(
                "not-allowed",
                "max-items-exceeded",
                text=f"at most {self.settings.max_batch} items can be published at once",
            )
        ids = [item_name(each.id) for each in items if each.id is not None]
        if len(set(ids)) < len(ids):
            raise PubSubError("bad-request", text="two items have the same id")

    def _namespace(self, item: NewItem) -> str | None:
        """Of the payload, which is read here, before anything waits for the node."""
        if item.payload is None:
            return None
        self._require_size(item.payload, None)
        return namespace_of(item.payload)

    def _require_size(self, payload: str, allowed: int | None) -> None:
        most = self.settings.max_payload_size
        most = most if allowed is None else min(most, allowed)
        if size_of(payload) > most:
            raise PubSubError(
                "not-acceptable",
                "payload-too-big",
                text=f"a payload has at most {most} bytes",
            )

    def _published_to(
        self,
        name: str,
        actor: Actor,
        items: Sequence[NewItem],
        namespaces: Sequence[str | None],
        options: Fields | None,
    ) -> Node:
        try:
            found = self.node(name, actor, lock=True)
        except PubSubError as error:
            if error.condition != "item-not-found" or not self.settings.auto_create:
                raise
            found = self._made(name, actor, items, namespaces, options)
        self.require(found, actor, Action.PUBLISH)
        if found.kind == COLLECTION:
            raise unsupported("publish")
        if options:
            _require_precondition(found.config, options)
        return found

    def _made(
        self,
        name: str,
        actor: Actor,
        items: Sequence[NewItem],
        namespaces: Sequence[str | None],
        options: Fields | None,
    ) -> Node:
        """A new node, if the items could be published to it: otherwise none is left behind."""
        if options:
            _require_precondition(None, options)
        config = new_config(self.settings, options or {})
        if config.node_type == COLLECTION:
            raise unsupported("publish")
        self._fits(config, items, namespaces)
        try:
            self.create(name, actor, options)
        except PubSubError as error:
            # Somebody was faster.
            if error.condition != "conflict":
                raise
        return self.node(name, actor, lock=True)

    def _fits(
        self, config: NodeConfig, items: Sequence[NewItem], namespaces: Sequence[str | None]
    ) -> None:
        """Refuse items that are not what the node is for (sections 4.3 and 7.1.3.6)."""
        if config.persist_items and not items:
            raise PubSubError("bad-request", "item-required")
        if config.deliver_payloads:
            if not items or any(each.payload is None for each in items):
                raise PubSubError("bad-request", "payload-required")
        elif items and not config.persist_items:
            raise PubSubError("bad-request", "item-forbidden")
        for item, namespace in zip(items, namespaces, strict=True):
            if item.payload is None:
                continue
            if config.max_payload_size is not None:
                self._require_size(item.payload, config.max_payload_size)
            if config.type and namespace != config.type:
                raise PubSubError(
                    "bad-request",
                    "invalid-payload",
                    text=f"the namespace of the payload is not {config.type}",
                )
        if len(items) > kept.capacity(self, config):
            raise PubSubError("not-allowed", "max-items-exceeded")

    def _keep(
        self, node: Node, actor: Actor, items: Sequence[NewItem], ids: Sequence[str]
    ) -> list[str]:
        """Returns the ids of items that had to go."""
        if node.config.publish_node_full == "reject" and not kept.room_for(self, node, ids):
            raise PubSubError("conflict", "node-full")
        rows = [
            {"item_id": item_id, "payload": item.payload}
            for item_id, item in zip(ids, items, strict=True)
        ]
        kept.store(self, node, actor.bare, rows)
        return kept.trim(self, node, len(items))


def _parts(items: list[tuple[str, str | None]]) -> Iterator[list[tuple[str, str | None]]]:
    """As notices of a moderate size, since whoever tells them has many in memory. No items at all
    are one, too."""
    start, size = 0, 0
    for place, (_, payload) in enumerate(items):
        size += len(payload or "")
        if size > _LARGE and place > start:
            yield items[start:place]
            start, size = place, len(payload or "")
    yield items[start:]


def _may_delete_any(standing: Standing) -> bool:
    affiliation = Affiliation.OWNER if standing.is_admin else standing.affiliation
    return Action.RETRACT_ANY in CAPABILITIES[affiliation]


def _require_precondition(config: NodeConfig | None, options: Fields) -> None:
    """
    :param config: None for a node that is to be made, where any known field can be met.
    """
    try:
        wanted = filled_in(config or NodeConfig(), options, strict=True)
    except ValueError as error:
        raise PubSubError("conflict", "precondition-not-met", text=str(error)) from None
    if config is not None and wanted != config:
        raise PubSubError("conflict", "precondition-not-met")
