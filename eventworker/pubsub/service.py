"""The service: all its verbs, for one transaction of the caller's."""

from __future__ import annotations

from eventworker.pubsub.affiliations import Affiliations
from eventworker.pubsub.discovery import Discovery
from eventworker.pubsub.expiry import Expiry
from eventworker.pubsub.leases import Leases
from eventworker.pubsub.managing import SubscriptionManaging
from eventworker.pubsub.presence import Presence
from eventworker.pubsub.publishing import Publishing
from eventworker.pubsub.retrieving import Retrieving
from eventworker.pubsub.subscribing import Subscribing


class PubSubService(
    Discovery,
    Publishing,
    Retrieving,
    Subscribing,
    SubscriptionManaging,
    Affiliations,
    Presence,
    Leases,
    Expiry,
):
    """An XEP-0060 service at work inside one transaction.

    ::

        with short_transaction(engine) as connection:
            service = PubSubService(connection, settings)
            service.publish("story/42", actor, [NewItem("id", "<entry xmlns='...'/>")])

    The caller begins and ends the transaction; after a PubSubError it has nothing to undo.
    """
