"""Presence (XEP-0060, sections 4.5, 12.1 and 12.4; RFC 6121, section 3).

Whoever subscribes to the service's presence may do so, and shares his own by it: the service asks
to see it in turn, which tells it who is there.
"""

from __future__ import annotations

from xml.etree.ElementTree import Element

from eventworker.pubsub.jid import bare
from eventworker.pubsub.service import PubSubService
from eventworker_xmpp.stanzas import stanza


def take(service: PubSubService, sender: str, presence: Element) -> list[bytes]:
    """What a presence changes; returns what is said in answer.

    :param sender: full or bare JID.
    """
    me, them, kind = service.settings.service, bare(sender), presence.get("type")
    if kind is None:
        service.available(sender)
    elif kind == "unavailable":
        # For the whole address, Prosody acknowledges with it that it will pass on our request to
        # see him. That nobody is there, the other meaning, is found out by calling the roll.
        if sender != them:
            service.unavailable(sender)
    elif kind == "error":
        service.unavailable(sender)
    elif kind == "subscribe":
        service.presence_granted(them)
        return [
            stanza("presence", me, them, type="subscribed"),
            stanza("presence", me, them),
            stanza("presence", me, them, type="subscribe"),
        ]
    elif kind == "unsubscribe":
        service.presence_revoked(them)
        return [
            stanza("presence", me, them, type="unsubscribe"),
            stanza("presence", me, them, type="unsubscribed"),
        ]
    elif kind == "unsubscribed":
        service.unavailable(them)
    elif kind == "probe":
        return [stanza("presence", me, sender)]
    return []
