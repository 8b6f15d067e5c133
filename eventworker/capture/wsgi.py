"""Capture of finished requests: a WSGI middleware that looks at each request and its response.

The weaker mode. The event is made after the application has committed: a process that dies between
the two has made a change without an event. What it has over :mod:`eventworker.capture.sqlalchemy`
is that it needs to know nothing but URLs; it has no images, since it never sees the data. The two
may be mixed: the middleware gives the request's facts to a transactional capture inside, and stays
silent about a resource that the request has recorded there.

::

    application = EventMiddleware(application, outbox_sink(engine), author=user_id_of)

No broker takes part: whether it is there or away, a request is neither refused nor delayed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from eventworker.capture.paths import PathRules, ResourcePath
from eventworker.capture.request import RequestFacts, entered, request_facts
from eventworker.capture.response import Response
from eventworker.capture.sinks import Sink, outbox_sink
from eventworker.db import first_line
from eventworker.event import Event

__all__ = ["EventMiddleware", "outbox_sink"]

log = logging.getLogger(__name__)

Environ = dict[str, Any]
StartResponse = Callable[..., Callable[[bytes], object]]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]
Author = Callable[[Environ], int | str | None]

METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})


def _anonymous(_environ: Environ) -> None:
    return None


class EventMiddleware:
    """Makes an event of each finished request that changed a resource.

    Those are POST, PUT, PATCH and DELETE whose path names a resource and whose status is below 400.
    The event is given to the sink when the server closes the response, so after the last byte.

    :param sink: takes the event; None to provide only the facts for a transactional capture inside.
        If it fails, the response is the same; the event is then in the log, at ERROR, as JSON.
    :param author: the id of the user who makes a request, or None. Asked before the application
        runs, and again after it if there was none yet.
    :param rules: how paths are read; the default rules if None.
    :param source: name of the application, the events' ``source``.
    """

    def __init__(
        self,
        app: Application,
        sink: Sink | None,
        *,
        author: Author = _anonymous,
        rules: PathRules | None = None,
        source: str = "",
    ) -> None:
        self._app = app
        self._sink = sink
        self._author = author
        self._rules = rules or PathRules()
        self._source = source

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        with request_facts(
            method,
            _decoded(environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")),
            author_id=self._author_of(environ),
            url=_decoded_or_none(environ.get("HTTP_REFERER")),
            query_string=_decoded_or_none(environ.get("QUERY_STRING")),
            source=self._source,
            rules=self._rules,
        ) as facts:
            if method not in METHODS or facts.target is None:
                return self._app(environ, start_response)
            response = Response(start_response, keep_body=_is_new(method, facts.target))
            chunks = self._app(environ, response.start)
        return _Watched(chunks, response, facts, lambda: self._finished(environ, facts, response))

    def _finished(self, environ: Environ, facts: RequestFacts, response: Response) -> None:
        target, status = facts.target, response.status
        if self._sink is None or target is None or status is None or status >= 400:
            return
        if target.resource in facts.recorded:
            return
        if facts.author_id is None:
            facts.author_id = self._author_of(environ)
        if _is_new(facts.method, target):
            target = _with_id(target, response.created_id(self._rules, target))
        event = Event(
            author_id=facts.author_id,
            method=facts.method,
            url=facts.url,
            path=facts.path,
            query_string=facts.query_string,
            status=status,
            source=facts.source,
            **target._asdict(),
        )
        try:
            self._sink(event)
        except Exception as error:
            log.error(
                "an event could not be recorded: %s; the event: %s",
                first_line(error),
                msgspec.json.encode(event).decode(),
                extra={"event": str(event.id), "resource": event.resource},
            )

    def _author_of(self, environ: Environ) -> int | str | None:
        try:
            return self._author(environ)
        except Exception:
            log.exception("the author of a request could not be told; it counts as anonymous")
            return None


class _Watched:
    """The application's response, passed on chunk by chunk as it comes."""

    def __init__(
        self,
        chunks: Iterable[bytes],
        response: Response,
        facts: RequestFacts,
        finished: Callable[[], None],
    ) -> None:
        self._chunks = chunks
        self._iterator: Iterator[bytes] | None = None
        self._response = response
        self._facts = facts
        self._finished: Callable[[], None] | None = finished

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        # A generator runs in its caller's context, which is the server's.
        with entered(self._facts):
            if self._iterator is None:
                self._iterator = iter(self._chunks)
            chunk = next(self._iterator)
        self._response.saw(chunk)
        return chunk

    def close(self) -> None:
        finished, self._finished = self._finished, None
        if finished is None:
            return
        try:
            if hasattr(self._chunks, "close"):
                with entered(self._facts):
                    self._chunks.close()
        finally:
            finished()


def _is_new(method: str, target: ResourcePath) -> bool:
    """Whether the id of what the request made is yet to be found in the response."""
    own_id = target.resource_id if target.sub_resource is None else target.sub_resource_id
    return method == "POST" and own_id is None


def _with_id(target: ResourcePath, own_id: int | str | None) -> ResourcePath:
    if target.sub_resource is None:
        return target._replace(resource_id=own_id)
    return target._replace(sub_resource_id=own_id)


def _decoded(text: str) -> str:
    """WSGI gives bytes as Latin-1 text (PEP 3333); what they mean is UTF-8."""
    return text.encode("latin-1", "replace").decode("utf-8", "replace")


def _decoded_or_none(text: str | None) -> str | None:
    return _decoded(text) if text else None
