"""Publish-subscribe (XEP-0060): a service in the database, and clients of it.

::

    service      all verbs, inside a transaction of the caller's; to be read in this order:
      rules        who may do what; and facts, what the verbs take and give; with jid, names, errors
      config       the forms of nodes and subscriptions; with forms and configuring
      tables       the rows
      desk         what all verbs share
      nodes        create, configure, delete, purge; with collections (XEP-0248)
      publishing   publish, retract; with payload and items
      retrieving   items; with paging
      discovery    nodes and what they are about; with features
      subscribing  subscribe, unsubscribe, options; with subscriptions, announcing, leases
      managing     owners and the subscriptions of others; affiliations, what those are to a node
      presence     who is there
      rosters      who is in whose roster groups; with groups
      expiry       items that go by themselves
    notices      what is said, written down with what it is about; with replies
    deliveries   what a listener has still to tell; with delivery and listeners
      pages        whom it tells, page by page; with audience
    upkeep       the side service for what becomes due; with sweeping and backlog
    client       the same for those who only use it: PubSubClient; with contents and transactions
      blocking     without an event loop: SyncPubSubClient
      listening    what it hears of; with hearing and signals
    worker       the plugin that publishes each event
    hooks        code of users that is run for each item, in a sandbox

A module is imported when a name of it is asked for: whoever only needs the tables loads no more.
"""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eventworker.pubsub.blocking import SyncPubSubClient
    from eventworker.pubsub.client import PubSubClient
    from eventworker.pubsub.config import NodeConfig, SubscribeOptions
    from eventworker.pubsub.contents import element_of, json_of
    from eventworker.pubsub.errors import PartlyRefused, PubSubError
    from eventworker.pubsub.facts import (
        Actor,
        Affiliated,
        Item,
        NewItem,
        NodeEntry,
        NodeInfo,
        Page,
        Part,
        Subscription,
    )
    from eventworker.pubsub.hearing import Message
    from eventworker.pubsub.options import Settings, settings_of
    from eventworker.pubsub.rules import AccessModel, Affiliation, PublishModel, State
    from eventworker.pubsub.service import PubSubService
    from eventworker.pubsub.signals import Signal

    Service = PubSubClient

_PLACES = {
    "blocking": ["SyncPubSubClient"],
    "client": ["PubSubClient"],
    "config": ["NodeConfig", "SubscribeOptions"],
    "contents": ["element_of", "json_of"],
    "errors": ["PartlyRefused", "PubSubError"],
    "facts": [
        "Actor",
        "Affiliated",
        "Item",
        "NewItem",
        "NodeEntry",
        "NodeInfo",
        "Page",
        "Part",
        "Subscription",
    ],
    "hearing": ["Message"],
    "options": ["Settings", "settings_of"],
    "rules": ["AccessModel", "Affiliation", "PublishModel", "State"],
    "service": ["PubSubService"],
    "signals": ["Signal"],
}
_HOMES = {name: module for module, names in _PLACES.items() for name in names}

__all__ = [
    "AccessModel",
    "Actor",
    "Affiliated",
    "Affiliation",
    "Item",
    "Message",
    "NewItem",
    "NodeConfig",
    "NodeEntry",
    "NodeInfo",
    "Page",
    "Part",
    "PartlyRefused",
    "PubSubClient",
    "PubSubError",
    "PubSubService",
    "PublishModel",
    "Service",
    "Settings",
    "Signal",
    "State",
    "SubscribeOptions",
    "Subscription",
    "SyncPubSubClient",
    "element_of",
    "json_of",
    "settings_of",
]


def __getattr__(name: str) -> Any:
    if name == "Service":
        warnings.warn(
            "Service is now PubSubClient, and this name will go", DeprecationWarning, stacklevel=2
        )
        name = "PubSubClient"
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
