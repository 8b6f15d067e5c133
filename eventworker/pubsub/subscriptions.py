"""What the verbs about subscriptions share: rows, terms, and who is told of a change."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update

from eventworker.db import clock
from eventworker.pubsub.config import NodeConfig, SubscribeOptions
from eventworker.pubsub.desk import Desk, Node
from eventworker.pubsub.errors import PubSubError
from eventworker.pubsub.facts import Actor, Fields, Subscription
from eventworker.pubsub.forms import MOMENT, filled_in
from eventworker.pubsub.items import fresh
from eventworker.pubsub.jid import bare, jid
from eventworker.pubsub.notices import Word, tell
from eventworker.pubsub.replies import told_of_items
from eventworker.pubsub.rules import BARRED, Affiliation, State
from eventworker.pubsub.tables import (
    affiliation_table,
    item_table,
    node_table,
    subscription_table,
)

_subscription, _affiliation = subscription_table.c, affiliation_table.c
#: The options of a subscription that nobody has configured yet, as they are stored.
UNSET = "{}"


class Subscriptions(Desk):
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

    def _shown(self, node: str, row: Row[Any], state: State | None = None) -> Subscription:
        """A row as it is shown; ``state`` instead of its own."""
        state = State(row.state) if state is None else state
        return Subscription(
            node,
            row.jid,
            state,
            row.subid if self.settings.multi_subscribe else None,
            None if state is State.NONE else row.expires_at,
            options_required=state is State.UNCONFIGURED,
        )

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

    def _announce(
        self, node: Node, row: Row[Any], before: State, after: State, by: Actor | None
    ) -> None:
        """Tell of a change of state: the subscriber, if it was not his own doing (section 8.8.4),
        and the owners, if they want to hear; send the last item to who has become a subscriber."""
        if before == after:
            return
        shown = self._shown(node.name, row, after)
        if by is None or by.bare != row.bare:
            tell(self, node.name, Word.SUBSCRIPTION, content_of(shown), row.jid)
        if node.config.notify_sub and State.SUBSCRIBED in (before, after):
            for owner in self._owners(node):
                if owner != row.bare:
                    tell(self, node.name, Word.SUBSCRIPTION, content_of(shown), owner)
        if after is State.SUBSCRIBED and node.config.send_last_published_item != "never":
            self._send_last_item(node, row, row.jid)

    def _send_last_item(self, node: Node, row: Row[Any], recipient: str) -> None:
        """The item that was published last, with the time of that (section 7.1.2, ``delay``)."""
        config, item = node.config, item_table.c
        if not (row.deliver and config.deliver_notifications and config.persist_items):
            return
        last = self.connection.execute(
            select(item_table)
            .where(item.node_id == node.id, fresh())
            .order_by(item.position.desc())
            .limit(1)
        ).first()
        if last is None:
            return
        payload = last.payload if config.deliver_payloads else None
        content = told_of_items(self, node, last.publisher, [(last.item_id, payload)])
        content["stamp"] = written(last.published_at)
        tell(self, node.name, Word.ITEMS, content, recipient)

    def _owners(self, node: Node) -> list[str]:
        """Those who are told of subscribers; the service knows by itself."""
        owners = select(_affiliation.jid).where(
            _affiliation.node_id == node.id,
            _affiliation.affiliation == Affiliation.OWNER,
            _affiliation.jid != self.settings.service,
        )
        return list(self.connection.scalars(owners.order_by(_affiliation.jid)))

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


def content_of(subscription: Subscription) -> dict[str, Any]:
    """What a notice of a subscription says."""
    return {
        "jid": subscription.jid,
        "state": subscription.state,
        "subid": subscription.subid,
        "expires_at": written(subscription.expires_at),
    }


def written(moment: datetime | None) -> str | None:
    """A point in time as XEP-0082 writes it, or None."""
    return next(iter(MOMENT.write(moment)), None)


def options_of(row: Row[Any]) -> SubscribeOptions:
    """The options of a subscription, with the end that it really has."""
    options = SubscribeOptions.from_json(row.options)
    return replace(options, expire=row.expires_at or ("presence" if row.temporary else None))
