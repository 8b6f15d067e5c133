"""Elements as text, for a stream: no prefixes, no declaration, and nothing that XML cannot say.

What comes from the database may hold characters that no XML has; each of them becomes U+FFFD, since
one of them would end the stream for everybody.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from xml.etree.ElementTree import Element

from eventworker_xmpp.names import XML, local_of, name, namespace_of

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_IN_TEXT = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"}
_IN_ATTRIBUTE = {**_IN_TEXT, "'": "&apos;", "\n": "&#10;", "\t": "&#9;"}
_TEXT, _ATTRIBUTE = str.maketrans(_IN_TEXT), str.maketrans(_IN_ATTRIBUTE)


def text(value: str) -> str:
    """``value`` as character data."""
    return _NO_XML.sub("\ufffd", value).translate(_TEXT)


def attribute(value: str) -> str:
    """``value`` as it stands between the apostrophes of an attribute."""
    return _NO_XML.sub("\ufffd", value).translate(_ATTRIBUTE)


def element(
    namespace: str,
    local: str,
    attributes: Mapping[str, str | None] | None = None,
    children: Iterable[Element] = (),
    content: str | None = None,
) -> Element:
    """An element; attributes that are None are left out."""
    made = Element(name(namespace, local))
    for key, value in (attributes or {}).items():
        if value is not None:
            made.set(key, value)
    made.text = content
    made.extend(children)
    return made


class TooLong(Exception):
    """The element has more characters than it may."""


def written(one: Element, outer: str = "", most: int | None = None) -> str:
    """The element as text, to stand inside an element of the namespace ``outer``.

    :param most: characters that it may have. What a stranger has written needs that: a long
        namespace that he declares once is said again for each element that has it.
    :raises TooLong: when it has more.
    """
    parts: list[str] = []
    _write(one, outer, parts, most)
    return "".join(parts)


def _write(one: Element, outer: str, parts: list[str], left: int | None) -> int | None:
    """Returns how many characters are left."""
    start = len(parts)
    local, namespace = local_of(one.tag), namespace_of(one.tag)
    if namespace == XML:  # which cannot be declared
        local, namespace = f"xml:{local}", outer
    parts.append(f"<{local}")
    if namespace != outer:
        parts.append(f" xmlns='{attribute(namespace)}'")
    for number, (key, value) in enumerate(one.items()):
        space = namespace_of(key)
        if space == XML:
            key = f"xml:{local_of(key)}"
        elif space:
            parts.append(f" xmlns:a{number}='{attribute(space)}'")
            key = f"a{number}:{local_of(key)}"
        parts.append(f" {key}='{attribute(value)}'")
        if left is not None:
            left, start = _less(left, parts, start), len(parts)
    if not len(one) and not one.text:
        parts.append("/>")
        return None if left is None else _less(left, parts, start)
    parts.append(f">{text(one.text or '')}")
    for child in one:
        if left is not None:
            left = _less(left, parts, start)
        left = _write(child, namespace, parts, left)
        start = len(parts)
        if child.tail:
            parts.append(text(child.tail))
    parts.append(f"</{local}>")
    return None if left is None else _less(left, parts, start)


def _less(left: int, parts: list[str], start: int) -> int:
    left -= sum(map(len, parts[start:]))
    if left < 0:
        raise TooLong
    return left
