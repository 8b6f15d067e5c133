"""What a hook asks of the service while it runs, in the name of its owner."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from eventworker.db import short_transaction
from eventworker.errors import DatabaseUnavailable
from eventworker.pubsub.errors import PubSubError
from eventworker.pubsub.facts import Actor, NewItem, Page, Subscription
from eventworker.pubsub.forms import PREFIX
from eventworker.pubsub.hooks import queue
from eventworker.pubsub.hooks.limits import MAX_REQUESTS
from eventworker.pubsub.jid import jid
from eventworker.pubsub.options import Settings
from eventworker.pubsub.service import PubSubService

log = logging.getLogger(__name__)

_NONSENSE = (TypeError, LookupError, ValueError, ArithmeticError, AttributeError, RecursionError)
Arguments = Mapping[str, Any]
Verb = Callable[[PubSubService, Actor, Arguments], Any]


@dataclass
class Requests:
    """Answers the requests of one run, each in a transaction of its own.

    :ivar owner: address that the hook acts for.
    :ivar depth: hooks in a row that led to this run.
    :ivar max_depth: hooks in a row that there may be.
    :ivar max_waiting: runs that may wait at a node that it says something at; 0 for any number.
    """

    engine: Engine
    settings: Settings
    owner: str
    depth: int
    max_depth: int
    max_waiting: int = 0
    count: int = 0

    @property
    def actor(self) -> Actor:
        """The owner as one who asks."""
        own = self.settings.itself
        return own if self.owner == own.jid else self.settings.actor(self.owner)

    def answer(self, verb: object, arguments: object) -> dict[str, Any]:
        """The answer as the hook gets it; whatever it asks, that is an answer.

        :raises DatabaseUnavailable: when the database is away; that is no fault of the hook's.
        """
        try:
            return {"value": self._answer(verb, arguments)}
        except PubSubError as error:
            return _refusal(error)
        except DatabaseUnavailable:
            raise
        except DBAPIError:
            log.exception("a request of a hook of %s failed", self.owner)
            return _refusal(PubSubError("internal-server-error"))
        except _NONSENSE as error:
            # What came through the pipe need not be what the sandbox's own code sends.
            return _refusal(PubSubError("bad-request", text=f"{type(error).__name__}: {error}"))

    def _answer(self, name: object, arguments: object) -> Any:
        self.count += 1
        if self.count > MAX_REQUESTS:
            raise PubSubError("policy-violation", text=f"a run asks {MAX_REQUESTS} times at most")
        verb = _VERBS.get(name) if isinstance(name, str) else None
        if verb is None or not isinstance(arguments, dict):
            raise PubSubError("bad-request", text="there is no such verb")
        if name not in _READING and self.depth >= self.max_depth:
            raise PubSubError(
                "policy-violation", text=f"{self.depth} hooks in a row have caused one another"
            )
        with short_transaction(self.engine) as connection:
            service = PubSubService(connection, self.settings)
            service.depth = self.depth + 1
            if name in _HEARD and self.max_waiting:
                self._require_room(connection, _text(arguments, "node"))
            return verb(service, self.actor, arguments)

    def _require_room(self, connection: Connection, node: str) -> None:
        """Hooks that cause many others by each run would else fill the database."""
        if queue.is_full(connection, node, self.max_waiting):
            raise PubSubError(
                "policy-violation",
                text=f"more than {self.max_waiting} runs of the hooks of {node} wait",
            )


def _refusal(error: PubSubError) -> dict[str, Any]:
    told = {"condition": error.condition, "detail": error.detail, "text": str(error)}
    return {"error": told}


def _text(arguments: Arguments, name: str) -> str:
    value = arguments[name]
    if not isinstance(value, str):
        raise TypeError(f"{name} is a {type(value).__name__}")
    return value


def _text_or_none(arguments: Arguments, name: str) -> str | None:
    return None if arguments.get(name) is None else _text(arguments, name)


def _texts(arguments: Arguments, name: str) -> list[str]:
    value = arguments[name]
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise TypeError(f"{name} is no list of texts")
    return value


def _publish(service: PubSubService, actor: Actor, arguments: Arguments) -> Any:
    item = NewItem(_text_or_none(arguments, "id"), _text_or_none(arguments, "payload"))
    return service.publish(_text(arguments, "node"), actor, [item])[0]


def _notify(service: PubSubService, actor: Actor, arguments: Arguments) -> Any:
    service.publish(_text(arguments, "node"), actor, [])


def _retract(service: PubSubService, actor: Actor, arguments: Arguments) -> Any:
    notify = bool(arguments.get("notify"))
    service.retract(_text(arguments, "node"), actor, _texts(arguments, "ids"), notify)


#: Items that a hook gets at once: with the largest payloads they are some megabytes.
_MOST_ITEMS = 100


def _get_items(service: PubSubService, actor: Actor, arguments: Arguments) -> Any:
    node, asked = _text(arguments, "node"), arguments.get("max_items")
    if arguments.get("ids") is not None:
        found = service.items(node, actor, _texts(arguments, "ids")[:_MOST_ITEMS])
    elif asked is not None:
        found = service.items(node, actor, max_items=min(int(asked), _MOST_ITEMS))
    else:  # the newest, in their order
        found = service.items(node, actor, page=Page(limit=_MOST_ITEMS, before=""))
    return [
        {"id": each.id, "payload": each.payload, "publisher": each.publisher}
        for each in found.entries
    ]


def _get_nodes(service: PubSubService, actor: Actor, arguments: Arguments) -> Any:
    found = service.nodes(actor, _text_or_none(arguments, "collection"))
    return [{"node": each.node, "kind": each.kind, "title": each.title} for each in found.entries]


def _create(service: PubSubService, actor: Actor, arguments: Arguments) -> Any:
    fields = arguments.get("fields")
    if fields is not None:
        fields = {PREFIX + name.removeprefix(PREFIX): _texts(fields, name) for name in dict(fields)}
    return service.create(_text_or_none(arguments, "node"), actor, fields)


def _delete(service: PubSubService, actor: Actor, arguments: Arguments) -> Any:
    service.delete(_text(arguments, "node"), actor)


def _purge(service: PubSubService, actor: Actor, arguments: Arguments) -> Any:
    service.purge(_text(arguments, "node"), actor)


def _subscribe(service: PubSubService, actor: Actor, arguments: Arguments) -> Any:
    address = _address(actor, arguments)
    return _told(service.subscribe(_text(arguments, "node"), actor, address))


def _unsubscribe(service: PubSubService, actor: Actor, arguments: Arguments) -> Any:
    address, subid = _address(actor, arguments), _text_or_none(arguments, "subid")
    service.unsubscribe(_text(arguments, "node"), actor, address, subid)


def _get_subscriptions(service: PubSubService, actor: Actor, arguments: Arguments) -> Any:
    return [_told(each) for each in service.subscriptions(actor, _text_or_none(arguments, "node"))]


def _address(actor: Actor, arguments: Arguments) -> str:
    address = _text_or_none(arguments, "jid")
    return actor.bare if address is None else jid(address)


def _told(subscription: Subscription) -> dict[str, Any]:
    return {
        "node": subscription.node,
        "jid": subscription.jid,
        "state": str(subscription.state),
        "subid": subscription.subid,
    }


_VERBS: dict[str, Verb] = {
    "publish": _publish,
    "notify": _notify,
    "retract": _retract,
    "get_items": _get_items,
    "get_nodes": _get_nodes,
    "create": _create,
    "delete": _delete,
    "purge": _purge,
    "subscribe": _subscribe,
    "unsubscribe": _unsubscribe,
    "get_subscriptions": _get_subscriptions,
}
#: Those that change nothing that a hook could hear of.
_READING = frozenset({"get_items", "get_nodes", "get_subscriptions"})
#: Those that hooks of the node may hear of.
_HEARD = frozenset({"publish", "notify", "retract", "delete"})
