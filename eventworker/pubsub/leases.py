"""Subscriptions that last for a time (XEP-0060, section 12.18)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select, update

from eventworker.db import clock
from eventworker.pubsub.announcing import content_of
from eventworker.pubsub.notices import Word, tell
from eventworker.pubsub.rules import State
from eventworker.pubsub.subscriptions import Subscriptions, node_of
from eventworker.pubsub.tables import subscription_table

_subscription = subscription_table.c
#: Subscriptions in one transaction.
_MOST = 500


class Leases(Subscriptions):
    """What becomes due by time. Whoever keeps the service up calls these, again and again until
    they return 0."""

    def end_leases(self) -> int:
        """End subscriptions whose lease is over, some of them; returns their number."""
        over = self._ends_before(clock())
        rows = self._with_nodes(over, limit=_MOST)
        return sum(self._end(node_of(row), [row], None, over) for row in rows)

    def remind_leases(self) -> int:
        """Remind those whose lease will be over soon, some of them, once for each lease; returns
        their number."""
        if not self.settings.lease_reminder:
            return 0
        soon = self._ends_before(clock(self.settings.lease_reminder))
        due = (soon, _subscription.reminded_at.is_(None), _subscription.state == State.SUBSCRIBED)
        reminded = 0
        for row in self._with_nodes(*due, limit=_MOST):
            once = update(subscription_table).where(_subscription.id == row.id, *due)
            if self.connection.execute(once.values(reminded_at=clock())).rowcount:
                shown = self._shown(row.name_of_node, row)
                tell(self, row.name_of_node, Word.SUBSCRIPTION, content_of(shown), row.jid)
                reminded += 1
        return reminded

    def _ends_before(self, moment: Any) -> Any:
        if self.dialect == "postgresql":
            # Its clock is asked for each row, unless in a subquery; only then the index is of use.
            moment = select(moment).scalar_subquery()
        return _subscription.expires_at.is_not(None) & (_subscription.expires_at <= moment)
