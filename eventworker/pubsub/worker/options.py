"""Options of the group ``[plugin:pubsub-publish]``."""

from __future__ import annotations

from oslo_config import cfg

GROUP = "plugin:pubsub-publish"

OPTIONS: list[cfg.Opt] = [
    cfg.BoolOpt("enabled", default=False, help="Whether events are published to nodes."),
    cfg.StrOpt(
        "node",
        default="{resource}/{resource_id}",
        help="Name of the node that an event is published to. In braces: resource, resource_id, "
        "sub_resource, sub_resource_id, method. What an event does not have is -.",
    ),
    cfg.StrOpt(
        "collection",
        default="{resource}",
        help="Name of the collection that a new node is put into, made like node; whoever "
        "subscribes to it hears of all its nodes. Empty for none.",
    ),
    cfg.DictOpt(
        "node_config",
        default={"access_model": "whitelist"},
        help="Configuration of new nodes where it differs from [pubsub] node_defaults, as "
        "FIELD:VALUE. An item says what the event says: make nodes open only if anyone may read "
        "that.",
    ),
    cfg.StrOpt(
        "format",
        default="cloudevents",
        choices=["cloudevents", "atom"],
        help="What an item is: a CloudEvent in JSON (in the container of XEP-0335), or an Atom "
        "entry with the CloudEvent as its content.",
    ),
    cfg.StrOpt(
        "images",
        default="all",
        choices=["all", "changed", "none"],
        help="How much an item has of the resource before and after: all, what has changed, or "
        "nothing. What would make it larger than [pubsub] max_payload_size is left out.",
    ),
]
