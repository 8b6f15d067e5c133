"""What the plain model of an XEP-0060 service is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

#: Condition, the XEP's own condition, and the feature that is not supported.
Reason = tuple[str, str | None, str | None]

ADMIN = "root@example.org"

NO_NODE: Reason = ("item-not-found", None, None)
GONE: Reason = ("gone", None, None)
FORBIDDEN: Reason = ("forbidden", None, None)
NO_ITEM: Reason = ("item-not-found", None, None)

DEFAULTS: dict[str, Any] = {
    "access_model": "open",
    "publish_model": "publishers",
    "deliver_notifications": True,
    "deliver_payloads": True,
    "notify_config": False,
    "notify_delete": True,
    "notify_retract": True,
    "notify_sub": False,
    "persist_items": True,
    "max_items": None,
    "publish_node_full": "retract-oldest",
    "send_last_published_item": "never",
    "subscribe": True,
}


@dataclass(frozen=True)
class Limits:
    """Those of the service."""

    max_items: int = 4
    max_batch: int = 3
    max_payload_size: int = 100
    max_subscriptions: int = 4
    multi_subscribe: bool = False


@dataclass
class Sub:
    jid: str
    subid: str | None
    state: str
    deliver: bool = True
    asked_for: bool = True


@dataclass
class Kept:
    id: str
    payload: str | None
    publisher: str


@dataclass
class Node:
    config: dict[str, Any]
    affiliations: dict[str, str]
    subs: list[Sub] = field(default_factory=list)
    items: list[Kept] = field(default_factory=list)


@dataclass(frozen=True)
class Told:
    """Somebody is told something."""

    to: str
    word: str
    node: str
    what: Any = None
    subids: frozenset[str] = frozenset()


def bare(jid: str) -> str:
    return jid.split("/")[0]
