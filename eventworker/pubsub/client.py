"""The client for programs that run an event loop: the same methods as coroutines.

There is one description of what a client can do, :class:`~eventworker.pubsub.SyncPubSubClient`; a
coroutine of the same name, arguments and description does it in a thread.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from eventworker.pubsub.blocking import SyncPubSubClient
from eventworker.pubsub.listening import Listening, registered
from eventworker.pubsub.options import Settings
from eventworker.pubsub.signals import Signals
from eventworker.pubsub.transactions import Where

P = ParamSpec("P")
T = TypeVar("T")


def _awaited(
    method: Callable[Concatenate[SyncPubSubClient, P], T],
) -> Callable[Concatenate[PubSubClient, P], Coroutine[Any, Any, T]]:
    """The method as a coroutine."""

    async def call(self: PubSubClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        if self._blocking.is_bound:
            # The caller's transaction is the caller's thread's.
            return method(self._blocking, *args, **kwargs)
        return await asyncio.to_thread(method, self._blocking, *args, **kwargs)

    functools.update_wrapper(call, method)
    call.__qualname__ = f"PubSubClient.{method.__name__}"
    return call


class PubSubClient(Signals):
    """A client of the service in the same database; ``jid`` is, in each method, the service's
    address, or None.

    ::

        async with PubSubClient(engine, "robot@pubsub.example.org") as client:
            client.on_item_published.connect(print)
            await client.subscribe(None, "news")

    In an ``async with`` block, or after :meth:`listen`, it hears of what happens; its signals are
    then fired in the event loop. A method that is cancelled may be done all the same.

    :param where: the database: an engine, its URL, or the configuration that names it. With a
        session or connection, the client works in that transaction, and without a thread.
    :param jid: its own address; the service's own may do everything.
    :param settings: None for those of the configuration, or without one the defaults.
    :raises PubSubError: here and by every method, when the service refuses.
    """

    def __init__(self, where: Where, jid: str, *, settings: Settings | None = None) -> None:
        super().__init__()
        self._blocking = SyncPubSubClient(where, jid, settings=settings)
        self._listening: Listening | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def jid(self) -> str:
        """Its own address."""
        return self._blocking.jid

    @property
    def settings(self) -> Settings:
        """Those of the service."""
        return self._blocking.settings

    get_default_config = _awaited(SyncPubSubClient.get_default_config)
    get_items = _awaited(SyncPubSubClient.get_items)
    get_items_by_id = _awaited(SyncPubSubClient.get_items_by_id)
    get_subscription_config = _awaited(SyncPubSubClient.get_subscription_config)
    get_subscriptions = _awaited(SyncPubSubClient.get_subscriptions)
    get_affiliations = _awaited(SyncPubSubClient.get_affiliations)
    set_subscription_config = _awaited(SyncPubSubClient.set_subscription_config)
    subscribe = _awaited(SyncPubSubClient.subscribe)
    unsubscribe = _awaited(SyncPubSubClient.unsubscribe)

    notify = _awaited(SyncPubSubClient.notify)
    publish = _awaited(SyncPubSubClient.publish)
    retract = _awaited(SyncPubSubClient.retract)

    change_node_affiliations = _awaited(SyncPubSubClient.change_node_affiliations)
    change_node_subscriptions = _awaited(SyncPubSubClient.change_node_subscriptions)
    create = _awaited(SyncPubSubClient.create)
    delete = _awaited(SyncPubSubClient.delete)
    get_nodes = _awaited(SyncPubSubClient.get_nodes)
    get_node_info = _awaited(SyncPubSubClient.get_node_info)
    get_node_affiliations = _awaited(SyncPubSubClient.get_node_affiliations)
    get_node_config = _awaited(SyncPubSubClient.get_node_config)
    get_node_subscriptions = _awaited(SyncPubSubClient.get_node_subscriptions)
    purge = _awaited(SyncPubSubClient.purge)
    set_node_config = _awaited(SyncPubSubClient.set_node_config)

    get_features = _awaited(SyncPubSubClient.get_features)

    async def listen(self) -> None:
        """Hear, from now on, of what happens.

        :raises ValueError: inside a caller's transaction, or when it listens already.
        """
        if self._task is not None:
            raise ValueError("this client listens already")
        transactions = self._blocking.transactions
        self._listening = await asyncio.to_thread(registered, transactions, self.jid, self)
        self._task = asyncio.create_task(self._listening.run(), name="eventworker-pubsub")

    async def close(self) -> None:
        """Stop listening, once the signal that is being fired is through, and close what is its
        own; closing it again does nothing."""
        if self._listening is not None and self._task is not None:
            self._listening.stop()
            if self._task is not asyncio.current_task():
                await self._task
        self._listening = self._task = None
        self._blocking.close()

    async def __aenter__(self) -> Self:
        if not self._blocking.is_bound:
            await self.listen()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()
