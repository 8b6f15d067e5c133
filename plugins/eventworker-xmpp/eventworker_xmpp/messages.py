"""Messages to the service: notifications that came back, and owners' answers (XEP-0060, sections
8.6 and 13.4)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from xml.etree.ElementTree import Element

from eventworker.pubsub.errors import PubSubError
from eventworker.pubsub.facts import Actor
from eventworker.pubsub.service import PubSubService
from eventworker_xmpp import forms
from eventworker_xmpp.errors import error_element
from eventworker_xmpp.names import AUTHORIZATION, DATA, STANZA_ERRORS, name
from eventworker_xmpp.stanzas import ERROR, stanza

#: How the ids of messages begin whose coming back counts.
COUNTED = "n-"
_GONE = name(STANZA_ERRORS, "gone")
_NODE, _SUBSCRIBER = "pubsub#node", "pubsub#subscriber_jid"
_ALLOW, _SUBID = "pubsub#allow", "pubsub#subid"
_BOOLEANS = {"1": True, "true": True, "0": False, "false": False}


class Sent:
    """To the subscribers of which nodes the messages went that were sent last.

    :param most: messages that are remembered.
    """

    def __init__(self, most: int = 1000) -> None:
        self._most = most
        self._nodes: OrderedDict[str, Sequence[str]] = OrderedDict()

    def note(self, message: str, nodes: Sequence[str]) -> None:
        """A message of that id goes to the subscribers of these nodes."""
        self._nodes[message] = nodes
        if len(self._nodes) > self._most:
            self._nodes.popitem(last=False)

    def nodes(self, message: str) -> Sequence[str] | None:
        """Whose they were, or None if that is forgotten."""
        return self._nodes.get(message)


def concerns(message: Element) -> bool:
    """Whether there is anything to do."""
    if message.get("type") == "error":
        return message.get("id", "").startswith(COUNTED)
    form = message.find(name(DATA, "x"))
    return form is not None and form.get("type") == "submit"


def take(service: PubSubService, actor: Actor, message: Element, sent: Sent) -> list[bytes]:
    """What a message changes; returns what is said in answer.

    :raises PubSubError: when an owner's answer is refused.
    """
    if message.get("type") == "error":
        error = message.find(ERROR)
        gone = error is not None and error.find(_GONE) is not None
        service.bounced(actor.jid, sent.nodes(message.get("id", "")), gone)
        return []
    form = forms.form_of(message)
    assert form is not None
    _decide(service, actor, form)
    return []


def refusal(message: Element, error: PubSubError) -> bytes:
    """The error that a message is answered with."""
    return stanza(
        "message",
        message.get("to", ""),
        message.get("from", ""),
        [error_element(error)],
        id=message.get("id"),
        type="error",
    )


def _decide(service: PubSubService, actor: Actor, form: Element) -> None:
    values = {key: "".join(texts) for key, texts in forms.filled(form, AUTHORIZATION).items()}
    allow = _BOOLEANS.get(values.get(_ALLOW, ""))
    node, subscriber = values.get(_NODE), values.get(_SUBSCRIBER)
    if not node or not subscriber or allow is None:
        raise PubSubError("bad-request", text=f"{_NODE}, {_SUBSCRIBER} and {_ALLOW} are needed")
    service.decide(node, actor, subscriber, values.get(_SUBID) or None, allow)
