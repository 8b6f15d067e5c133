"""What the verbs of the service take and give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

from eventworker.pubsub.jid import bare
from eventworker.pubsub.rules import Affiliation, State

#: Values of a form by the full names of its fields, such as ``pubsub#title``; a field of several
#: values has several. Booleans are ``1`` and ``0``.
Fields = Mapping[str, Sequence[str]]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks.

    :ivar jid: full or bare.
    :ivar is_admin: of the service: may do everything, also on behalf of others.
    """

    jid: str
    is_admin: bool = False

    @property
    def bare(self) -> str:
        """Without the resource."""
        return bare(self.jid)


@dataclass(frozen=True, slots=True)
class NewItem:
    """An item as it is published.

    :ivar id: None: the service makes one.
    :ivar payload: one XML element as text, or None.
    """

    id: str | None = None
    payload: str | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """An item as it is kept.

    :ivar payload: one XML element as text, or None.
    :ivar publisher: bare JID.
    """

    id: str
    payload: str | None
    publisher: str | None = None
    published_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription of ``jid`` (full or bare) to ``node``.

    :ivar subid: None unless the service keeps several subscriptions of one JID apart.
    :ivar expires_at: end of its lease.
    :ivar options_required: it has to be configured before anything is sent.
    """

    node: str
    jid: str
    state: State
    subid: str | None = None
    expires_at: datetime | None = None
    options_required: bool = False


@dataclass(frozen=True, slots=True)
class Affiliated:
    """What ``jid`` (bare) is to ``node``."""

    node: str
    jid: str
    affiliation: Affiliation


@dataclass(frozen=True, slots=True)
class NodeEntry:
    """A node in a list."""

    node: str
    kind: str  # leaf or collection
    title: str = ""


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """What disco#info says of a node.

    :ivar metadata: the form ``#meta-data``.
    """

    node: str
    kind: str
    metadata: Fields = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is wanted (XEP-0059): at most ``limit`` after ``after`` or before
    ``before`` (an empty text: the last ones), or from ``index``."""

    limit: int | None = None
    after: str | None = None
    before: str | None = None
    index: int | None = None


@dataclass(frozen=True, slots=True)
class Part(Generic[T]):
    """A part of a list.

    :ivar first: index of the first entry in the whole list.
    :ivar total: entries of the whole list.
    """

    entries: Sequence[T]
    first: int
    total: int


@dataclass(frozen=True, slots=True)
class Refused(Generic[T]):
    """One entry of a change of several that was not made, as it still is."""

    entry: T
