"""Capture of finished requests: an ASGI middleware, with the rules of the WSGI one.

::

    app = EventMiddleware(app, outbox_sink(engine), author=user_id_of)

The facts of the request stand in the context variable of the task that it runs in, and so in the
threads and tasks that are started from there: a transactional capture inside sees them, in an
``AsyncSession`` too.

Only ``http`` is looked at; ``websocket`` and ``lifespan`` are passed on untouched. Runs on asyncio.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, TypeVar, Unpack

from eventworker.capture.finished import FinishedRequests, Options, Steps
from eventworker.capture.request import RequestFacts, entered
from eventworker.capture.response import Response
from eventworker.event import Event

__all__ = ["EventMiddleware"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
AnySink = Callable[[Event], Awaitable[None] | None]
T = TypeVar("T")


class EventMiddleware:
    """Makes an event of each finished request that changed a resource.

    Finished is a request when the application returns: after the last byte, and after what it does
    in the background then (Starlette's background tasks, the end of FastAPI's dependencies). The
    server waits for the event before it is done with the request, its client does not.

    :param app: an ASGI 3 application.
    :param sink: takes the event: a coroutine function, or a plain one, which then runs in a thread
        (:func:`~eventworker.capture.sinks.outbox_sink`); None to provide only the facts.
    :param options: see :class:`~eventworker.capture.finished.Options`. ``author`` is called with
        the scope; a plain function runs in the event loop and must not wait, a coroutine function
        may. A plain reader of images runs in a thread.
    """

    def __init__(self, app: Application, sink: AnySink | None, **options: Unpack[Options]) -> None:
        self._app = app
        self._requests = FinishedRequests(sink, **options)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        facts = facts_of(self._requests, scope)
        watch = await _run(self._requests.begin(scope, facts))
        if watch is None:
            with entered(facts):
                await self._app(scope, receive, send)
            return
        watched = _WatchedSend(send, watch.response)
        try:
            with entered(facts):
                await self._app(scope, receive, watched)
        except BaseException as error:
            # A client that has gone is not the application's failure, however that reports it.
            if watched.is_cut_off and isinstance(error, Exception):
                await _to_the_end(self._requests.finish(scope, watch))
            else:
                self._requests.fail(watch)
            raise
        await _to_the_end(self._requests.finish(scope, watch))


class _WatchedSend:
    """``send`` for the application; every message is passed on at once."""

    def __init__(self, send: Send, response: Response) -> None:
        self._send = send
        self._response = response
        self.is_cut_off = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            # Any iterable will do by the specification, and some can be read only once.
            message = {**message, "headers": list(message.get("headers", ()))}
            self._response.started(message["status"], _texts(message["headers"]))
            self._response.has_begun = True
        elif message["type"] == "http.response.body":
            self._response.saw(message.get("body", b""))
        try:
            await self._send(message)
        except OSError:  # what a server raises when the client has gone (ASGI 2.4)
            self.is_cut_off = True
            raise


def facts_of(requests: FinishedRequests, scope: Scope) -> RequestFacts:
    """The facts of a request, but for its author."""
    headers: dict[str, str] = {}
    for name, value in _texts(scope.get("headers", ())):
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return requests.facts(
        scope["method"],
        _full_path(scope),
        url=headers.get("referer"),
        query_string=scope.get("query_string", b"").decode("utf-8", "replace") or None,
        traceparent=headers.get("traceparent"),
        tracestate=headers.get("tracestate"),
    )


def _full_path(scope: Scope) -> str:
    """The path with that of the mount: servers differ in whether ``path`` has it already."""
    path: str = scope["path"]
    root = scope.get("root_path", "").rstrip("/")
    return path if path == root or path.startswith(root + "/") else root + path


def _texts(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("utf-8", "replace")) for name, value in headers]


async def _run(steps: Steps[T]) -> T:
    """:func:`eventworker.capture.finished.run`, without ever holding up the event loop."""
    try:
        call = next(steps)
        while True:
            is_plain = not inspect.iscoroutinefunction(call.function)
            try:
                if call.waits and is_plain:
                    answer = await asyncio.to_thread(call.function, call.argument)
                else:
                    answer = call.function(call.argument)
                if inspect.isawaitable(answer):
                    answer = await answer
            except BaseException as error:
                call = steps.throw(error)
            else:
                call = steps.send(answer)
    except StopIteration as end:
        result: T = end.value
        return result


async def _to_the_end(steps: Steps[None]) -> None:
    """The change is made: who cancels the request now (a server that stops) still gets its event.

    The cancellation is passed on when the steps are done.
    """
    task = asyncio.create_task(_run(steps))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
