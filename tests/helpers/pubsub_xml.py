"""Requests of XEP-0060 written by hand, and what is in their answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple
from xml.etree.ElementTree import Element
from xml.sax.saxutils import quoteattr

PUBSUB = "http://jabber.org/protocol/pubsub"
OWNER, EVENT, ERRORS = f"{PUBSUB}#owner", f"{PUBSUB}#event", f"{PUBSUB}#errors"
DATA = "jabber:x:data"
RSM = "http://jabber.org/protocol/rsm"
STANZAS = "urn:ietf:params:xml:ns:xmpp-stanzas"
NODE_CONFIG, OPTIONS = f"{PUBSUB}#node_config", f"{PUBSUB}#subscribe_options"


class Refusal(NamedTuple):
    """An error, for comparison."""

    condition: str
    detail: str | None = None
    kind: str | None = None
    feature: str | None = None


def generic(inside: str) -> str:
    return f"<pubsub xmlns='{PUBSUB}'>{inside}</pubsub>"


def owner(inside: str) -> str:
    return f"<pubsub xmlns='{OWNER}'>{inside}</pubsub>"


def tag(local: str, node: str | None = None, inside: str = "", **attributes: str | None) -> str:
    """An element as text; attributes that are None are left out."""
    named = {"node": node, **attributes}
    said = "".join(
        f" {name}={quoteattr(value)}" for name, value in named.items() if value is not None
    )
    return f"<{local}{said}>{inside}</{local}>"


def item(key: str | None = None, payload: str = "<a xmlns='urn:a'/>") -> str:
    return tag("item", None, payload, id=key)


def form(form_type: str, fields: Mapping[str, object], kind: str = "submit") -> str:
    """A form that was filled in; of a list each entry is a value."""
    inside = f"<field var='FORM_TYPE'><value>{form_type}</value></field>"
    for name, value in fields.items():
        values = value if isinstance(value, list) else [value]
        texts = "".join(f"<value>{each}</value>" for each in values)
        inside += f"<field var='{name}'>{texts}</field>"
    return f"<x xmlns='{DATA}' type='{kind}'>{inside}</x>"


def config(**fields: object) -> str:
    """A filled-in configuration of a node."""
    return form(NODE_CONFIG, {f"pubsub#{name}": value for name, value in fields.items()})


def options(**fields: object) -> str:
    """Filled-in options of a subscription."""
    return form(OPTIONS, {f"pubsub#{name}": value for name, value in fields.items()})


def create(node: str, **fields: object) -> str:
    """A request for a node with this configuration."""
    configure = tag("configure", None, config(**fields)) if fields else ""
    return generic(tag("create", node) + configure)


def publish(node: str, *items: str) -> str:
    return generic(tag("publish", node, "".join(items)))


def subscribe(node: str, jid: str, inside: str = "") -> str:
    return generic(tag("subscribe", node, jid=jid) + inside)


def done(answer: Element) -> Element:
    """The answer, which is none of an error."""
    assert answer.get("type") == "result", refusal(answer)
    return answer


def refusal(answer: Element) -> Refusal:
    """What an answer refuses."""
    error = answer.find("{jabber:client}error")
    assert error is not None, answer.get("type")
    condition = next(each for each in error if each.tag.startswith(f"{{{STANZAS}}}"))
    detail = next((each for each in error if each.tag.startswith(f"{{{ERRORS}}}")), None)
    return Refusal(
        _local(condition),
        None if detail is None else _local(detail),
        error.get("type"),
        None if detail is None else detail.get("feature"),
    )


def refused(answer: Element) -> tuple[str, str | None]:
    """XMPP's condition, and the XEP's own."""
    return refusal(answer)[:2]


def values(answer: Element) -> dict[str, list[str]]:
    """The values of the form in a stanza, without ``pubsub#``."""
    found = next(answer.iter(f"{{{DATA}}}x"))
    return {
        field.get("var", "").removeprefix("pubsub#"): [
            each.text or "" for each in field.findall(f"{{{DATA}}}value")
        ]
        for field in found.findall(f"{{{DATA}}}field")
    }


def attributes(stanza: Element, local: str, *names: str) -> list[tuple[str | None, ...]]:
    """These attributes of all elements of that name, whatever their namespaces."""
    return [
        tuple(each.get(name) for name in names) for each in stanza.iter() if _local(each) == local
    ]


def ids(stanza: Element) -> list[str | None]:
    """The ids of the items."""
    return [each for (each,) in attributes(stanza, "item", "id")]


def texts(stanza: Element, names: Iterable[str]) -> list[str | None]:
    """The texts of all elements of these names."""
    wanted = set(names)
    return [each.text for each in stanza.iter() if _local(each) in wanted]


def _local(one: Element) -> str:
    return one.tag.rpartition("}")[2]
