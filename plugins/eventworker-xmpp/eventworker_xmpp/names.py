"""Namespaces, and names in them as ElementTree writes them: ``{namespace}name``."""

COMPONENT = "jabber:component:accept"
STREAMS = "http://etherx.jabber.org/streams"
STREAM_ERRORS = "urn:ietf:params:xml:ns:xmpp-streams"
STANZA_ERRORS = "urn:ietf:params:xml:ns:xmpp-stanzas"

PUBSUB = "http://jabber.org/protocol/pubsub"
OWNER = f"{PUBSUB}#owner"
EVENT = f"{PUBSUB}#event"
ERRORS = f"{PUBSUB}#errors"
PUBLISH_OPTIONS = f"{PUBSUB}#publish-options"
META_DATA = f"{PUBSUB}#meta-data"
AUTHORIZATION = f"{PUBSUB}#subscribe_authorization"
GET_PENDING = f"{PUBSUB}#get-pending"

#: Both versions say of rosters the same.
PRIVILEGES = ("urn:xmpp:privilege:2", "urn:xmpp:privilege:1")
ROSTER = "jabber:iq:roster"

DISCO_INFO = "http://jabber.org/protocol/disco#info"
DISCO_ITEMS = "http://jabber.org/protocol/disco#items"
COMMANDS = "http://jabber.org/protocol/commands"
SHIM = "http://jabber.org/protocol/shim"
RSM = "http://jabber.org/protocol/rsm"
DATA = "jabber:x:data"
ADDRESS = "http://jabber.org/protocol/address"
DELAY = "urn:xmpp:delay"
PING = "urn:xmpp:ping"
VERSION = "jabber:iq:version"
ATOM = "http://www.w3.org/2005/Atom"
JSON = "urn:xmpp:json:0"
XML = "http://www.w3.org/XML/1998/namespace"


def name(namespace: str, local: str) -> str:
    """The name of an element."""
    return f"{{{namespace}}}{local}"


def namespace_of(tag: str) -> str:
    """The namespace of an element's name; empty if it has none."""
    return tag[1:].rpartition("}")[0] if tag.startswith("{") else ""


def local_of(tag: str) -> str:
    """An element's name without its namespace."""
    return tag.rpartition("}")[2]
