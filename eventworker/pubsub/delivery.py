"""What is told, and to whom: a notice on its way, and those who are addressed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from eventworker.pubsub.config import NodeConfig, SubscribeOptions
from eventworker.pubsub.notices import Word


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a listener has still to tell.

    :ivar listener: who has to tell it.
    :ivar content: see :class:`~eventworker.pubsub.notices.Word`.
    :ivar audiences: the nodes whose subscribers are told: the node itself and collections above it,
        without those that have been deleted meanwhile; none where there is a recipient.
    :ivar recipient: the one address that is told, or None.
    :ivar notice_id: the same for all listeners.
    :ivar config: of the node; that of a new one if it is not there any more.
    :ivar rosters: owners whose rosters say who is told; whoever can read them does so before.
    """

    id: int
    listener: int
    node: str
    word: Word
    content: Mapping[str, Any]
    audiences: tuple[str, ...]
    recipient: str | None
    made_at: datetime
    notice_id: int
    config: NodeConfig = field(default_factory=NodeConfig)
    rosters: frozenset[str] = field(default=frozenset(), compare=False)


@dataclass(frozen=True, slots=True)
class Addressee:
    """Somebody who is told.

    :ivar subids: of all his subscriptions that this is about.
    :ivar options: of the first one; ``include_body`` if any asks for it.
    :ivar collections: those above the node by which he is told.
    """

    jid: str
    subids: tuple[str, ...] = ()
    options: SubscribeOptions = field(default_factory=SubscribeOptions)
    collections: tuple[str, ...] = ()


@lru_cache(maxsize=256)
def config_of(text: str) -> NodeConfig:
    """A node's configuration as it is stored: a few of them are read again and again."""
    return NodeConfig.from_json(text)
