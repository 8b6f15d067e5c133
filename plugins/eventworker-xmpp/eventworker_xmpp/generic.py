"""Requests in the namespace ``pubsub``: what subscribers and publishers ask for, and creating nodes
(XEP-0060, sections 5.6 to 8.1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TypeVar
from xml.etree.ElementTree import Element

from eventworker.pubsub.config import NODE_CONFIG, SUBSCRIBE_OPTIONS, SubscribeOptions
from eventworker.pubsub.errors import PubSubError
from eventworker.pubsub.facts import Affiliated, Fields, Item, NewItem, Subscription
from eventworker.pubsub.forms import PREFIX
from eventworker_xmpp import forms
from eventworker_xmpp.bodies import is_readable
from eventworker_xmpp.markup import TooLong, element, written
from eventworker_xmpp.names import PUBLISH_OPTIONS, PUBSUB, name
from eventworker_xmpp.paging import MOST, answer, bounded, fitting, page_of, part_of
from eventworker_xmpp.parsing import parsed
from eventworker_xmpp.request import Request, Verb, required_jid

T = TypeVar("T")

#: What stands beside the verb and is none.
BESIDE = ("options", "configure", "publish-options")
_ITEM = name(PUBSUB, "item")


def subscribe(request: Request) -> list[Element]:
    """Section 6.1; with the options of the subscription in the same stanza, section 6.3.7."""
    if not request.verb.get("jid"):
        raise PubSubError("bad-request", "invalid-jid")
    options = request.beside("options")
    form = None if options is None else forms.form_of(options)
    fields = None if form is None else forms.filled(form, SUBSCRIBE_OPTIONS)
    made = request.service.subscribe(request.node, request.actor, request.jid, fields)
    reply = request.answer(subscription_element(made))
    if fields is not None:
        kept = request.service.subscription_options(made.node, request.actor, made.jid, made.subid)
        shown = _options(request, kept, made.node, "result")
        # With all attributes: aioxmpp does not read it without the JID.
        about = {"node": made.node, "jid": made.jid, "subid": made.subid}
        reply[0].append(element(PUBSUB, "options", about, [shown]))
    return reply


def unsubscribe(request: Request) -> list[Element]:
    """Section 6.2."""
    request.service.unsubscribe(request.node, request.actor, request.jid, request.subid)
    return []


def options(request: Request) -> list[Element]:
    """Section 6.3.2."""
    found = request.service.subscription_options(
        request.node, request.actor, request.jid, request.subid
    )
    about = {"node": request.node, "jid": request.jid, "subid": request.subid}
    shown = _options(request, found, request.node)
    return request.answer(element(PUBSUB, "options", about, [shown]))


def set_options(request: Request) -> list[Element]:
    """Section 6.3.5."""
    form = forms.form_of(request.verb)
    if form is None:
        raise PubSubError("bad-request", "invalid-options", text="there is no form")
    if not forms.is_cancelled(form):
        fields = forms.filled(form, SUBSCRIBE_OPTIONS)
        request.service.set_subscription_options(
            request.node, request.actor, request.jid, fields, request.subid
        )
    return []


def default_options(request: Request) -> list[Element]:
    """Section 6.4."""
    found = request.service.default_subscription_options(request.actor, request.maybe_node)
    about = {"node": request.maybe_node}
    shown = _options(request, found, request.maybe_node)
    return request.answer(element(PUBSUB, "default", about, [shown]))


def _options(
    request: Request, options: SubscribeOptions, node: str | None, kind: str = "form"
) -> Element:
    """The form. A body is not offered where no payload can have one (section 12.8)."""
    readable = node is None or is_readable(request.service.payload_type(request.actor, node))
    left_out = () if readable else (f"{PREFIX}include_body",)
    return forms.shown(options, SUBSCRIBE_OPTIONS, kind, without=left_out)


def subscriptions(request: Request) -> list[Element]:
    """Section 5.6."""
    found = request.service.subscriptions(request.actor, request.maybe_node)
    return listed(
        request,
        "subscriptions",
        found,
        subscription_element,
        lambda each: f"{each.node} {each.jid}",
    )


def affiliations(request: Request) -> list[Element]:
    """Section 5.7."""
    found = request.service.affiliations(request.actor, request.maybe_node)
    return listed(request, "affiliations", found, affiliation_element, lambda each: each.node)


def items(request: Request) -> list[Element]:
    """Section 6.5. What has no room in the answer is left out, which a ``<set/>`` tells."""
    ids = [each.get("id", "") for each in request.verb.findall(_ITEM)]
    if "" in ids or len(ids) > MOST:
        raise PubSubError("bad-request", text=f"each item has an id, and there are at most {MOST}")
    asked = page_of(request.payload)
    newest = _count(request.verb.get("max_items"))
    part = request.service.items(
        request.node,
        request.actor,
        ids or None,
        None if newest is None else min(newest, MOST),
        request.subid,
        None if newest is not None and asked is None else bounded(asked),
    )
    # One by one, since most may have no room: to read them all could take a minute.
    made = fitting(map(item_element, part.entries), request.room)
    fits = len(made)
    if part.entries and not fits:
        raise PubSubError("resource-constraint", text="the item is too large to be sent")
    reply = request.answer(element(PUBSUB, "items", {"node": request.node}, made))
    if asked is not None or fits < part.total:
        names = [item.id for item in part.entries[:fits]]
        reply[0].append(answer(part.first, part.total, names))
    return reply


def publish(request: Request) -> list[Element]:
    """Section 7.1."""
    published = []
    for item in request.verb:
        if item.tag != _ITEM:
            raise PubSubError("bad-request", text="only items can be published")
        if len(item) > 1:
            raise PubSubError("bad-request", "invalid-payload", text="more than one element")
        payload = _payload(request, item[0]) if len(item) else None
        published.append(NewItem(item.get("id") or None, payload))
    ids = request.service.publish(
        request.node, request.actor, published, _form(request, "publish-options", PUBLISH_OPTIONS)
    )
    said = [element(PUBSUB, "item", {"id": each}) for each in ids]
    return request.answer(element(PUBSUB, "publish", {"node": request.node}, said))


def _payload(request: Request, one: Element) -> str:
    try:
        return written(one, most=request.service.settings.max_payload_size)
    except TooLong:
        raise PubSubError("not-acceptable", "payload-too-big") from None


def retract(request: Request) -> list[Element]:
    """Section 7.2."""
    ids = [each.get("id", "") for each in request.verb.findall(_ITEM)]
    notify = request.verb.get("notify", "0")
    if notify not in ("0", "1", "false", "true"):
        raise PubSubError("bad-request", text="notify is true or false")
    request.service.retract(request.node, request.actor, ids, notify in ("1", "true"))
    return []


def create(request: Request) -> list[Element]:
    """Section 8.1, with the configuration in the same stanza."""
    configure = request.beside("configure")
    if configure is not None and configure.get("node"):
        raise PubSubError("bad-request", text="<configure/> beside <create/> names no node")
    fields = _form(request, "configure", NODE_CONFIG)
    made = request.service.create(request.maybe_node, request.actor, fields)
    return request.answer(element(PUBSUB, "create", {"node": made}))


def _form(request: Request, local: str, form_type: str) -> Fields | None:
    holder = request.beside(local)
    form = None if holder is None else forms.form_of(holder)
    return None if form is None else forms.filled(form, form_type)


def _count(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and int(text[:9]) > 0):
        raise PubSubError("bad-request", text="max_items is a number from 1")
    return int(text[:9])


def listed(
    request: Request,
    local: str,
    entries: Sequence[T],
    made_of: Callable[[T], Element],
    key: Callable[[T], str],
    namespace: str = PUBSUB,
) -> list[Element]:
    """An answer that is a list, or a part of it."""
    asked = page_of(request.payload)
    part = part_of(entries, asked, key)
    made = fitting(map(made_of, part.entries), request.room)
    fits = len(made)
    reply = request.answer(element(namespace, local, {"node": request.maybe_node}, made))
    if asked is not None or fits < part.total:
        names = [key(each) for each in part.entries[:fits]]
        reply[0].append(answer(part.first, part.total, names))
    return reply


def subscription_element(one: Subscription) -> Element:
    """``<subscription/>``, with what is required of the subscriber."""
    required = one.options_required
    inside = [element(PUBSUB, "subscribe-options", children=[element(PUBSUB, "required")])]
    about = {
        "node": one.node,
        "jid": one.jid,
        "subscription": str(one.state),
        "subid": one.subid,
        "expiry": None if one.expires_at is None else stamp(one.expires_at),
    }
    return element(PUBSUB, "subscription", about, inside if required else [])


def affiliation_element(one: Affiliated) -> Element:
    """``<affiliation/>`` of one who asks for his own."""
    about = {"node": one.node, "affiliation": str(one.affiliation)}
    return element(PUBSUB, "affiliation", about)


def item_element(item: Item, namespace: str = PUBSUB) -> Element:
    """``<item/>`` with its payload, and who has published it."""
    inside = [] if item.payload is None else [parsed(item.payload)]
    return element(namespace, "item", {"id": item.id, "publisher": item.publisher}, inside)


def stamp(moment: datetime) -> str:
    """A point in time as XEP-0082 writes it."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


VERBS: dict[tuple[str, str], Verb] = {
    ("get", "affiliations"): affiliations,
    ("get", "default"): default_options,
    ("get", "items"): items,
    ("get", "options"): options,
    ("get", "subscriptions"): subscriptions,
    ("set", "create"): create,
    ("set", "options"): set_options,
    ("set", "publish"): publish,
    ("set", "retract"): retract,
    ("set", "subscribe"): subscribe,
    ("set", "unsubscribe"): unsubscribe,
}

__all__ = ["BESIDE", "VERBS", "required_jid"]
