"""Subscribing to nodes, and the options of subscriptions (XEP-0060, sections 5.6, 6.1 to 6.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Row, select, update

from eventworker.db import clock
from eventworker.pubsub.audience import in_force
from eventworker.pubsub.config import SubscribeOptions
from eventworker.pubsub.desk import Node
from eventworker.pubsub.errors import PubSubError, unsupported
from eventworker.pubsub.facts import Actor, Fields, Subscription
from eventworker.pubsub.jid import bare
from eventworker.pubsub.notices import Word, tell
from eventworker.pubsub.rules import CAPABILITIES, AccessModel, Action, Standing, State
from eventworker.pubsub.subscriptions import Subscriptions, node_of, options_of
from eventworker.pubsub.tables import node_table, subscription_table

_subscription = subscription_table.c


class Subscribing(Subscriptions):
    """What a subscriber does himself; an admin may do it for him."""

    def subscribe(
        self, node: str, actor: Actor, jid: str, options: Fields | None = None
    ) -> Subscription:
        """Subscribe ``jid``, full or bare, to the node.

        Without the setting ``multi_subscribe``, asking again answers with the subscription that is
        there, whose lease begins anew.

        :param options: the form ``#subscribe_options``, if it was filled in.
        :returns: in the state ``pending`` where an owner has to approve first, ``unconfigured``
            where options are missing.
        :raises PubSubError: as of section 6.1.3.
        """
        found = self.node(node, actor, lock=True)
        if not found.config.subscribe:
            raise unsupported("subscribe")
        subscriber = self._subscriber(actor, jid)
        standing = self.require(found, actor, Action.SUBSCRIBE)
        if actor.is_admin:
            self._refuse_barred(found, subscriber)
        held = self._without_ended(found, subscriber)
        for row in held:
            if row.state == State.PENDING:
                return self._shown(node, self._still(found, row, options, actor, standing))
        if held and not self.settings.multi_subscribe:
            return self._shown(node, self._again(found, held[0], options, actor))
        return self._shown(node, self._first(found, subscriber, options, actor, standing))

    def unsubscribe(self, node: str, actor: Actor, jid: str, subid: str | None = None) -> None:
        """End a subscription, or take the request for it back.

        :param subid: heard only with the setting ``multi_subscribe``.
        :raises PubSubError: as of section 6.2.3.
        """
        found = self.node(node, actor, lock=True)
        subscriber = self._named(actor, jid)
        chosen = self._chosen(found, subscriber, subid)
        every = not self.settings.multi_subscribe  # also those from a time with the setting
        self._end(found, self._held(found, subscriber) if every else [chosen], actor)

    def subscription_options(
        self, node: str, actor: Actor, jid: str, subid: str | None = None
    ) -> SubscribeOptions:
        """The options of a subscription; ``expire`` is its real end.

        :raises PubSubError: as of section 6.3.4.
        """
        found = self.node(node, actor)
        row = self._chosen(found, self._named(actor, jid), subid, kind="modify")
        return options_of(row)

    def set_subscription_options(
        self, node: str, actor: Actor, jid: str, fields: Fields, subid: str | None = None
    ) -> None:
        """Change the options; those that are not among the fields stay as they are.

        A subscription that was ``unconfigured`` begins.

        :raises PubSubError: as of section 6.3.4.
        """
        found = self.node(node, actor, lock=True)
        subscriber = self._named(actor, jid)
        # Otherwise a lease that is over would begin again, whoever may subscribe now.
        self._without_ended(found, subscriber)
        row = self._chosen(found, subscriber, subid, kind="modify")
        self._configure(found, row, fields, actor)

    def default_subscription_options(
        self, actor: Actor, node: str | None = None
    ) -> SubscribeOptions:
        """What a subscription has that nobody configures (section 6.4).

        :raises PubSubError: ``item-not-found``.
        """
        options = SubscribeOptions()
        if node is not None and self.node(node, actor).config.tempsub:
            return replace(options, expire="presence")
        return options

    def payload_type(self, actor: Actor, node: str) -> str:
        """The namespace of the node's payloads; empty where it takes any.

        :raises PubSubError: ``item-not-found``.
        """
        return self.node(node, actor).config.type

    def subscriptions(self, actor: Actor, node: str | None = None) -> list[Subscription]:
        """The actor's own, of all his resources, in any state (section 5.6).

        :param node: only those to this node.
        :raises PubSubError: ``item-not-found``.
        """
        table = subscription_table.join(node_table, node_table.c.id == _subscription.node_id)
        mine = (
            select(subscription_table, node_table.c.name)
            .select_from(table)
            .where(_subscription.bare == actor.bare, in_force(), node_table.c.name.is_not(None))
        )
        if node is not None:
            mine = mine.where(_subscription.node_id == self.node(node, actor).id)
        rows = self.connection.execute(mine.order_by(node_table.c.name, _subscription.id))
        return [self._shown(row.name, row) for row in rows]

    def bounced(self, jid: str, nodes: Sequence[str] | None, gone: bool) -> None:
        """A notification to ``jid`` came back (section 13.4).

        :param nodes: whose subscribers were told; None if that is not known.
        :param gone: nobody has that address any more: its subscriptions end at once. Otherwise
            they end after ``max_bounces``.
        """
        mine = [_subscription.bare == bare(jid), _subscription.jid == jid]
        if nodes is not None:
            mine.append(node_table.c.name.in_(nodes))
        rows = self._with_nodes(*mine)
        if not gone and rows:
            keys = [row.id for row in rows]
            self.connection.execute(
                update(subscription_table)
                .where(_subscription.id.in_(keys))
                .values(bounces=_subscription.bounces + 1)
            )
            rows = [row for row in rows if row.bounces + 1 >= self.settings.max_bounces]
        for row in rows:
            self._end(node_of(row), [row], Actor(jid))  # who would not hear of it

    def _subscriber(self, actor: Actor, address: str) -> str:
        foreign = PubSubError("bad-request", "invalid-jid")
        try:
            return self._address(actor, address, foreign)
        except PubSubError:
            raise foreign from None

    def _named(self, actor: Actor, address: str) -> str:
        if not address:
            raise PubSubError("bad-request", "jid-required")
        return self._address(actor, address, PubSubError("forbidden"))

    def _without_ended(self, node: Node, subscriber: str) -> Sequence[Row[Any]]:
        """Those held, after those whose lease is over have ended."""
        held = self._held(node, subscriber)
        if all(row.expires_at is None for row in held):
            return held
        now = self.connection.scalar(select(clock()))
        ended = [row for row in held if row.expires_at is not None and row.expires_at <= now]
        self._end(node, ended, None)
        return [row for row in held if row not in ended]

    def _still(
        self,
        node: Node,
        row: Row[Any],
        values: Fields | None,
        actor: Actor,
        standing: Standing,
    ) -> Row[Any]:
        """A request that is there, and begins if nobody has to approve it any more.

        :raises PubSubError: ``pending-subscription``.
        """
        if self._has_to_wait(node, standing):
            raise PubSubError("not-authorized", "pending-subscription")
        if values is not None:
            row = self._configure(node, row, values, actor)
        return self._approve(node, row, actor)

    def _first(
        self,
        node: Node,
        subscriber: str,
        values: Fields | None,
        actor: Actor,
        standing: Standing,
    ) -> Row[Any]:
        if values is None and self.settings.without_options == "refuse":
            raise PubSubError("not-acceptable", "configuration-required")
        options = None if values is None else self._filled(SubscribeOptions(), values)
        state = self._first_state(node, standing, options)
        row = self._enroll(node, subscriber, state, options, actor)
        self._announce(node, row, State.NONE, state, actor)
        if state is State.PENDING:
            self._ask_owners(node, row)
        return row

    def _first_state(
        self, node: Node, standing: Standing, options: SubscribeOptions | None
    ) -> State:
        if self._has_to_wait(node, standing):
            return State.PENDING
        if options is None and self.settings.without_options == "wait":
            return State.UNCONFIGURED
        return State.SUBSCRIBED

    def _has_to_wait(self, node: Node, standing: Standing) -> bool:
        """Whether an owner has to approve."""
        if node.config.access_model != AccessModel.AUTHORIZE:
            return False
        welcome = standing.is_admin or standing.subscribed
        return not welcome and Action.SUBSCRIBE not in CAPABILITIES[standing.affiliation]

    def _ask_owners(self, node: Node, row: Row[Any]) -> None:
        shown = self._shown(node.name, row)
        for owner in self._owners(node):
            content = {"jid": shown.jid, "subid": shown.subid}
            tell(self, node.name, Word.AUTHORIZATION, content, owner)

    def _again(self, node: Node, row: Row[Any], values: Fields | None, actor: Actor) -> Row[Any]:
        if values is None and row.state == State.UNCONFIGURED:
            return row
        return self._configure(node, row, values, actor)

    def _configure(
        self, node: Node, row: Row[Any], values: Fields | None, actor: Actor
    ) -> Row[Any]:
        options = self._filled(SubscribeOptions.from_json(row.options), values)
        changed = self._update(row, self._terms(node, options))
        if row.state == State.UNCONFIGURED:
            return self._begin(node, changed, State.SUBSCRIBED, actor)
        return changed
