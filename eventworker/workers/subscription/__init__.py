"""Subscriptions: whoever follows a resource gets a notification when it changes.

The plugin ``subscription``. Documented in ``docs/howto/subscriptions.rst``. An event goes to the
subscribers of the resource that changed and of what it belongs to, each one once, in one INSERT
that reads and writes inside the database::

    rules        what the configuration says of the application
    concern      what an event concerns, by its ids and images
    receivers    the query for those who follow that, or what it belongs to
    permitted    the conditions that let some of them hear of it
    words        what a notification says; with details, and functions of the application
    notices      the INSERT from that query
    schema       the tables: eventworker's own, or an application's; with mapping and comparing
    values       what changes from event to event while the statement stays
"""

from eventworker.workers.subscription.tables import subscribe, unsubscribe
from eventworker.workers.subscription.worker import SubscriptionWorker

__all__ = ["SubscriptionWorker", "subscribe", "unsubscribe"]
