"""Requests in the namespace ``pubsub#owner`` (XEP-0060, section 8; XEP-0248 for collections)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import TypeVar
from xml.etree.ElementTree import Element

from eventworker.pubsub.config import LEAF, NODE_CONFIG
from eventworker.pubsub.errors import PubSubError, unsupported
from eventworker.pubsub.facts import Affiliated, Subscription
from eventworker.pubsub.rules import AccessModel, Affiliation, State
from eventworker_xmpp import forms
from eventworker_xmpp.errors import error_element
from eventworker_xmpp.generic import listed
from eventworker_xmpp.markup import element
from eventworker_xmpp.names import OWNER, local_of, name
from eventworker_xmpp.request import Request, Verb, required_jid

E = TypeVar("E", bound=StrEnum)
T = TypeVar("T", Subscription, Affiliated)

#: Entries of a change of several at the most.
_MOST = 1000


def configuration(request: Request) -> list[Element]:
    """Section 8.2.2."""
    found = request.service.configuration(request.node, request.actor)
    shown = forms.shown(found, NODE_CONFIG, offered=_offered(request))
    return request.answer(element(OWNER, "configure", {"node": request.node}, [shown]))


def configure(request: Request) -> list[Element]:
    """Section 8.2.4."""
    form = forms.form_of(request.verb)
    if form is None:
        raise PubSubError("bad-request", text="there is no form")
    if forms.is_cancelled(form):
        request.service.configuration(request.node, request.actor)  # whether he may
    else:
        fields = forms.filled(form, NODE_CONFIG)
        request.service.configure(request.node, request.actor, fields)
    return []


def default_configuration(request: Request) -> list[Element]:
    """Section 8.3."""
    kind = request.verb.get("type") or LEAF
    form = forms.form_of(request.verb)
    if form is not None:
        kind = "".join(forms.filled(form, NODE_CONFIG).get("pubsub#node_type", [])) or kind
    found = request.service.default_configuration(kind)
    shown = forms.shown(found, NODE_CONFIG, offered=_offered(request))
    return request.answer(element(OWNER, "default", children=[shown]))


def delete(request: Request) -> list[Element]:
    """Section 8.4."""
    redirect = request.verb.find(name(OWNER, "redirect"))
    uri = None if redirect is None else redirect.get("uri") or None
    if redirect is not None and uri is None:
        raise PubSubError("bad-request", text="<redirect/> has a URI")
    request.service.delete(request.node, request.actor, uri)
    return []


def purge(request: Request) -> list[Element]:
    """Section 8.5."""
    request.service.purge(request.node, request.actor)
    return []


def subscriptions(request: Request) -> list[Element]:
    """Section 8.8.1."""
    node = request.node
    found = request.service.node_subscriptions(node, request.actor)
    return listed(
        request,
        "subscriptions",
        found,
        _subscription_element,
        lambda each: f"{each.jid} {each.subid or ''}",
        OWNER,
    )


def change_subscriptions(request: Request) -> list[Element]:
    """Section 8.8.2."""
    node = request.node
    changes = [
        Subscription(
            node,
            required_jid(each),
            _value(each, "subscription", State),
            each.get("subid") or None,
        )
        for each in _entries(request, "subscription")
    ]
    refused = request.service.change_node_subscriptions(node, request.actor, changes)
    return _changed(request, "subscriptions", refused, _subscription_element)


def affiliations(request: Request) -> list[Element]:
    """Section 8.9.1."""
    node = request.node
    found = request.service.node_affiliations(node, request.actor)
    return listed(
        request, "affiliations", found, _affiliation_element, lambda each: each.jid, OWNER
    )


def change_affiliations(request: Request) -> list[Element]:
    """Section 8.9.2."""
    node = request.node
    changes = [
        Affiliated(node, required_jid(each), _affiliation(each))
        for each in _entries(request, "affiliation")
    ]
    refused = request.service.change_node_affiliations(node, request.actor, changes)
    return _changed(request, "affiliations", refused, _affiliation_element)


def collection(request: Request) -> list[Element]:
    """XEP-0248, section 7: put nodes into a collection, or take them out."""
    for each in request.verb:
        child = each.get("node")
        if not child:
            raise PubSubError("bad-request", "nodeid-required")
        if local_of(each.tag) == "associate":
            request.service.associate(request.node, child, request.actor)
        elif local_of(each.tag) == "disassociate":
            request.service.disassociate(request.node, child, request.actor)
        else:
            raise PubSubError("bad-request")
    return []


def _offered(request: Request) -> dict[str, list[AccessModel]]:
    return {"pubsub#access_model": request.service.access_models(request.actor)}


def _entries(request: Request, local: str) -> list[Element]:
    entries = list(request.verb)
    if not entries or any(each.tag != name(OWNER, local) for each in entries):
        raise PubSubError("bad-request", text=f"there is no <{local}/>, or something else")
    if len(entries) > _MOST:
        raise PubSubError("bad-request", text=f"at most {_MOST} at once")
    # An entry that does not say what shall be is no change.
    return [each for each in entries if each.get(local) is not None]


def _value(one: Element, key: str, kind: type[E]) -> E:
    text = one.get(key, "")
    try:
        return kind(text)
    except ValueError:
        raise PubSubError("bad-request", text=f"there is no {key} {text[:40]!r}") from None


def _affiliation(one: Element) -> Affiliation:
    text = one.get("affiliation", "")
    try:
        return Affiliation(text)
    except ValueError:
        raise unsupported(f"{text[:40]}-affiliation") from None


def _changed(
    request: Request, local: str, refused: Sequence[T], made_of: Callable[[T], Element]
) -> list[Element]:
    """An error that tells which entries are still as they were, while the others have changed."""
    if not refused:
        return []
    still = list(map(made_of, refused))
    reply = request.answer(element(OWNER, local, {"node": request.node}, still))
    reply.append(error_element(PubSubError("not-acceptable")))
    return reply


def _subscription_element(one: Subscription) -> Element:
    about = {"jid": one.jid, "subscription": str(one.state), "subid": one.subid}
    return element(OWNER, "subscription", about)


def _affiliation_element(one: Affiliated) -> Element:
    return element(OWNER, "affiliation", {"jid": one.jid, "affiliation": str(one.affiliation)})


#: What stands beside a verb of this namespace: nothing.
BESIDE: tuple[str, ...] = ()

VERBS: dict[tuple[str, str], Verb] = {
    ("get", "affiliations"): affiliations,
    ("get", "configure"): configuration,
    ("get", "default"): default_configuration,
    ("get", "subscriptions"): subscriptions,
    ("set", "affiliations"): change_affiliations,
    ("set", "collection"): collection,
    ("set", "configure"): configure,
    ("set", "delete"): delete,
    ("set", "purge"): purge,
    ("set", "subscriptions"): change_subscriptions,
}
