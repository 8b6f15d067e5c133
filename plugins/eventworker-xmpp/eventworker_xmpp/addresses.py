"""Addresses as they come in stanzas."""

from __future__ import annotations

from slixmpp import JID, InvalidJID

from eventworker.pubsub.errors import PubSubError
from eventworker.pubsub.jid import jid


def address(text: str) -> str:
    """The address, prepared as XMPP wants it (RFC 7622).

    :raises PubSubError: ``jid-malformed``.
    """
    try:
        prepared = str(JID(text))
    except (InvalidJID, UnicodeError, ValueError):
        raise PubSubError("jid-malformed") from None
    return jid(prepared)
