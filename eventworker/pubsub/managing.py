"""What owners do with the subscriptions to their nodes (XEP-0060, sections 8.6 to 8.8)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, select

from eventworker.pubsub.audience import in_force
from eventworker.pubsub.desk import Node
from eventworker.pubsub.errors import PubSubError
from eventworker.pubsub.facts import Actor, Subscription
from eventworker.pubsub.jid import jid as address_of
from eventworker.pubsub.notices import Word, tell
from eventworker.pubsub.rules import Action, Affiliation, State
from eventworker.pubsub.subscriptions import Subscriptions
from eventworker.pubsub.tables import affiliation_table, node_table, subscription_table

_subscription = subscription_table.c
#: Requests of which an owner is told at a time.
_RESENT = 100


class SubscriptionManaging(Subscriptions):
    """Others' subscriptions, and requests for them."""

    def node_subscriptions(self, node: str, actor: Actor) -> list[Subscription]:
        """Those that are subscribed or have still to be configured.

        :raises PubSubError: as of section 8.8.1.
        """
        found = self.node(node, actor)
        self.require(found, actor, Action.MANAGE)
        rows = self.connection.execute(
            select(subscription_table)
            .where(
                _subscription.node_id == found.id,
                _subscription.state.in_([State.SUBSCRIBED, State.UNCONFIGURED]),
                in_force(),
            )
            .order_by(_subscription.jid, _subscription.id)
        )
        return [self._shown(node, row) for row in rows]

    def change_node_subscriptions(
        self, node: str, actor: Actor, changes: Sequence[Subscription]
    ) -> list[Subscription]:
        """Set the states of some subscriptions; others stay as they are (section 8.8.2).

        ``none`` ends one, ``subscribed`` approves a request or makes a subscription.

        :returns: those that could not be changed, as they still are. The rest is changed.
        :raises PubSubError: ``bad-request`` if one is named twice; ``forbidden``.
        """
        found = self.node(node, actor, lock=True)
        self.require(found, actor, Action.MANAGE)
        named = [(change.jid, change.subid) for change in changes]
        if len(set(named)) < len(named):
            raise PubSubError("bad-request", text="a subscription is named twice")
        refused = []
        for change in changes:
            still = self._change(found, actor, change)
            if still is not None:
                refused.append(still)
        return refused

    def pending_nodes(self, actor: Actor) -> list[str]:
        """The actor's nodes that somebody asks to subscribe to (section 8.7)."""
        affiliation, node = affiliation_table.c, node_table.c
        names = (
            select(node.name)
            .join_from(node_table, subscription_table, _subscription.node_id == node.id)
            .where(_subscription.state == State.PENDING, node.name.is_not(None))
        )
        if not actor.is_admin:
            names = names.join(affiliation_table, affiliation.node_id == node.id).where(
                affiliation.jid == actor.bare, affiliation.affiliation == Affiliation.OWNER
            )
        return [name for name in self.connection.scalars(names.distinct().order_by(node.name))]

    def resend_pending(self, node: str, actor: Actor) -> None:
        """Ask the actor again about the requests to subscribe to the node, the oldest of them:
        anybody can make any number of requests, and each is a message.

        :raises PubSubError: ``item-not-found``, ``forbidden``.
        """
        found = self.node(node, actor)
        self.require(found, actor, Action.MANAGE)
        for row in self.connection.execute(
            select(subscription_table)
            .where(_subscription.node_id == found.id, _subscription.state == State.PENDING)
            .order_by(_subscription.id)
            .limit(_RESENT)
        ).all():
            shown = self._shown(node, row)
            content = {"jid": shown.jid, "subid": shown.subid}
            tell(self, node, Word.AUTHORIZATION, content, actor.jid)

    def decide(self, node: str, actor: Actor, jid: str, subid: str | None, allow: bool) -> bool:
        """Answer a request to subscribe (section 8.6).

        :returns: whether there was one; another owner may have answered it already.
        :raises PubSubError: ``item-not-found``, ``forbidden``.
        """
        found = self.node(node, actor, lock=True)
        self.require(found, actor, Action.MANAGE)
        asked = [
            row
            for row in self._held(found, address_of(jid))
            if row.state == State.PENDING and subid in (None, row.subid)
        ]
        for row in asked:
            if allow:
                self._approve(found, row, actor)
            else:
                self._end(found, [row], actor)
        return bool(asked)

    def _change(self, node: Node, actor: Actor, change: Subscription) -> Subscription | None:
        """Make one change; otherwise what there still is."""
        try:
            subscriber = address_of(change.jid)
        except PubSubError:
            return Subscription(node.name, change.jid, State.NONE, change.subid)
        held = self._held(node, subscriber)
        subid = change.subid if self.settings.multi_subscribe else None
        chosen = [row for row in held if subid in (None, row.subid)]
        if subid and not chosen:
            return Subscription(node.name, change.jid, State.NONE, subid)
        if len(chosen) > 1 and self.settings.multi_subscribe:
            return self._shown(node.name, chosen[0])
        if change.state is State.NONE:
            self._end(node, chosen, actor)
            return None
        if not chosen:
            return self._make(node, actor, subscriber, change.state)
        return self._move(node, actor, chosen[0], change.state)

    def _make(self, node: Node, actor: Actor, subscriber: str, state: State) -> Subscription | None:
        try:
            if state is not State.SUBSCRIBED:
                raise PubSubError("not-acceptable")
            self._refuse_barred(node, subscriber)
            row = self._enroll(node, subscriber, state, None, actor)
        except PubSubError:
            return Subscription(node.name, subscriber, State.NONE)
        self._announce(node, row, State.NONE, state, actor)
        return None

    def _move(self, node: Node, actor: Actor, row: Row[Any], state: State) -> Subscription | None:
        if state is State.PENDING and row.state != State.PENDING:
            return self._shown(node.name, row)
        if state != row.state:
            self._begin(node, row, state, actor)
        return None
