"""Capture of finished requests: a hook for Pecan, with the rules of the WSGI middleware.

::

    hook = EventHook(outbox_sink(engine), author=user_id_of)
    app = pecan.make_app(RootController(), hooks=[hook])

It means what StoryBoard's own notification hook does: the image before is read before the
controller runs, and the event is made when the controller has ended, before its response is sent.
Give it to the application; a hook of a single controller is not told of a request's first moment.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Unpack

from pecan.hooks import PecanHook
from webob.exc import HTTPException

from eventworker.capture.finished import FinishedRequests, Options, Watch, run
from eventworker.capture.request import RequestFacts, current_facts, set_current
from eventworker.capture.sinks import Sink
from eventworker.capture.wsgi import facts_of

__all__ = ["EventHook"]


@dataclass(slots=True)
class _Running:
    """The request that a thread is at; ``outer``: the facts that were current before it."""

    request: Any
    facts: RequestFacts
    outer: RequestFacts | None
    watch: Watch | None
    has_failed: bool = False


_running: ContextVar[_Running | None] = ContextVar("eventworker_pecan_running", default=None)


class EventHook(PecanHook):  # type: ignore[misc]
    """Makes an event of each request that changed a resource.

    :param sink: takes the event; None to provide only the facts for a transactional capture inside.
    :param priority: Pecan calls ``before`` by rising priority, and ``after`` by falling. The
        default lies below that of Pecan's ``TransactionHook``, 100: this hook runs around it, and
        sees its commit.
    :param options: see :class:`~eventworker.capture.finished.Options`; ``author`` is called with
        the request.
    """

    def __init__(
        self, sink: Sink | None, *, priority: int = 50, **options: Unpack[Options]
    ) -> None:
        self.priority = priority
        self._requests = FinishedRequests(sink, **options)

    def on_route(self, _state: Any) -> None:
        """Clear up after a request whose ``after`` never came: another hook's had failed."""
        left = _running.get()
        if left is not None and current_facts() is left.facts:
            set_current(left.outer)
        _running.set(None)

    def before(self, state: Any) -> None:
        """The controller is about to run."""
        outer = current_facts()
        facts = facts_of(self._requests, state.request.environ)
        watch = run(self._requests.begin(state.request, facts))
        _running.set(_Running(state.request, facts, outer, watch))
        set_current(facts)

    def on_error(self, state: Any, error: Exception) -> None:
        """The controller raised; an HTTPException is a response like any other, by its status."""
        running = _running.get()
        if running is not None and running.request is state.request:
            running.has_failed = not isinstance(error, HTTPException)

    def after(self, state: Any) -> None:
        """The controller has ended, well or not. Also called for a path that leads to none."""
        running = _running.get()
        if running is None or running.request is not state.request:
            return
        _running.set(None)
        set_current(running.outer)
        if running.watch is None:
            return
        if running.has_failed:
            self._requests.fail(running.watch)
            return
        _read(running.watch, state.response)
        run(self._requests.finish(state.request, running.watch))


def _read(watch: Watch, response: Any) -> None:
    watch.response.started(response.status_int, response.headers.items())
    if isinstance(response.app_iter, list | tuple):  # others can be read only once
        for chunk in response.app_iter:
            watch.response.saw(chunk)
