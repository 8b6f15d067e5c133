"""What all verbs of the service share: its transaction, its settings, and a look at a node."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Row, bindparam, or_, select
from sqlalchemy.orm import Session

from eventworker.db import clock
from eventworker.pubsub.config import NodeConfig
from eventworker.pubsub.errors import PubSubError, RosterNeeded
from eventworker.pubsub.facts import Actor
from eventworker.pubsub.groups import is_in_group
from eventworker.pubsub.names import can_be_name
from eventworker.pubsub.options import Settings
from eventworker.pubsub.rules import (
    AccessModel,
    Action,
    Affiliation,
    PublishModel,
    Standing,
    State,
    may,
)
from eventworker.pubsub.tables import (
    affiliation_table,
    node_table,
    presence_table,
    redirect_table,
    subscription_table,
)

_node, _affiliation = node_table.c, affiliation_table.c
# Built once, since that takes longer than to run them.
_NAMED = select(node_table).where(_node.name == bindparam("wanted"))
_LOCKED = _NAMED.with_for_update()
_AFFILIATION = select(_affiliation.affiliation).where(
    _affiliation.node_id == bindparam("node"), _affiliation.jid == bindparam("bare")
)


@dataclass(frozen=True, slots=True)
class Node:
    """A node as its row says.

    :ivar roster_of: with the access model ``roster``, whose roster is meant.
    """

    id: int
    name: str
    kind: str
    config: NodeConfig
    creator: str
    position: int
    created_at: datetime
    roster_of: str | None = None

    @classmethod
    def of(cls, row: Row[Any]) -> Node:
        """From a row with all columns."""
        config = _config(row.config)
        return cls(
            row.id,
            row.name,
            row.kind,
            config,
            row.creator,
            row.position,
            row.created_at,
            row.roster_of,
        )


# Most nodes have one of a few configurations, and reading one takes longer than a query.
_config = lru_cache(maxsize=1024)(NodeConfig.from_json)


class Desk:
    """The service at work inside one transaction of its caller's.

    Errors leave nothing half done that the caller may commit: a verb refuses before it writes.

    :param session: a session or connection, in a transaction that the caller ends.
    :ivar depth: hooks in a row that led to what is done here; see :mod:`eventworker.pubsub.hooks`.
    :ivar rosters_read: owners whose rosters were read for what is done here: where access depends
        on another one, a verb raises :class:`RosterNeeded`, before it changes anything. None, where
        nobody can read one: what is known of it counts.
    """

    depth = 0
    rosters_read: Collection[str] | None = None

    def __init__(self, session: Session | Connection, settings: Settings) -> None:
        self.session = session
        self.settings = settings

    @property
    def connection(self) -> Connection:
        """The connection of the transaction."""
        if isinstance(self.session, Connection):
            return self.session
        return self.session.connection()

    @property
    def dialect(self) -> str:
        """``postgresql``, ``mariadb`` or ``sqlite``."""
        return self.connection.dialect.name

    def node(self, name: str, actor: Actor | None = None, *, lock: bool = False) -> Node:
        """The node of that name.

        :param actor: who names it; with ``hide_closed_nodes`` there is none for those who may do
            nothing there. None: somebody who knows of it.
        :param lock: keep others from publishing to it, changing or deleting it, until the end of
            the transaction.
        :raises PubSubError: ``item-not-found``, or ``gone`` with the place where it is now.
        """
        if not can_be_name(name):
            raise PubSubError("item-not-found", text="no node has such a name")
        hides = self.settings.hide_closed_nodes and actor is not None
        if hides and lock:
            self.node(name, actor)  # nobody waits for a node that he may not know of
        row = self.connection.execute(_LOCKED if lock else _NAMED, {"wanted": name}).first()
        if row is not None:
            found = Node.of(row)
            if actor is None or not hides or not self._is_hidden_from(found, actor):
                return found
            raise PubSubError("item-not-found", text=f"there is no node {name}")
        uri = self.connection.scalar(
            select(redirect_table.c.uri).where(redirect_table.c.name == name)
        )
        if uri is not None:
            raise PubSubError("gone", uri=uri, text=f"{name} is at {uri} now")
        raise PubSubError("item-not-found", text=f"there is no node {name}")

    def lock(self, names: Iterable[str]) -> None:
        """Lock the nodes of these names that are there, as :meth:`node` does.

        Whoever locks several does so in the order of their names, as Python has it, so that two
        never wait for each other.
        """
        for name in sorted({*names}):
            if can_be_name(name):
                self.connection.execute(_LOCKED, {"wanted": name})

    def standing(self, node: Node, actor: Actor, action: Action | None = None) -> Standing:
        """What the actor is to the node.

        :param action: what he is about to do; what is not asked for that may be left out.
        """
        if actor.is_admin:
            return Standing(
                Affiliation.OWNER,
                is_admin=True,
                subscribed=True,
                has_presence=True,
                is_in_group=True,
            )
        subscription = subscription_table.c
        found = self.connection.scalar(_AFFILIATION, {"node": node.id, "bare": actor.bare})
        by_subscription = (
            node.config.publish_model == PublishModel.SUBSCRIBERS
            or node.config.access_model == AccessModel.AUTHORIZE
        )
        affiliation = Affiliation(found or Affiliation.NONE)
        return Standing(
            affiliation,
            subscribed=by_subscription
            and self._exists(
                select(subscription.id).where(
                    subscription.node_id == node.id,
                    subscription.bare == actor.bare,
                    subscription.state == State.SUBSCRIBED,
                    or_(subscription.expires_at.is_(None), subscription.expires_at > clock()),
                )
            ),
            has_presence=node.config.access_model == AccessModel.PRESENCE
            and self._exists(
                select(presence_table.c.at).where(
                    presence_table.c.bare == actor.bare, presence_table.c.resource == ""
                )
            ),
            is_in_group=node.config.access_model == AccessModel.ROSTER
            and affiliation is Affiliation.NONE
            and action in (Action.SUBSCRIBE, Action.RETRIEVE)
            and self._is_in_group(node, actor),
        )

    def _is_hidden_from(self, node: Node, actor: Actor) -> bool:
        """Whether the actor is nothing to the node, and may neither subscribe, retrieve nor
        publish. An outcast has been told that he is one."""
        standing = self.standing(node, actor, Action.SUBSCRIBE)
        if standing.is_admin or standing.affiliation is not Affiliation.NONE:
            return False
        models = AccessModel(node.config.access_model), PublishModel(node.config.publish_model)
        for action in (Action.SUBSCRIBE, Action.RETRIEVE, Action.PUBLISH):
            with suppress(PubSubError):
                may(*models, standing, action)
                return False
        subscription = subscription_table.c
        mine = (subscription.node_id == node.id, subscription.bare == actor.bare)
        return not self._exists(select(subscription.id).where(*mine))

    def require(self, node: Node, actor: Actor, action: Action) -> Standing:
        """What the actor is to the node, if he may do that.

        :raises PubSubError: if he may not.
        """
        standing = self.standing(node, actor, action)
        config = node.config
        may(AccessModel(config.access_model), PublishModel(config.publish_model), standing, action)
        return standing

    def _is_in_group(self, node: Node, actor: Actor) -> bool:
        if node.roster_of is None:
            return False
        if self.rosters_read is not None and node.roster_of not in self.rosters_read:
            raise RosterNeeded(node.roster_of)
        return bool(self.connection.scalar(select(is_in_group(node.id, actor.bare))))

    def _exists(self, look: Any) -> bool:
        return self.connection.execute(look.limit(1)).first() is not None
