"""What the service can do, in the words of disco#info (XEP-0060, section 10)."""

from __future__ import annotations

from eventworker.pubsub.options import Settings
from eventworker.pubsub.rules import AccessModel

NAMESPACE = "http://jabber.org/protocol/pubsub"

_ALWAYS = (
    "collections",
    "config-node",
    "config-node-max",
    "create-and-configure",
    "create-nodes",
    "delete-items",
    "delete-nodes",
    "get-pending",
    "instant-nodes",
    "item-ids",
    "leased-subscription",
    "manage-subscriptions",
    "member-affiliation",
    "meta-data",
    "modify-affiliations",
    "multi-collections",
    "multi-items",
    "outcast-affiliation",
    "persistent-items",
    "presence-notifications",
    "publish",
    "publish-node-full",
    "publish-only-affiliation",
    "publish-options",
    "publisher-affiliation",
    "purge-nodes",
    "retract-items",
    "retrieve-affiliations",
    "retrieve-default",
    "retrieve-default-sub",
    "retrieve-items",
    "retrieve-subscriptions",
    "rsm",
    "subscribe",
    "subscription-notifications",
    "subscription-options",
)


def features_of(settings: Settings, *, has_rosters: bool = False) -> list[str]:
    """The features of a service with these settings, sorted.

    :param has_rosters: whether nodes can have the access model ``roster``.
    """
    names = {*_ALWAYS}
    # Of the access models the one that a new node has by itself (section 16.1).
    if settings.node_defaults.access_model != AccessModel.ROSTER or has_rosters:
        names.add(f"access-{settings.node_defaults.access_model}")
    if settings.auto_create:
        names.add("auto-create")
    if settings.multi_subscribe:
        names.add("multi-subscribe")
    # It says what happens where nobody has configured anything.
    if settings.node_defaults.send_last_published_item == "on_sub_and_presence":
        names.add("last-published")
    return [NAMESPACE, *(f"{NAMESPACE}#{name}" for name in sorted(names))]
