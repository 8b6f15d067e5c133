"""Owner use cases that concern the node itself (XEP-0060, sections 8.1 to 8.5)."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Row, delete, func, insert, or_, select, update
from sqlalchemy.dialects import mysql

from eventworker.db import clock, insert_new, insert_or_update
from eventworker.pubsub import items as kept
from eventworker.pubsub.collections import Collections, stored
from eventworker.pubsub.config import COLLECTION, LEAF, NodeConfig
from eventworker.pubsub.configuring import (
    NO_TEXT,
    changed_config,
    default_of,
    new_config,
    told_of,
)
from eventworker.pubsub.desk import Node
from eventworker.pubsub.errors import PubSubError, unsupported
from eventworker.pubsub.facts import Actor, Fields
from eventworker.pubsub.forms import PREFIX
from eventworker.pubsub.jid import domain
from eventworker.pubsub.names import new_name, node_name
from eventworker.pubsub.notices import Word, tell_subscribers
from eventworker.pubsub.rosters import Rosters
from eventworker.pubsub.rules import Action, Affiliation
from eventworker.pubsub.tables import (
    affiliation_table,
    child_table,
    item_table,
    node_table,
    redirect_table,
    subscription_table,
)

_node, _child = node_table.c, child_table.c
#: Children that are all locked when a form names some.
_FEW = 100
#: Fields that put nodes into one another.
_FAMILY = {PREFIX + "collection", PREFIX + "children"}
#: Characters of the place where a deleted node has gone.
_LONGEST_URI = 2048
_NO_URI = re.compile(rf"\s|{NO_TEXT.pattern}")


class Nodes(Collections, Rosters):
    """Create, configure, delete and purge."""

    def create(self, node: str | None, actor: Actor, fields: Fields | None = None) -> str:
        """Make a node that the actor owns; returns its name (section 8.1).

        :param node: None: the service makes a name.
        :param fields: what its configuration has beside the defaults.
        :raises PubSubError: ``conflict`` where there is one, ``forbidden`` for those who may not
            create, ``not-allowed`` with ``max-nodes-exceeded`` for those who have made too many,
            ``unsupported-access-model`` for ``roster`` where the actor's cannot be read.
        """
        name = new_name() if node is None else node_name(node)
        self._require_creator(actor)
        config = new_config(self.settings, fields or {})
        if self._exists(select(_node.id).where(_node.name == name)):
            raise PubSubError("conflict", text=f"there is a node {name}")
        if config.children or (config.collection and config.node_type == COLLECTION):
            family = [*config.collection, *config.children]
            self._lock_family(family, config.collection, COLLECTION)
        parents = self._collections(actor, None, config.collection, config.node_type)
        children = self._adopted(actor, config.children)
        self._require_no_ring(None, parents, children)
        _require_few(config)
        roster_of = self._roster_for(None, actor, config)
        made = self._insert(name, actor, config)
        self._keep_groups(made, roster_of, config.roster_groups_allowed)
        self._put(made, parents)
        self._adopt(made, children)
        return name

    def configuration(self, node: str, actor: Actor) -> NodeConfig:
        """The configuration of a node, for its owners (section 8.2)."""
        found = self.node(node, actor)
        self.require(found, actor, Action.CONFIGURE)
        return self._whole(found)

    def configure(self, node: str, actor: Actor, fields: Fields) -> None:
        """Change the configuration of a node (section 8.2).

        A shorter ``max_items`` removes the oldest items at once, and the end of ``persist_items``
        all of them; ``item_expire`` begins anew for the items that are there.

        :param fields: what is left out stays as it is.
        :raises PubSubError: ``not-acceptable``, and nothing has changed.
        """
        if _FAMILY & fields.keys():
            self._lock_relatives(node, actor, fields)
        found = self.node(node, actor, lock=True)
        self.require(found, actor, Action.CONFIGURE)
        before = self._whole(found)
        after = changed_config(self.settings, before, fields)
        gained = [name for name in after.collection if name not in before.collection]
        lost = [name for name in before.collection if name not in after.collection]
        joined = self._collections(actor, found, gained)
        left = [self.node(name, lock=True) for name in lost]
        adopted = self._adopted(actor, set(after.children) - set(before.children))
        self._require_no_ring(found, joined, adopted)
        dismissed = [
            self.node(name, lock=True) for name in sorted({*before.children} - {*after.children})
        ]
        if after.children != before.children:
            _require_few(after)
        roster_of = self._roster_for(found, actor, after)
        self._write_config(found, after)
        self._keep_groups(found, roster_of, after.roster_groups_allowed)
        changed = replace(found, config=after)
        self._put(changed, joined)
        self._take(changed, left)
        self._adopt(changed, adopted)
        for child in dismissed:
            self._take(child, [changed])
            self._note(child, self._parents(child))
        self._apply(changed, before)
        if after.notify_config:
            told = {"fields": told_of(after)} if after.deliver_payloads else {}
            tell_subscribers(self, changed, Word.CONFIGURATION, told)

    def default_configuration(self, kind: str = LEAF) -> NodeConfig:
        """What a new node's configuration is, where nobody says otherwise (section 8.3).

        :param kind: ``leaf`` or ``collection``.
        """
        if kind not in (LEAF, COLLECTION):
            raise PubSubError("bad-request", text=f"there are no nodes of the type {kind}")
        return default_of(self.settings, kind)

    def delete(self, node: str, actor: Actor, redirect_uri: str | None = None) -> None:
        """Delete a node and its items (section 8.4). Its subscribers are told.

        :param redirect_uri: where those who ask for it later are sent.
        """
        if redirect_uri is not None and (
            not 0 < len(redirect_uri) <= _LONGEST_URI or _NO_URI.search(redirect_uri)
        ):
            raise PubSubError("not-acceptable", text="that is no URI")
        found = self.node(node, actor, lock=True)
        self.require(found, actor, Action.DELETE)
        if found.config.notify_delete:
            told = {"uri": redirect_uri} if redirect_uri else {}
            tell_subscribers(self, found, Word.DELETE, told)
        kept.remove_all(self.connection, found)
        self.connection.execute(
            delete(child_table).where(
                or_(_child.collection_id == found.id, _child.node_id == found.id)
            )
        )
        # The row, its affiliations and subscriptions are there until all have been told.
        gone = {"name": None, "deleted_at": clock()}
        self.connection.execute(update(node_table).where(_node.id == found.id).values(gone))
        if redirect_uri is not None:
            to: dict[str, Any] = {
                "uri": redirect_uri,
                "creator": found.creator,
                "created_at": clock(),
            }
            row = {"name": found.name, **to}
            self.connection.execute(insert_or_update(self.dialect, redirect_table, row, to))

    def purge(self, node: str, actor: Actor) -> None:
        """Remove all items of a node, with one notice (section 8.5)."""
        found = self.node(node, actor, lock=True)
        self.require(found, actor, Action.PURGE)
        if found.kind == COLLECTION or not found.config.persist_items:
            raise unsupported("persistent-items")
        kept.remove_all(self.connection, found)
        if found.config.deliver_notifications:
            tell_subscribers(self, found, Word.PURGE, {})

    def _require_creator(self, actor: Actor) -> None:
        if actor.is_admin:
            return
        if self.settings.creators != "everyone" and domain(actor.jid) != self.settings.service:
            raise PubSubError("forbidden", text="creating nodes is not for everyone here")
        if not self.settings.max_nodes:
            return
        # Not those that he owns: others can make him an owner, and he can leave his to others.
        made = select(func.count()).where(_node.creator == actor.bare, _node.name.is_not(None))
        left = select(func.count()).where(redirect_table.c.creator == actor.bare)
        there = sum(int(self.connection.scalar(each) or 0) for each in (made, left))
        if there >= self.settings.max_nodes:
            raise PubSubError("not-allowed", "max-nodes-exceeded")

    def _insert(self, name: str, actor: Actor, config: NodeConfig) -> Node:
        row = {
            "name": name,
            "kind": config.node_type,
            **stored(config),
            "creator": actor.bare,
            "position": 0,
            "created_at": clock(),
        }
        made = self._insert_row(row)
        if made is None:  # somebody else was faster
            raise PubSubError("conflict", text=f"there is a node {name}")
        owner = {"node_id": made.id, "jid": actor.bare, "affiliation": Affiliation.OWNER}
        self.connection.execute(insert(affiliation_table).values(owner))
        self.connection.execute(delete(redirect_table).where(redirect_table.c.name == name))
        return replace(Node.of(made), position=0)

    def _insert_row(self, row: Mapping[str, Any]) -> Row[Any] | None:
        """The new row; None if the name is taken."""
        columns = node_table.c
        if self.dialect != "mariadb":
            new = insert_new(self.dialect, node_table).values(row)
            return self.connection.execute(new.returning(*columns)).first()
        # All who come too late would share a lock on the name there, and none could lock the node
        # then. So it is an update that changes nothing; what was inserted, a number tells that no
        # other row has.
        mine = -1 - secrets.randbits(62)
        upsert = mysql.insert(node_table).values({**row, "position": mine})
        upsert = upsert.on_duplicate_key_update(position=columns.position)
        made = self.connection.execute(upsert.returning(*columns)).one()
        if made.position != mine:
            return None
        counted = update(node_table).where(columns.id == made.id).values(position=0)
        self.connection.execute(counted)
        return made

    def _lock_relatives(self, node: str, actor: Actor, fields: Fields) -> None:
        """Lock the node and those that it is put into, taken out of, gains and loses; and those
        that stay, which by then may not be there, unless they are many."""
        found = self.node(node, actor)
        self.require(found, actor, Action.CONFIGURE)
        before = self._whole(found)
        after = changed_config(self.settings, before, fields)
        outer = {*before.collection, *after.collection}
        inner = {*before.children} ^ {*after.children}
        if len(before.children) <= _FEW:
            inner |= {*before.children}
        kind = COLLECTION if inner else found.kind
        self._lock_family({node, *outer, *inner}, {node, *outer}, kind)

    def _whole(self, node: Node) -> NodeConfig:
        """The configuration with what the rows say of collections."""
        config = node.config
        if config.collection:
            config = replace(config, collection=self._parents(node))
        if node.kind == COLLECTION:
            config = replace(config, children=self._children(node))
        return config

    def _adopted(self, actor: Actor, names: Any) -> list[Node]:
        """The nodes of these names, locked, if the actor may put them into collections."""
        found = []
        for name in sorted(names):
            child = self.node(name, actor, lock=True)
            self._require_owner(child, actor)
            found.append(child)
        return found

    def _adopt(self, parent: Node, children: list[Node]) -> None:
        for child in children:
            self._put(child, [parent])
            self._note(child, self._parents(child))

    def _apply(self, node: Node, before: NodeConfig) -> None:
        """Have the items and subscriptions that are there obey the configuration."""
        config = node.config
        if before.persist_items and not config.persist_items:
            if kept.remove_all(self.connection, node) and config.deliver_notifications:
                tell_subscribers(self, node, Word.PURGE, {})
            return
        if config.item_expire != before.item_expire:
            end = None if config.item_expire is None else clock(config.item_expire)
            self.connection.execute(
                update(item_table).where(item_table.c.node_id == node.id).values(expires_at=end)
            )
        if config.tempsub != before.tempsub:
            self._make_temporary(node)
        if config.max_items != before.max_items:
            removed = kept.trim(self, node)
            if removed and config.notify_retract and config.deliver_notifications:
                tell_subscribers(self, node, Word.RETRACT, {"ids": removed})

    def _make_temporary(self, node: Node) -> None:
        """All subscriptions, or those no more that did not ask for it themselves."""
        its = update(subscription_table).where(subscription_table.c.node_id == node.id)
        if not node.config.tempsub:
            # No other option can have that value.
            its = its.where(~subscription_table.c.options.contains('"presence"'))
        self.connection.execute(its.values(temporary=node.config.tempsub))


def _require_few(config: NodeConfig) -> None:
    if config.children_max is not None and len(config.children) > config.children_max:
        raise PubSubError("not-allowed", "max-nodes-exceeded")
