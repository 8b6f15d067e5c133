"""Parts of long answers (XEP-0059), and answers that would be too long for a stanza."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar
from xml.etree.ElementTree import Element

from eventworker.pubsub.errors import PubSubError
from eventworker.pubsub.facts import Page, Part
from eventworker_xmpp.markup import TooLong, element, written
from eventworker_xmpp.names import RSM, local_of, name

T = TypeVar("T")

#: Entries of an answer at the most.
MOST = 500
_SET = name(RSM, "set")


def page_of(parent: Element) -> Page | None:
    """The part that is asked for by a ``<set/>``; None if all is.

    :raises PubSubError: ``bad-request``.
    """
    found = parent.find(_SET)
    if found is None:
        return None
    texts = {local_of(child.tag): child.text or "" for child in found}
    return Page(
        limit=_number(texts.get("max")),
        after=texts.get("after") or None,
        before=texts.get("before"),
        index=_number(texts.get("index")),
    )


def bounded(page: Page | None) -> Page:
    """What is asked of the service: never more than :data:`MOST` entries."""
    if page is None:
        return Page(limit=MOST)
    limit = MOST if page.limit is None else min(page.limit, MOST)
    return Page(limit, page.after, page.before, page.index)


def part_of(entries: Sequence[T], page: Page | None, key: Callable[[T], str]) -> Part[T]:
    """The part of a list that is in hand.

    :param key: what an entry is called in ``after`` and ``before``.
    :raises PubSubError: ``item-not-found`` when there is no such entry.
    """
    page = bounded(page)
    limit = page.limit or 0
    start, end = page.index or 0, len(entries)
    if page.after is not None:
        start = _place(entries, page.after, key) + 1
    if page.before is not None:
        end = _place(entries, page.before, key) if page.before else len(entries)
        start = max(0, end - limit)
    return Part(entries[start : min(end, start + limit)], start, len(entries))


def fitting(elements: Iterable[Element], max_bytes: int) -> list[Element]:
    """Those of these, from the first, that have room in so many bytes."""
    left = max_bytes
    found: list[Element] = []
    for one in elements:
        try:
            left -= len(written(one, most=left).encode())
        except TooLong:
            break
        if left < 0:
            break
        found.append(one)
    return found


def answer(first: int, total: int, names: Sequence[str]) -> Element:
    """The ``<set/>`` beside a part of a list.

    :param first: index of its first entry in the list.
    :param total: entries of the list.
    :param names: of its entries.
    """
    return element(RSM, "set", children=_said(first, total, names))


def _said(first: int, total: int, names: Sequence[str]) -> Iterator[Element]:
    if names:
        yield element(RSM, "first", {"index": str(first)}, content=names[0])
        yield element(RSM, "last", content=names[-1])
    yield element(RSM, "count", content=str(total))


def _place(entries: Sequence[T], wanted: str, key: Callable[[T], str]) -> int:
    for place, entry in enumerate(entries):
        if key(entry) == wanted:
            return place
    raise PubSubError("item-not-found", text=f"there is no {wanted[:100]!r} in the list")


def _number(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise PubSubError("bad-request", text="a <set/> with a number that is none")
    return int(text)
