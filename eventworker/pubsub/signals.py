"""Signals: whom a client tells what it has heard."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import Any, TypeVar

log = logging.getLogger(__name__)

Handler = TypeVar("Handler", bound=Callable[..., Any])


class Signal:
    """Something that happens to a client, and those who want to know.

    ::

        @client.on_item_published.connect
        def print_it(jid, node, item, *, message=None, **_):
            print(node, item.payload)

    Handlers take any further keyword arguments, since later versions may say more. They are called
    one after the other, in the order in which they were connected; a coroutine is awaited.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._handlers: list[Callable[..., Any]] = []

    def connect(self, handler: Handler) -> Handler:
        """Have it called from now on; gives it back, so that this can be a decorator."""
        self._handlers.append(handler)
        return handler

    def disconnect(self, handler: Callable[..., Any]) -> None:
        """Have it called no more; nothing if it was not connected."""
        if handler in self._handlers:
            self._handlers.remove(handler)

    async def fire(self, *args: Any, **kwargs: Any) -> None:
        """Call the handlers. One that raises is logged, and the others are called all the same."""
        for handler in tuple(self._handlers):
            try:
                made = handler(*args, **kwargs)
                if inspect.isawaitable(made):
                    await made
            except Exception:
                log.exception("%s: handler %r failed", self.name, handler)


class Signals:
    """The signals of a client. ``jid`` is the service's address; ``message`` is a
    :class:`~eventworker.pubsub.listening.Message`, which says what carried the news."""

    def __init__(self) -> None:
        #: ``(jid, node, item, *, message=None)``: an item was published to a node that the client
        #: is subscribed to. ``item`` is an :class:`~eventworker.pubsub.Item`, or None if the node
        #: only says that something has happened (``notify()``).
        self.on_item_published = Signal("on_item_published")
        #: ``(jid, node, id_, *, message=None)``: an item was retracted.
        self.on_item_retracted = Signal("on_item_retracted")
        #: ``(jid, node, *, message=None)``: all items of a node were removed.
        self.on_node_purged = Signal("on_node_purged")
        #: ``(jid, node, *, redirect_uri=None, message=None)``: a node was deleted.
        self.on_node_deleted = Signal("on_node_deleted")
        #: ``(jid, node, config, *, message=None)``: a node's configuration has changed. ``config``
        #: is a :class:`~eventworker.pubsub.NodeConfig`, or None if the node sends no payloads.
        self.on_configuration = Signal("on_configuration")
        #: ``(jid, node, affiliation, *, message=None)``: the client's affiliation with a node has
        #: changed.
        self.on_affiliation_update = Signal("on_affiliation_update")
        #: ``(jid, node, state, *, subid=None, message=None)``: a subscription of the client has
        #: another state: an owner has approved it, or it has ended.
        self.on_subscription_update = Signal("on_subscription_update")
        #: ``(jid, node, subscriber, *, subid=None, message=None)``: the client owns a node, and
        #: ``subscriber`` waits for an owner's word.
        self.on_subscription_request = Signal("on_subscription_request")
        #: ``(jid, node, child, *, message=None)``: a node was put into a collection (XEP-0248).
        self.on_node_associated = Signal("on_node_associated")
        #: ``(jid, node, child, *, message=None)``: a node was taken out of a collection.
        self.on_node_disassociated = Signal("on_node_disassociated")
