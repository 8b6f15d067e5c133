"""What the service refuses, as the error of a stanza (XEP-0060; RFC 6120, section 8.3)."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from eventworker.pubsub.errors import PubSubError
from eventworker_xmpp.markup import element
from eventworker_xmpp.names import COMPONENT, ERRORS, STANZA_ERRORS

#: Characters of an explanation at the most; it may quote what a stranger has sent.
_LONGEST = 300
#: Conditions whose element holds the place where it is now.
_WITH_URI = ("gone", "redirect")


def error_element(error: PubSubError) -> Element:
    """``<error/>`` with the condition, an explanation if there is one, and the XEP's own condition
    in its namespace."""
    uri = error.uri if error.condition in _WITH_URI else None
    made = element(
        COMPONENT,
        "error",
        {"type": error.kind},
        [element(STANZA_ERRORS, error.condition, content=uri)],
    )
    if error.text:
        made.append(element(STANZA_ERRORS, "text", content=error.text[:_LONGEST]))
    if error.detail:
        made.append(element(ERRORS, error.detail, {"feature": error.feature}))
    return made
