"""An ``<iq/>`` to the service, and its answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.etree.ElementTree import Element

from eventworker import __version__
from eventworker.pubsub.errors import PubSubError
from eventworker.pubsub.facts import Actor
from eventworker.pubsub.service import PubSubService
from eventworker_xmpp import adhoc, disco, generic, owner
from eventworker_xmpp.markup import element
from eventworker_xmpp.names import (
    COMMANDS,
    DISCO_INFO,
    DISCO_ITEMS,
    OWNER,
    PING,
    PUBSUB,
    VERSION,
    local_of,
    name,
    namespace_of,
)
from eventworker_xmpp.request import Request, Verb, verb_of

#: Requests that are one element.
_SINGLE: Mapping[tuple[str, str], Verb] = {
    ("get", name(DISCO_INFO, "query")): disco.info,
    ("get", name(DISCO_ITEMS, "query")): disco.items,
    ("set", name(COMMANDS, "command")): adhoc.command,
    ("get", name(PING, "ping")): lambda request: [],
    ("get", name(VERSION, "query")): lambda request: [_version()],
}
#: Namespaces of ``<pubsub/>``, with what stands beside a verb and the verbs.
_VERBS: Mapping[str, tuple[Sequence[str], Mapping[tuple[str, str], Verb]]] = {
    PUBSUB: (generic.BESIDE, generic.VERBS),
    OWNER: (owner.BESIDE, owner.VERBS),
}


def payload_of(iq: Element) -> Element:
    """What the ``<iq/>`` asks for.

    :raises PubSubError: ``bad-request`` when it is not one of the two kinds, or not one element.
    """
    children = list(iq)
    if iq.get("type") not in ("get", "set") or len(children) != 1 or not iq.get("id"):
        raise PubSubError("bad-request", text="an <iq/> of the type get or set has one child")
    return children[0]


def perform(service: PubSubService, actor: Actor, iq: Element, room: int) -> Sequence[Element]:
    """Do what is asked for.

    :returns: the children of the answer, which is an error if one of them is.
    :param room: bytes that the answer may have.
    :raises PubSubError: when it is refused.
    """
    payload = payload_of(iq)
    kind = iq.get("type", "")
    single = _SINGLE.get((kind, payload.tag))
    if single is not None:
        return single(Request(service, actor, payload, payload, room))
    namespace = namespace_of(payload.tag)
    if namespace not in _VERBS or local_of(payload.tag) != "pubsub":
        raise PubSubError("service-unavailable")
    beside, verbs = _VERBS[namespace]
    verb = verb_of(payload, beside)
    found = verbs.get((kind, local_of(verb.tag)))
    if found is None:
        raise PubSubError(
            "feature-not-implemented", text=f"there is no <{local_of(verb.tag)[:40]}/> to {kind}"
        )
    return found(Request(service, actor, payload, verb, room))


def writes(iq: Element) -> bool:
    """Whether what is asked for may change something."""
    return iq.get("type") == "set"


def _version() -> Element:
    said = [element(VERSION, "name", content="eventworker")]
    said.append(element(VERSION, "version", content=__version__))
    return element(VERSION, "query", children=said)
