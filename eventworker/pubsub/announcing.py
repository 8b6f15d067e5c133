"""Who is told of a subscription: of its state, and as its first news of the last item."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Row, select

from eventworker.pubsub.desk import Desk, Node
from eventworker.pubsub.facts import Actor, Subscription
from eventworker.pubsub.forms import MOMENT
from eventworker.pubsub.items import fresh
from eventworker.pubsub.notices import Word, tell
from eventworker.pubsub.replies import told_of_items
from eventworker.pubsub.rules import Affiliation, State
from eventworker.pubsub.tables import affiliation_table, item_table

_affiliation = affiliation_table.c


class Announcing(Desk):
    """Tells of subscriptions."""

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
