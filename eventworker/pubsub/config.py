"""What can be configured: a node (``#node_config``) and a subscription (``#subscribe_options``)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from eventworker.pubsub.forms import (
    BOOLEAN,
    CHOICE,
    CHOICES,
    JIDS,
    LANGUAGE,
    MOMENT,
    NUMBER,
    PREFIX,
    TEXT,
    TEXTS,
    field,
    filled_in,
    texts_of,
)
from eventworker.pubsub.rules import AccessModel, PublishModel

NODE_CONFIG = "http://jabber.org/protocol/pubsub#node_config"
SUBSCRIBE_OPTIONS = "http://jabber.org/protocol/pubsub#subscribe_options"

LEAF, COLLECTION = "leaf", "collection"


@dataclass(frozen=True)
class NodeConfig:
    """Configuration of a node (XEP-0060, section 16.4.4; XEP-0248 for collections)."""

    title: str = field(TEXT, "A friendly name for the node", "")
    description: str = field(TEXT, "A description of the node", "")
    node_type: str = field(CHOICE, "Leaf or collection", LEAF, (LEAF, COLLECTION))
    access_model: str = field(
        CHOICE, "Who may subscribe and retrieve items", "open", tuple(AccessModel)
    )
    publish_model: str = field(CHOICE, "Who may publish", "publishers", tuple(PublishModel))
    roster_groups_allowed: tuple[str, ...] = field(
        CHOICES, "Roster groups that may subscribe and retrieve items", ()
    )
    deliver_notifications: bool = field(BOOLEAN, "Deliver event notifications", True)
    deliver_payloads: bool = field(BOOLEAN, "Deliver payloads with notifications", True)
    notify_config: bool = field(BOOLEAN, "Notify when the configuration changes", False)
    notify_delete: bool = field(BOOLEAN, "Notify when the node is deleted", True)
    notify_retract: bool = field(BOOLEAN, "Notify when items are removed", True)
    notify_sub: bool = field(BOOLEAN, "Notify owners of new and former subscribers", False)
    notification_type: str = field(
        CHOICE, "Type of the messages", "headline", ("normal", "headline")
    )
    presence_based_delivery: bool = field(BOOLEAN, "Deliver to available users only", False)
    persist_items: bool = field(BOOLEAN, "Keep items", True)
    max_items: int | None = field(NUMBER, "Items that are kept at the most", None)
    publish_node_full: str = field(
        CHOICE,
        "What happens when an item is published to a full node",
        "retract-oldest",
        ("retract-oldest", "discard-oldest", "reject"),
    )
    item_expire: int | None = field(NUMBER, "Seconds after which items are removed", None)
    max_payload_size: int | None = field(NUMBER, "Bytes of a payload at the most", None)
    purge_offline: bool = field(BOOLEAN, "Remove a publisher's items when he goes offline", False)
    send_last_published_item: str = field(
        CHOICE,
        "When the last item is sent",
        "never",
        ("never", "on_sub", "on_sub_and_presence"),
    )
    subscribe: bool = field(BOOLEAN, "Allow subscriptions", True)
    tempsub: bool = field(BOOLEAN, "All subscriptions end with the subscriber's presence", False)
    itemreply: str = field(
        CHOICE, "Who receives replies to items", "publisher", ("owner", "publisher", "none")
    )
    type: str = field(TEXT, "Type of the data: the namespace of the payload", "")
    language: str = field(LANGUAGE, "Default language of the node", "")
    contact: tuple[str, ...] = field(JIDS, "Whom to ask", ())
    body_xslt: str = field(TEXT, "URL of an XSLT that makes a message body of a payload", "")
    dataform_xslt: str = field(TEXT, "URL of an XSLT that makes a form of a payload", "")
    collection: tuple[str, ...] = field(TEXTS, "Collections that the node is in", ())
    children: tuple[str, ...] = field(TEXTS, "Nodes that are in the collection", ())
    children_max: int | None = field(NUMBER, "Nodes in the collection at the most", None)
    children_association_policy: str = field(
        CHOICE, "Who may put nodes into the collection", "owners", ("all", "owners", "whitelist")
    )
    children_association_whitelist: tuple[str, ...] = field(
        JIDS, "Those who may, with the policy whitelist", ()
    )

    def to_json(self) -> str:
        """As it is stored."""
        return json.dumps(texts_of(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> NodeConfig:
        """As it was stored; fields of an older version that are gone are passed over."""
        return filled_in(cls(), json.loads(text))


def wrong_number(
    config: NodeConfig, max_items: int, max_payload_size: int, before: NodeConfig | None = None
) -> str | None:
    """What is wrong with a number of the configuration; None if nothing is.

    :param max_items: and ``max_payload_size``, as much as the service allows.
    :param before: numbers that are as they were here are left alone.
    """
    limits = {"max_items": max_items, "max_payload_size": max_payload_size, "item_expire": None}
    for name, most in limits.items():
        value = getattr(config, name)
        if value is None or (before is not None and value == getattr(before, name)):
            continue
        if value < 1 or (most is not None and value > most):
            up_to = "" if most is None else f" to {most}"
            return f"{PREFIX}{name} is a number from 1{up_to}"
    return None


@dataclass(frozen=True)
class SubscribeOptions:
    """Options of a subscription (XEP-0060, section 16.4.2)."""

    deliver: bool = field(BOOLEAN, "Deliver notifications", True)
    expire: datetime | str | None = field(MOMENT, "When the subscription ends", None)
    include_body: bool = field(BOOLEAN, "Messages have a body that people can read", False)
    subscription_type: str = field(
        CHOICE, "Hear of items, or of nodes of a collection", "items", ("items", "nodes")
    )
    subscription_depth: str = field(CHOICE, "How deep below a collection", "all", ("1", "all"))

    def to_json(self) -> str:
        """As it is stored."""
        return json.dumps(texts_of(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> SubscribeOptions:
        """As it was stored."""
        return filled_in(cls(), json.loads(text))
