"""What a person can read of a payload (XEP-0060, section 7.1.2.4: ``pubsub#include_body``)."""

from __future__ import annotations

import json
from xml.etree.ElementTree import Element

from eventworker_xmpp.names import ATOM, JSON, name
from eventworker_xmpp.parsing import Unreadable, parsed

#: Characters at the most.
_LONGEST = 1000


def is_readable(namespace: str) -> bool:
    """Whether payloads of that namespace can have a body; empty: payloads of any."""
    return namespace in ("", ATOM, JSON)


def body_of(payload: str | None) -> str:
    """Text for a ``<body/>``; empty where the payload's kind is not known."""
    if payload is None:
        return ""
    try:
        one = parsed(payload)
    except Unreadable:
        return ""
    said = ""
    if one.tag == name(ATOM, "entry"):
        said = _of_entry(one)
    elif one.tag == name(JSON, "json"):
        said = _of_event("".join(one.itertext()))
    return said[:_LONGEST]


def _of_entry(entry: Element) -> str:
    texts = [
        "".join(child.itertext()).strip()
        for local in ("title", "summary")
        for child in entry.findall(name(ATOM, local))
    ]
    return "\n".join(filter(None, texts))


def _of_event(text: str) -> str:
    """A CloudEvent's type and subject."""
    try:
        event = json.loads(text)
    except (ValueError, RecursionError):  # the latter for lists in lists without end
        return ""
    if not isinstance(event, dict):
        return ""
    words = [event.get("type"), event.get("subject")]
    return " ".join(word for word in words if isinstance(word, str))
