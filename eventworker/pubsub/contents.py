"""What people publish, and how it is told from XML: text, elements, and JSON in its container."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from eventworker.pubsub.facts import Item

#: XEP-0335: an element whose text is JSON.
JSON_NAMESPACE = "urn:xmpp:json:0"
_CONTAINER = f"{{{JSON_NAMESPACE}}}json"

#: XML as text, an element, or an object or array of JSON.
Payload = str | ElementTree.Element | Mapping[str, Any] | Sequence[Any]

# Not allowed in XML, escaped or not; JSON has escapes of its own for them.
_NOT_IN_XML = {0x7F: "\\u007f", 0xFFFE: "\\ufffe", 0xFFFF: "\\uffff"}


def xml_of(payload: Payload | None) -> str | None:
    """The payload as one XML element; text is taken for XML as it is.

    :raises TypeError: for what is neither XML nor can be JSON.
    """
    if payload is None or isinstance(payload, str):
        return payload
    if isinstance(payload, ElementTree.Element):
        return ElementTree.tostring(payload, encoding="unicode")
    if isinstance(payload, Mapping | Sequence) and not isinstance(payload, bytes | bytearray):
        return json_container(json.dumps(payload, ensure_ascii=False, allow_nan=False))
    raise TypeError(f"a payload is XML, a dict or a list, and no {type(payload).__name__}")


def json_container(text: str) -> str:
    """JSON as an element (XEP-0335, section 3)."""
    return f"<json xmlns='{JSON_NAMESPACE}'>{json_as_text(text)}</json>"


def json_as_text(text: str) -> str:
    """JSON as the text of an element: the same values, in characters that XML has."""
    return escape(text.translate(_NOT_IN_XML))


def element_of(item: Item) -> ElementTree.Element | None:
    """The item's payload as an element; None if it has none."""
    if item.payload is None:
        return None
    return ElementTree.fromstring(item.payload)  # noqa: S314 - the service has refused entities


def json_of(item: Item) -> Any:
    """The value in the item's JSON container.

    :raises ValueError: if its payload is something else.
    """
    element = element_of(item)
    if element is None or element.tag != _CONTAINER:
        raise ValueError(f"item {item.id} has no JSON")
    return json.loads(element.text or "")
