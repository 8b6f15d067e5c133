"""Both faces of the client behind one: the asynchronous one with an event loop in a thread."""

import asyncio
import inspect
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Self

from sqlalchemy import Engine

from eventworker.pubsub import PubSubClient, Settings, SyncPubSubClient

SERVICE = "pubsub.localhost"
SETTINGS = Settings(creators="everyone", multi_subscribe=False)

Face = Callable[..., Any]


class Awaiting:
    """A PubSubClient whose coroutines are waited for."""

    def __init__(self, engine: Engine, jid: str, settings: Settings = SETTINGS) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._client = PubSubClient(engine, jid, settings=settings)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._client, name)
        if not inspect.iscoroutinefunction(value):
            return value
        return lambda *args, **kwargs: self._wait(value(*args, **kwargs))

    def __enter__(self) -> Self:
        self._wait(self._client.__aenter__())
        return self

    def __exit__(self, *error: Any) -> None:
        self._wait(self._client.__aexit__(*error))

    def end(self) -> None:
        self._wait(self._client.close())
        self._wait(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _wait(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(20)


class Plain(SyncPubSubClient):
    """A SyncPubSubClient that ends as the other one does."""

    def __init__(self, engine: Engine, jid: str, settings: Settings = SETTINGS) -> None:
        super().__init__(engine, jid, settings=settings)

    def end(self) -> None:
        self.close()


FACES = {"sync": Plain, "async": Awaiting}
