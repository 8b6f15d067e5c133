"""Rosters as stanzas (RFC 6121, section 2; XEP-0356, section 4)."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from eventworker.pubsub.errors import PubSubError
from eventworker.pubsub.jid import as_given, bare
from eventworker.pubsub.tables import MAX_GROUP
from eventworker_xmpp.markup import element
from eventworker_xmpp.names import ROSTER, STANZA_ERRORS, local_of, name, namespace_of
from eventworker_xmpp.stanzas import ERROR

#: Contacts, once for each of their groups, that are taken of one roster.
MOST = 20_000
#: A contact, and one of its groups.
Entry = tuple[str, str]
_QUERY, _ITEM, _GROUP = name(ROSTER, "query"), name(ROSTER, "item"), name(ROSTER, "group")


class NoRoster(Exception):
    """The answer is no roster that could be used.

    :ivar forbidden: whether the server says that the component may read none.
    """

    def __init__(self, why: str, *, forbidden: bool = False) -> None:
        super().__init__(why)
        self.forbidden = forbidden


def question() -> Element:
    """What a roster is asked for with."""
    return element(ROSTER, "query")


def entries(answer: Element) -> list[Entry]:
    """The contacts of a roster with their groups, one pair for each group.

    What a server would not send is left out: a contact with a resource or without an address, a
    group longer than nodes can name, a contact that is being removed.

    :raises NoRoster: when it is none, or has too many.
    """
    query = answer.find(_QUERY)
    if answer.get("type") == "error":
        error = answer.find(ERROR)
        tags = [] if error is None else [child.tag for child in error]
        conditions = [local_of(tag) for tag in tags if namespace_of(tag) == STANZA_ERRORS]
        why = conditions[0] if conditions else "an error"
        raise NoRoster(f"the server answers with {why}", forbidden=why == "forbidden")
    if query is None:
        raise NoRoster("the server answers with something else")
    found: list[Entry] = []
    for item in query.findall(_ITEM):
        groups = {"".join(group.itertext()) for group in item.findall(_GROUP)}
        if not groups or item.get("subscription") == "remove":
            continue
        contact = _contact(item.get("jid", ""))
        if contact is not None:
            found += [(contact, group) for group in groups if 0 < len(group) <= MAX_GROUP]
        if len(found) > MOST:
            raise NoRoster(f"it has more than {MOST} contacts in groups")
    return found


def pushed_by(iq: Element) -> str | None:
    """Whose roster has changed, when a server says so; None for any other stanza. Only a server
    sends with an account's address without resource."""
    sender = iq.get("from", "")
    if local_of(iq.tag) != "iq" or iq.get("type") != "set" or iq.find(_QUERY) is None:
        return None
    return sender if sender and bare(sender) == sender else None


def _contact(text: str) -> str | None:
    try:
        contact = as_given(text)
    except PubSubError:
        return None
    return contact if contact == bare(contact) else None
