"""What a stream consists of."""

from __future__ import annotations

from dataclasses import dataclass, field
from xml.etree.ElementTree import Element


@dataclass(frozen=True, slots=True)
class Opened:
    """The other side's stream has begun."""

    element: Element


@dataclass(frozen=True, slots=True)
class Stanza:
    """An element of the stream.

    :ivar spoiled: why its content was not read; None if it was.
    :ivar size: bytes of it.
    """

    element: Element
    spoiled: str | None = None
    size: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Closed:
    """The other side's stream has ended."""


Event = Opened | Stanza | Closed
