"""What is to be erased: all that is kept of an author's changes, of a resource, or of one event.

The engine erases it from eventworker's tables; a plugin with tables of its own does the same in
``erase(connection, erasure)``, see :doc:`/reference/plugin-contract`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import UUID

from eventworker.errors import DecodeError
from eventworker.event import Event, decode


@dataclass(frozen=True)
class Erasure:
    """One of these three; ids are text, so ``7`` covers the id 7 and the id "7".

    :ivar author: the ``author_id`` of the events.
    :ivar resource: kind and id of what the events changed, also as a sub-resource.
    :ivar event: the id of the only event.
    """

    author: str | None = None
    resource: tuple[str, str] | None = None
    event: UUID | None = None

    def __post_init__(self) -> None:
        if sum(each is not None for each in (self.author, self.resource, self.event)) != 1:
            raise ValueError("an erasure is about an author, a resource or an event")

    def __str__(self) -> str:
        if self.author is not None:
            return f"author {self.author}"
        return "/".join(self.resource) if self.resource else f"event {self.event}"

    def covers(self, event: Event) -> bool:
        """Whether the event is to be erased."""
        if self.event is not None:
            return event.id == self.event
        if self.author is not None:
            return _is(event.author_id, self.author)
        kind, name = self.resource or ("", "")
        return (event.resource == kind and _is(event.resource_id, name)) or (
            event.sub_resource == kind and _is(event.sub_resource_id, name)
        )

    def covers_body(self, id: UUID, body: bytes) -> bool:
        """The same of an event as it is kept; of bytes that are none, what :meth:`is_named_in`
        says."""
        try:
            return self.covers(decode(body, id=id, max_bytes=len(body)))
        except DecodeError:
            return self.is_named_in(body)

    def is_named_in(self, data: bytes) -> bool:
        """Whether bytes that are no event say so: they are searched as text.

        Found is what JSON, however damaged, says of it in UTF-8, 16 or 32, and more rather than
        less: also inside an image. What is packed or encoded otherwise is not found.
        """
        text = data.replace(b"\x00", b"")
        return all(pattern.search(text) for pattern in self._patterns) or (
            self._subject is not None and self._subject.search(text) is not None
        )

    @cached_property
    def _patterns(self) -> tuple[re.Pattern[bytes], ...]:
        if self.event is not None:
            spellings = b"|".join((str(self.event).encode(), self.event.hex.encode()))
            return (re.compile(spellings, re.IGNORECASE),)
        if self.author is not None:
            return (_says(rb"author_id", self.author),)
        kind, name = self.resource or ("", "")
        return _says(rb"(?:sub_)?resource", kind), _says(rb"(?:sub_)?resource_id", name)

    @cached_property
    def _subject(self) -> re.Pattern[bytes] | None:
        """As CloudEvents say it."""
        if self.resource is None:
            return None
        path = "/".join(self.resource)
        return re.compile(rb'"subject"\s*:\s*"/?' + _spellings(path) + rb'[/"]')


def _is(found: Any, name: str) -> bool:
    return found is not None and str(found) == name


def _says(field: bytes, value: str) -> re.Pattern[bytes]:
    return re.compile(rb'"' + field + rb'"\s*:\s*"?' + _spellings(value) + rb"(?![\w.-])")


def _spellings(text: str) -> bytes:
    """Each character as it is, or in one of the escapes that JSON has for it."""
    return b"".join(_spellings_of(character) for character in text)


def _spellings_of(character: str) -> bytes:
    wide = character.encode("utf-16-be", "surrogatepass")
    units = b"".join(rb"\\u" + wide[at : at + 2].hex().encode() for at in range(0, len(wide), 2))
    ways = [re.escape(character.encode("utf-8", "surrogatepass")), b"(?i:" + units + b")"]
    short = "\\/" if character == "/" else json.dumps(character)[1:-1]
    if short.startswith("\\") and not short.startswith("\\u"):
        ways.append(re.escape(short.encode()))
    return b"(?:" + b"|".join(ways) + b")"
