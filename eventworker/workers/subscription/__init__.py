"""Subscriptions: whoever follows a resource gets a notification when it changes.

The plugin ``subscription``. Documented in ``docs/subscription.rst``. An event goes to the
subscribers of the resource that changed and of what it belongs to, each one once, in one INSERT
that reads and writes inside the database::

    rules        what the changed resource belongs to
    receivers    the query for those who are told
    notices      the INSERT from that query, and what it says
    mapping      the tables: eventworker's own, or an application's
"""

from eventworker.workers.subscription.tables import subscribe, unsubscribe
from eventworker.workers.subscription.worker import SubscriptionWorker

__all__ = ["SubscriptionWorker", "subscribe", "unsubscribe"]
