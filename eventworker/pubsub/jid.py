"""Addresses (RFC 7622): ``local@domain/resource``.

Whoever speaks XMPP has prepared an address before it comes here. This is for those that come from
people: case of letters and form of Unicode are made one, and what can be no address is refused.
"""

from __future__ import annotations

import re
import unicodedata

from eventworker.pubsub.errors import PubSubError

#: Characters of a whole address; the standard allows 3,071 bytes, no index of a database does.
MAX_JID = 400
_NO_LOCAL = re.compile(r"[\s\"&'/:<>@\x00-\x1f\x7f]")
_NO_DOMAIN = re.compile(r"[\s\"&'/<>@\x00-\x1f\x7f]")
_NO_RESOURCE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


def jid(text: str) -> str:
    """The address in its one form.

    :raises PubSubError: ``jid-malformed``.
    """
    bare_part, slash, resource = text.partition("/")
    local, at, domain = bare_part.rpartition("@")
    local = unicodedata.normalize("NFC", local).casefold()
    domain = unicodedata.normalize("NFC", domain).casefold().removesuffix(".")
    resource = unicodedata.normalize("NFC", resource)
    made = f"{local}{at}{domain}{slash}{resource}"
    if (
        not domain
        or bool(at) != bool(local)
        or bool(slash) != bool(resource)
        or _NO_LOCAL.search(local)
        or _NO_DOMAIN.search(domain)
        or _NO_RESOURCE.search(made)
        or len(made) > MAX_JID
    ):
        raise PubSubError("jid-malformed", text=f"{text[:100]!r} is no address")
    return made


def bare(address: str) -> str:
    """The address without its resource."""
    return address.partition("/")[0]


def resource(address: str) -> str:
    """The resource; empty for an address without one."""
    return address.partition("/")[2]


def domain(address: str) -> str:
    """The domain of the address."""
    return bare(address).rpartition("@")[2]
