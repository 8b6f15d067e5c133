"""What a hook is given: ``host``, ``client`` and ``item``."""

from __future__ import annotations

import json
import types
from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .pipe import Pipe

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_JSON = "{urn:xmpp:json:0}json"


class PubSubError(Exception):
    """The service refuses a request.

    :ivar condition: such as ``item-not-found``.
    :ivar detail: the XEP's own condition, such as ``closed-node``, or None.
    """

    def __init__(self, condition: str, detail: str | None, text: str) -> None:
        super().__init__(text)
        self.condition = condition
        self.detail = detail


class _Awaitable:
    """A value that is there already, and may be awaited all the same."""

    def __await__(self) -> Generator[Any, None, Any]:
        return self
        yield  # which makes it a generator


class Text(_Awaitable, str):
    """A text."""


class List(_Awaitable, list[Any]):
    """A list."""


class Record(_Awaitable, dict[str, Any]):
    """Names and values."""


class Nothing(_Awaitable):
    """The answer of a verb that has none."""

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "None"

    def __await__(self) -> Generator[Any, None, None]:
        return None
        yield


def _answer(value: Any) -> Any:
    if value is None:
        return Nothing()
    if isinstance(value, str):
        return Text(value)
    return List(value) if isinstance(value, list) else Record(value)


class Host:
    """The service.

    :ivar config: its configuration, ``config[group][option]``, without secrets.
    """

    def __init__(self, config: Mapping[str, Mapping[str, Any]]) -> None:
        self.config = types.MappingProxyType(
            {group: types.MappingProxyType(dict(values)) for group, values in config.items()}
        )


class PubSub:
    """The verbs of the service, in the name of the hook's owner.

    Each is a transaction of its own that has ended when the call returns. The answer may be awaited
    or not.
    """

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe

    def _ask(self, verb: str, **arguments: Any) -> Any:
        answer = self._pipe.ask(verb, arguments)
        if (error := answer.get("error")) is not None:
            raise PubSubError(error["condition"], error.get("detail"), error["text"])
        return _answer(answer.get("value"))

    def publish(self, node: str, payload: Any = None, id: str | None = None) -> Any:
        """Publish one item; answers with its id.

        :param payload: XML as text or as an element; or any other value, which travels as JSON.
        """
        return self._ask("publish", node=node, payload=_as_text(payload), id=id)

    def notify(self, node: str) -> Any:
        """Say that something happened, without an item."""
        return self._ask("notify", node=node)

    def retract(self, node: str, *ids: str, notify: bool = False) -> Any:
        """Take items back."""
        return self._ask("retract", node=node, ids=list(ids), notify=notify)

    def get_items(
        self, node: str, ids: Sequence[str] | None = None, max_items: int | None = None
    ) -> Any:
        """A hundred items at the most, each as ``{id, payload, publisher}``: the newest, in their
        order, or with ``max_items`` newest first."""
        ids = None if ids is None else list(ids)
        return self._ask("get_items", node=node, ids=ids, max_items=max_items)

    def get_nodes(self, collection: str | None = None) -> Any:
        """Nodes, each as ``{node, kind, title}``."""
        return self._ask("get_nodes", collection=collection)

    def create(self, node: str | None = None, fields: Mapping[str, Any] | None = None) -> Any:
        """Make a node; answers with its name.

        :param fields: of its configuration, such as ``{"access_model": "open"}``.
        """
        return self._ask("create", node=node, fields=_fields(fields))

    def delete(self, node: str) -> Any:
        """Delete a node."""
        return self._ask("delete", node=node)

    def purge(self, node: str) -> Any:
        """Remove all items of a node."""
        return self._ask("purge", node=node)

    def subscribe(self, node: str, jid: str | None = None) -> Any:
        """Subscribe the owner, or ``jid``; answers with ``{node, jid, state, subid}``."""
        return self._ask("subscribe", node=node, jid=jid)

    def unsubscribe(self, node: str, jid: str | None = None, subid: str | None = None) -> Any:
        """End a subscription."""
        return self._ask("unsubscribe", node=node, jid=jid, subid=subid)

    def get_subscriptions(self, node: str | None = None) -> Any:
        """The owner's own, each as ``{node, jid, state, subid}``."""
        return self._ask("get_subscriptions", node=node)


def _as_text(payload: Any) -> str | None:
    if payload is None or isinstance(payload, str):
        return payload
    from xml.etree.ElementTree import Element, iselement, tostring

    if not iselement(payload):
        text, payload = json.dumps(payload), Element(_JSON)
        payload.text = text
    return tostring(payload, encoding="unicode")


def _fields(fields: Mapping[str, Any] | None) -> dict[str, list[str]] | None:
    if fields is None:
        return None
    made = {}
    for name, value in fields.items():
        values = value if isinstance(value, list | tuple) else [value]
        made[name] = [str(int(each)) if isinstance(each, bool) else str(each) for each in values]
    return made


class Client:
    """The hook's owner at the service.

    :ivar jid: his address.
    :ivar pubsub: what he may ask of it.
    """

    def __init__(self, jid: str, pipe: Pipe) -> None:
        self.jid = jid
        self.pubsub = PubSub(pipe)


class Item:
    """What happened.

    :ivar event: ``items``, ``retract`` or ``delete``.
    :ivar id: of the item; None where the node is deleted, or where there is none.
    :ivar payload: one XML element as text, or None.
    :ivar key: the same each time the hook is run for this, and no other's.
    """

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.event: str = fields["event"]
        self.id: str | None = fields["id"]
        self.node: str = fields["node"]
        self.payload: str | None = fields["payload"]
        self.publisher: str | None = fields["publisher"]
        self.key: str = fields["key"]

    @property
    def xml(self) -> Element | None:
        """The payload as an element."""
        if self.payload is None:
            return None
        from xml.etree.ElementTree import fromstring

        return fromstring(self.payload)  # noqa: S314 - what it may do is bounded here

    @property
    def json(self) -> Any:
        """What is in the payload, where that is a container of JSON (XEP-0335); else None."""
        found = self.xml
        if found is None or found.tag != _JSON:
            return None
        return json.loads(found.text or "null")
