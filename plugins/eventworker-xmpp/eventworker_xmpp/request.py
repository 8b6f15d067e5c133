"""One request, as the verbs of a namespace see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from eventworker.pubsub.errors import PubSubError
from eventworker.pubsub.facts import Actor
from eventworker.pubsub.jid import jid as address
from eventworker.pubsub.service import PubSubService
from eventworker_xmpp.markup import element
from eventworker_xmpp.names import local_of, namespace_of


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody asks for.

    :ivar payload: the one child of the ``<iq/>``.
    :ivar verb: the child of the payload that says what is to be done, where there is one.
    :ivar room: bytes that the answer may have.
    """

    service: PubSubService
    actor: Actor
    payload: Element
    verb: Element
    room: int

    @property
    def node(self) -> str:
        """The node that is meant.

        :raises PubSubError: when none is named.
        """
        node = self.verb.get("node")
        if not node:
            raise PubSubError("bad-request", "nodeid-required")
        return node

    @property
    def maybe_node(self) -> str | None:
        """The node, if one is named."""
        return self.verb.get("node") or None

    @property
    def subid(self) -> str | None:
        """The subscription's id, if one is named."""
        return self.verb.get("subid") or None

    @property
    def jid(self) -> str:
        """Whose subscription it is about.

        :raises PubSubError: when nobody is named.
        """
        return required_jid(self.verb)

    def beside(self, local: str) -> Element | None:
        """The element of that name beside the verb."""
        return self.payload.find(f"{{{namespace_of(self.payload.tag)}}}{local}")

    def answer(self, verb: Element, *beside: Element) -> list[Element]:
        """The payload of an answer: ``<pubsub/>`` of the namespace of the request."""
        return [element(namespace_of(self.payload.tag), "pubsub", children=[verb, *beside])]


#: Does what is asked for; returns the children of the answer, which is an error if one of them is.
Verb = Callable[[Request], Sequence[Element]]


def required_jid(one: Element) -> str:
    """The attribute ``jid``, in its one form.

    :raises PubSubError: when it is missing or no address.
    """
    jid = one.get("jid")
    if not jid:
        raise PubSubError("bad-request", "jid-required")
    return address(jid)


def verb_of(payload: Element, beside: Sequence[str]) -> Element:
    """The child that says what is to be done.

    :param beside: names of those that stand beside it.
    :raises PubSubError: ``bad-request`` when there is not exactly one.
    """
    own = namespace_of(payload.tag)
    verbs = [
        child
        for child in payload
        if namespace_of(child.tag) == own and local_of(child.tag) not in beside
    ]
    if not verbs:  # <options/> and <configure/> are both
        verbs = [child for child in payload if namespace_of(child.tag) == own][:1]
    if len(verbs) != 1:
        raise PubSubError("bad-request", text="one thing is asked for at a time")
    return verbs[0]
