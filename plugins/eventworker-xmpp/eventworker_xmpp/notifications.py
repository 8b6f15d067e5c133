"""What is told to subscribers, as messages (XEP-0060, sections 7.1.2, 8 and 12).

A message is written once for all who get it; only whom it goes to, and what he has asked for,
differs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from eventworker.pubsub.deliveries import Addressee, Delivery
from eventworker.pubsub.facts import Item
from eventworker.pubsub.notices import Word
from eventworker_xmpp import forms
from eventworker_xmpp.bodies import body_of
from eventworker_xmpp.generic import item_element
from eventworker_xmpp.markup import TooLong, attribute, element, text, written
from eventworker_xmpp.messages import COUNTED
from eventworker_xmpp.names import (
    ADDRESS,
    AUTHORIZATION,
    COMPONENT,
    DATA,
    DELAY,
    EVENT,
    PUBSUB,
    SHIM,
)

_NODE_CONFIG = f"{PUBSUB}#node_config"
#: Bytes of a message beside its items and the names of nodes: an address may have 2,400.
_FRAME = 3200


@dataclass(frozen=True, slots=True)
class Notification:
    """A message to several, but for its addressee.

    :ivar id: of the message; the same whenever it is sent.
    :ivar body: for those who want to read.
    :ivar most: bytes that it may have.
    """

    id: str
    head: bytes
    content: bytes
    body: bytes = b""
    most: int = 2**24

    def to(self, addressee: Addressee, subids: bool) -> bytes:
        """The message to one.

        It says by which collections he gets it (XEP-0248, section 5.3.1), as many as have room:
        whoever has subscribed a thousand times could have the server end the connection.

        :param subids: say also by which of his subscriptions.
        """
        wants_body = self.body and addressee.options.include_body
        jid = attribute(addressee.jid).encode()
        body = self.body if wants_body else b""
        named = [_header("Collection", each) for each in addressee.collections]
        if subids:
            named += [_header("SubID", each) for each in addressee.subids]
        used = sum(map(len, (self.head, jid, body, self.content))) + len(_HEADERS) + 50
        named = list(_fitting(named, self.most - used))
        headers = b"%s%s</headers>" % (_HEADERS, b"".join(named)) if named else b""
        return b"".join((self.head, jid, b"'>", body, self.content, headers, b"</message>"))


class Writer:
    """Writes the messages of deliveries.

    :param service: the service's address.
    :param legacy: also write changes of subscriptions as older clients read them.
    :param max_bytes: of a message.
    """

    def __init__(self, service: str, legacy: bool, max_bytes: int) -> None:
        self._service = service
        self._legacy = legacy
        self._most = max_bytes
        self._room = 0

    def messages(self, delivery: Delivery) -> list[Notification]:
        """The messages that everyone who is told gets."""
        longest = max(
            delivery.audiences, key=lambda each: len(attribute(each).encode()), default=""
        )
        named = (delivery.node, longest, delivery.config.language)
        self._room = self._most - _FRAME - sum(len(attribute(each).encode()) for each in named)
        return list(_WRITERS[delivery.word](self, delivery))

    def _items(self, delivery: Delivery) -> Iterator[Notification]:
        entries = [
            Item(each["id"], each["payload"], each.get("publisher"))
            for each in delivery.content["items"]
        ]
        replies = self._replies(delivery)
        room = self._room - sum(len(written(each).encode()) for each in replies)
        made = [item_element(item, EVENT) for item in entries]
        sizes = [self._size(each, room) for each in made]
        bodies = [body_of(item.payload) for item in entries]
        for part, (start, end) in enumerate(_parts(sizes, room)):
            said = "\n".join(body for body in bodies[start:end] if body)
            if len(text(said).encode()) + sum(sizes[start:end]) > room:
                said = ""  # one can do without
            yield self._event(
                delivery, "items", made[start:end], part=part, body=said, beside=replies
            )

    def _replies(self, delivery: Delivery) -> list[Element]:
        """Whom replies should go to (section 12.17; XEP-0033, section 4.6.4)."""
        asked = [
            element(ADDRESS, "address", {"type": "replyto", "jid": each})
            for each in delivery.content.get("reply_to", ())
        ]
        whole = element(ADDRESS, "addresses", children=asked)
        fits = len(written(whole).encode()) <= self._room // 4
        return [whole] if asked and fits else []

    def _size(self, item: Element, room: int) -> int:
        """Bytes of the item; what is too large for a stanza loses its payload, and has to be
        fetched."""
        try:
            size = len(written(item, EVENT, room).encode())
        except TooLong:
            size = room + 1
        if size > room:
            item[:] = []
            size = len(written(item, EVENT).encode())
        return size

    def _retract(self, delivery: Delivery) -> Iterator[Notification]:
        made = [element(EVENT, "retract", {"id": each}) for each in delivery.content["ids"]]
        sizes = [len(written(each, EVENT).encode()) for each in made]
        for part, (start, end) in enumerate(_parts(sizes, self._room)):
            yield self._event(delivery, "items", made[start:end], part=part)

    def _purge(self, delivery: Delivery) -> Iterator[Notification]:
        yield self._event(delivery, "purge")

    def _delete(self, delivery: Delivery) -> Iterator[Notification]:
        uri = delivery.content.get("uri")
        inside = [element(EVENT, "redirect", {"uri": uri})] if uri else []
        yield self._event(delivery, "delete", inside)

    def _configuration(self, delivery: Delivery) -> Iterator[Notification]:
        fields = delivery.content.get("fields")
        inside = [forms.result(fields, _NODE_CONFIG)] if fields else []
        if self._is_too_long(inside):
            inside = []  # it can be asked for
        yield self._event(delivery, "configuration", inside)

    def _is_too_long(self, elements: Sequence[Element]) -> bool:
        return sum(len(written(each).encode()) for each in elements) > self._room

    def _collection(self, delivery: Delivery) -> Iterator[Notification]:
        child = element(EVENT, str(delivery.word), {"node": delivery.content["child"]})
        yield self._event(delivery, "collection", [child])

    def _subscription(self, delivery: Delivery) -> Iterator[Notification]:
        """Section 8.8.4; aioxmpp neither reads that form without an expiry nor heeds it, and wants
        another one, in a message without the first."""
        about = {
            "node": delivery.node,
            "jid": delivery.content["jid"],
            "subscription": delivery.content["state"],
            "subid": delivery.content.get("subid"),
        }
        own = {**about, "expiry": delivery.content.get("expires_at")}
        event = element(EVENT, "event", children=[element(EVENT, "subscription", own)])
        yield self._message(delivery, [event], mark="s-")
        if self._legacy:
            one = element(PUBSUB, "subscription", about)
            several = element(PUBSUB, "subscriptions", children=[one])
            yield self._message(delivery, [element(PUBSUB, "pubsub", children=[several])], "l-")

    def _affiliation(self, delivery: Delivery) -> Iterator[Notification]:
        """Section 8.9.4; clients look for the node in one of these places or in the other."""
        node = delivery.node
        about = {
            "node": node,
            "jid": delivery.content["jid"],
            "affiliation": delivery.content["affiliation"],
        }
        one = element(PUBSUB, "affiliation", about)
        several = element(PUBSUB, "affiliations", {"node": node}, [one])
        yield self._message(delivery, [element(PUBSUB, "pubsub", children=[several])], "f-")

    def _authorization(self, delivery: Delivery) -> Iterator[Notification]:
        """Section 8.6: an owner is asked by a form."""
        subscriber = delivery.content["jid"]
        form = element(DATA, "x", {"type": "form"})
        form.append(element(DATA, "title", content="Subscription request"))
        said = f"{subscriber} asks to be subscribed to the node {delivery.node}."
        form.append(element(DATA, "instructions", content=said))
        form.append(forms.field(forms.FORM_TYPE, [AUTHORIZATION], "hidden"))
        if delivery.content.get("subid"):
            form.append(forms.field("pubsub#subid", [delivery.content["subid"]], "hidden"))
        form.append(forms.field("pubsub#node", [delivery.node], "text-single", "Node"))
        form.append(forms.field("pubsub#subscriber_jid", [subscriber], "jid-single", "Subscriber"))
        form.append(forms.field("pubsub#allow", ["0"], "boolean", "Allow it?"))
        yield self._message(delivery, [form], "a-")

    def _event(
        self,
        delivery: Delivery,
        local: str,
        inside: Sequence[Element] = (),
        *,
        part: int = 0,
        body: str = "",
        beside: Sequence[Element] = (),
    ) -> Notification:
        one = element(EVENT, local, {"node": delivery.node}, inside)
        children = [element(EVENT, "event", children=[one]), *beside]
        told_at = delivery.content.get("stamp")
        if told_at:
            children.append(element(DELAY, "delay", {"stamp": told_at, "from": self._service}))
        return self._message(
            delivery,
            children,
            COUNTED,
            part=part,
            body=body,
            kind=delivery.config.notification_type,
            language=delivery.config.language,
        )

    def _message(
        self,
        delivery: Delivery,
        children: Sequence[Element],
        mark: str,
        *,
        part: int = 0,
        body: str = "",
        kind: str = "normal",
        language: str = "",
    ) -> Notification:
        millis = int(delivery.made_at.timestamp() * 1000)
        message = f"{mark}{delivery.id:x}-{millis:x}" + (f".{part}" if part else "")
        # What payload and body are written in, unless they say otherwise themselves.
        spoken = f" xml:lang='{attribute(language)}'" if language else ""
        head = (
            f"<message from='{attribute(self._service)}' id='{message}' type='{kind}'{spoken} to='"
        ).encode()
        content = "".join(written(each, COMPONENT) for each in children).encode()
        said = f"<body>{text(body)}</body>".encode() if body else b""
        return Notification(message, head, content, said, self._most)


_WRITERS: dict[Word, Callable[[Writer, Delivery], Iterator[Notification]]] = {
    Word.ITEMS: Writer._items,
    Word.RETRACT: Writer._retract,
    Word.PURGE: Writer._purge,
    Word.DELETE: Writer._delete,
    Word.CONFIGURATION: Writer._configuration,
    Word.ASSOCIATE: Writer._collection,
    Word.DISASSOCIATE: Writer._collection,
    Word.SUBSCRIPTION: Writer._subscription,
    Word.AFFILIATION: Writer._affiliation,
    Word.AUTHORIZATION: Writer._authorization,
}


_HEADERS = f"<headers xmlns='{SHIM}'>".encode()


def _header(name: str, value: str) -> bytes:
    return f"<header name='{name}'>{text(value)}</header>".encode()


def _fitting(headers: Sequence[bytes], room: int) -> Iterator[bytes]:
    for each in headers:
        room -= len(each)
        if room < 0:
            return
        yield each


def _parts(sizes: Sequence[int], room: int) -> Iterator[tuple[int, int]]:
    """From where to where what has these sizes goes into one message of so many bytes."""
    start, filled = 0, 0
    for place, size in enumerate(sizes):
        if filled and filled + size > room:
            yield start, place
            start, filled = place, 0
        filled += size
    yield start, len(sizes)


__all__ = ["Notification", "Writer"]
