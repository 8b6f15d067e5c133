"""Stanzas as bytes."""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree.ElementTree import Element

from eventworker_xmpp.markup import element, written
from eventworker_xmpp.names import COMPONENT, PING, name

ERROR = name(COMPONENT, "error")


def stanza(
    kind: str,
    sender: str,
    to: str,
    children: Iterable[Element] = (),
    *,
    id: str | None = None,
    type: str | None = None,
) -> bytes:
    """An ``iq``, ``message`` or ``presence`` as it is sent."""
    about = {"from": sender, "to": to, "id": id, "type": type}
    return written(element(COMPONENT, kind, about, children), COMPONENT).encode()


def answer(iq: Element, children: Iterable[Element] = ()) -> bytes:
    """The answer to an ``<iq/>``: an error if one of the children is one."""
    inside = list(children)
    kind = "error" if any(child.tag == ERROR for child in inside) else "result"
    return stanza(
        "iq", iq.get("to", ""), iq.get("from", ""), inside, id=iq.get("id", ""), type=kind
    )


def ping(jid: str, id: str) -> bytes:
    """A question to oneself, which comes back when the server has handled all before it."""
    return stanza("iq", jid, jid, [element(PING, "ping")], id=id, type="get")
