"""What the verbs about subscriptions share: rows, terms and limits."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update

from eventworker.db import clock
from eventworker.pubsub.announcing import Announcing
from eventworker.pubsub.config import NodeConfig, SubscribeOptions
from eventworker.pubsub.desk import Node
from eventworker.pubsub.errors import PubSubError
from eventworker.pubsub.facts import Actor, Fields
from eventworker.pubsub.forms import filled_in
from eventworker.pubsub.jid import bare, jid
from eventworker.pubsub.rules import BARRED, State
from eventworker.pubsub.tables import (
    affiliation_table,
    node_table,
    subscription_table,
)

_subscription, _affiliation = subscription_table.c, affiliation_table.c
#: The options of a subscription that nobody has configured yet, as they are stored.
UNSET = "{}"


class Subscriptions(Announcing):
    """The rows of subscriptions, written by whoever has locked their node."""

    def _address(self, actor: Actor, address: str, foreign: PubSubError) -> str:
        """The address in its one form, if it is the actor's own; an admin may name any.

        :raises PubSubError: ``foreign``, or ``jid-malformed``.
        """
        subscriber = jid(address)
        if bare(subscriber) != actor.bare and not actor.is_admin:
            raise foreign
        return subscriber

    def _held(self, node: Node, subscriber: str) -> Sequence[Row[Any]]:
        """The subscriptions of this very address, the oldest first."""
        mine = select(subscription_table).where(
            _subscription.node_id == node.id, _subscription.jid == subscriber
        )
        return self.connection.execute(mine.order_by(_subscription.id)).all()

    def _chosen(
        self, node: Node, subscriber: str, subid: str | None, *, kind: str = "cancel"
    ) -> Row[Any]:
        """The one subscription that is meant; SubIDs count only where they are shown.

        :raises PubSubError: ``not-subscribed``, ``subid-required``, ``invalid-subid``.
        """
        held = self._held(node, subscriber)
        if not held:
            raise PubSubError("unexpected-request", "not-subscribed", kind=kind)
        if not self.settings.multi_subscribe:
            return held[0]
        if not subid and len(held) > 1:
            raise PubSubError("bad-request", "subid-required")
        chosen = [row for row in held if not subid or row.subid == subid]
        if not chosen:
            raise PubSubError("not-acceptable", "invalid-subid")
        return chosen[0]

    def _filled(self, options: SubscribeOptions, values: Fields | None) -> SubscribeOptions:
        """The options with what somebody has filled in.

        :raises PubSubError: ``invalid-options``.
        """
        try:
            return filled_in(options, values or {})
        except ValueError as error:
            raise PubSubError("bad-request", "invalid-options", text=str(error)) from None

    def _terms(self, node: Node, options: SubscribeOptions) -> dict[str, Any]:
        """The columns that follow from the options; a lease is cut to the longest (section 12.18).

        :raises PubSubError: ``invalid-options`` for a lease that would be over.
        """
        asked = options.expire if isinstance(options.expire, datetime) else None
        return {
            "options": options.to_json(),
            "deliver": options.deliver,
            "type": options.subscription_type,
            "depth": None if options.subscription_depth == "all" else 1,
            "expires_at": self._end_of_lease(asked),
            "temporary": options.expire == "presence" or node.config.tempsub,
            "bounces": 0,
            "reminded_at": None,
        }

    def _end_of_lease(self, asked: datetime | None) -> datetime | None:
        longest = self.settings.longest_lease
        if asked is None and not longest:
            return None
        now = self.connection.scalar(select(clock()))
        assert now is not None
        if asked is not None and asked <= now:
            raise PubSubError("bad-request", "invalid-options", text="pubsub#expire is over")
        latest = now + timedelta(seconds=longest)
        return min(asked or latest, latest) if longest else asked

    def _enroll(
        self,
        node: Node,
        subscriber: str,
        state: State,
        options: SubscribeOptions | None,
        by: Actor,
    ) -> Row[Any]:
        """A new subscription, with ``options``, or with none yet.

        :raises PubSubError: ``too-many-subscriptions``.
        """
        if not by.is_admin:
            self._heed_limit(subscriber, by)
        terms = self._terms(node, options or SubscribeOptions())
        if options is None:
            terms["options"] = UNSET
        row = {
            "node_id": node.id,
            "jid": subscriber,
            "bare": bare(subscriber),
            "subid": secrets.token_hex(8),
            "asked_for": by.bare == bare(subscriber),
            "state": state,
            "created_at": clock(),
            **terms,
        }
        made = self.connection.execute(insert(subscription_table).values(row))
        key = made.inserted_primary_key
        assert key is not None
        return self._found_again(key[0])

    def _update(self, row: Row[Any], values: dict[str, Any]) -> Row[Any]:
        change = update(subscription_table).where(_subscription.id == row.id).values(values)
        self.connection.execute(change)
        return self._found_again(row.id)

    def _found_again(self, key: int) -> Row[Any]:
        look = select(subscription_table).where(_subscription.id == key)
        row = self.connection.execute(look).first()
        if row is None:  # its lease or the subscriber's presence has just ended
            raise PubSubError("unexpected-request", "not-subscribed")
        return row

    def _with_nodes(self, *where: Any, limit: int | None = None) -> Sequence[Row[Any]]:
        """Subscriptions with their nodes, see :func:`node_of`, the oldest first."""
        node = node_table.c
        rows = (
            select(subscription_table, *(each.label(f"{each.name}_of_node") for each in node))
            .join_from(subscription_table, node_table, node.id == _subscription.node_id)
            .where(node.name.is_not(None), *where)
        )
        rows = rows.order_by(_subscription.id).limit(limit)
        return self.connection.execute(rows).all()

    def _end(self, node: Node, rows: Sequence[Row[Any]], by: Actor | None, *still: Any) -> int:
        """End these subscriptions; returns the number of those that somebody else has not ended.

        :param by: who does so; None for the service itself.
        :param still: what has to be true of them now, as conditions.
        """
        ended = 0
        for row in rows:
            mine = delete(subscription_table).where(_subscription.id == row.id, *still)
            if self.connection.execute(mine).rowcount:
                ended += 1
                self._announce(node, row, State(row.state), State.NONE, by)
        return ended

    def _approve(self, node: Node, row: Row[Any], by: Actor | None) -> Row[Any]:
        """Let a pending subscription begin, if it has not to be configured first."""
        waits = self.settings.without_options == "wait" and row.options == UNSET
        return self._begin(node, row, State.UNCONFIGURED if waits else State.SUBSCRIBED, by)

    def _begin(self, node: Node, row: Row[Any], state: State, by: Actor | None) -> Row[Any]:
        changed = self._update(row, {"state": state})
        self._announce(node, changed, State(row.state), state, by)
        return changed

    def _refuse_barred(self, node: Node, subscriber: str) -> None:
        """An outcast is not subscribed by anybody.

        :raises PubSubError: ``forbidden``.
        """
        barred = select(_affiliation.jid).where(
            _affiliation.node_id == node.id,
            _affiliation.jid == bare(subscriber),
            _affiliation.affiliation.in_(BARRED),
        )
        if self._exists(barred):
            raise PubSubError("forbidden")

    def _heed_limit(self, subscriber: str, by: Actor) -> None:
        """What others have made for somebody is counted by itself: it takes him nothing of what he
        may have.

        :raises PubSubError: ``too-many-subscriptions``.
        """
        most = self.settings.max_subscriptions
        held = (
            select(func.count())
            .join_from(subscription_table, node_table, node_table.c.id == _subscription.node_id)
            .where(
                _subscription.bare == bare(subscriber),
                _subscription.asked_for.is_(by.bare == bare(subscriber)),
                node_table.c.name.is_not(None),
            )
        )
        if most and (self.connection.scalar(held) or 0) >= most:
            raise PubSubError("policy-violation", "too-many-subscriptions")


def node_of(row: Row[Any]) -> Node:
    """The node of a row that has both."""
    config = NodeConfig.from_json(row.config_of_node)
    return Node(
        row.node_id,
        row.name_of_node,
        row.kind_of_node,
        config,
        row.creator_of_node,
        row.position_of_node,
        row.created_at_of_node,
        row.roster_of_of_node,
    )


def options_of(row: Row[Any]) -> SubscribeOptions:
    """The options of a subscription, with the end that it really has."""
    options = SubscribeOptions.from_json(row.options)
    return replace(options, expire=row.expires_at or ("presence" if row.temporary else None))
