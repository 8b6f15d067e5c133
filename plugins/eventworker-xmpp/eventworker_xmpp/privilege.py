"""What an XMPP server lets a component do beside what every component may (XEP-0356)."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from eventworker_xmpp.names import PRIVILEGES, local_of, name, namespace_of

#: Permissions that let rosters be read.
_READING = ("get", "both")


def rosters_readable(message: Element) -> bool | None:
    """Whether the sender's accounts' rosters may be read, as a message of permissions says; None
    for any other message.

    Such a message names all permissions there are: one that it does not name is not granted.
    """
    if local_of(message.tag) != "message" or message.get("type") == "error":
        return None
    named = [child for child in message if child.tag in _privilege_tags()]
    permissions = [
        each
        for child in named
        for each in child
        if each.tag == name(namespace_of(child.tag), "perm")
    ]
    if not permissions:
        return None
    return any(
        each.get("access") == "roster" and each.get("type") in _READING for each in permissions
    )


def _privilege_tags() -> list[str]:
    return [name(each, "privilege") for each in PRIVILEGES]
