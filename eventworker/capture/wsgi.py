"""Capture of finished requests: a WSGI middleware that looks at each request and its response.

The weaker mode. The event is made after the application has committed: a process that dies between
the two has made a change without an event. What it has over :mod:`eventworker.capture.sqlalchemy`
is that it needs to know nothing but URLs. The two may be mixed: the middleware gives the request's
facts to a transactional capture inside, and stays silent about a resource that the request has
recorded there.

::

    application = EventMiddleware(application, outbox_sink(engine), author=user_id_of)

No broker takes part: whether it is there or away, a request is neither refused nor delayed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Unpack

from eventworker.capture.finished import FinishedRequests, Options, Watch, run
from eventworker.capture.request import RequestFacts, entered
from eventworker.capture.response import Response
from eventworker.capture.sinks import Sink, outbox_sink

__all__ = ["EventMiddleware", "outbox_sink"]

Environ = dict[str, Any]
StartResponse = Callable[..., Callable[[bytes], object]]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]


class EventMiddleware:
    """Makes an event of each finished request that changed a resource.

    Those are POST, PUT, PATCH and DELETE whose path names a resource and whose status is below 400.
    The event is given to the sink when the server closes the response, so after the last byte.

    :param sink: takes the event; None to provide only the facts for a transactional capture inside.
        If it fails, the response is the same; the event is then in the log, at ERROR, as JSON.
    :param options: see :class:`~eventworker.capture.finished.Options`; ``author`` is called with
        the environ.
    """

    def __init__(self, app: Application, sink: Sink | None, **options: Unpack[Options]) -> None:
        self._app = app
        self._requests = FinishedRequests(sink, **options)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        facts = facts_of(self._requests, environ)
        watch = run(self._requests.begin(environ, facts))
        with entered(facts):
            if watch is None:
                return self._app(environ, start_response)
            try:
                chunks = self._app(environ, _watched(start_response, watch.response))
            except BaseException:
                self._requests.fail(watch)
                raise
        return _Chunks(chunks, self._requests, environ, watch)


def facts_of(requests: FinishedRequests, environ: Environ) -> RequestFacts:
    """The facts of a request, but for its author."""
    return requests.facts(
        environ["REQUEST_METHOD"],
        _decoded(environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")),
        url=_decoded_or_none(environ.get("HTTP_REFERER")),
        query_string=_decoded_or_none(environ.get("QUERY_STRING")),
        traceparent=environ.get("HTTP_TRACEPARENT"),
        tracestate=environ.get("HTTP_TRACESTATE"),
    )


def _watched(start_response: StartResponse, response: Response) -> StartResponse:
    def start(
        status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], object]:
        write = start_response(status, headers, *([exc_info] if exc_info else []))
        number = status.partition(" ")[0]
        response.started(int(number) if number.isdecimal() else None, headers)

        def watched_write(chunk: bytes) -> object:
            response.saw(chunk)
            return write(chunk)

        return watched_write

    return start


class _Chunks:
    """The application's response, passed on chunk by chunk as it comes."""

    def __init__(
        self,
        chunks: Iterable[bytes],
        requests: FinishedRequests,
        environ: Environ,
        watch: Watch,
    ) -> None:
        self._chunks = chunks
        self._iterator: Iterator[bytes] | None = None
        self._requests = requests
        self._environ = environ
        self._watch = watch
        self._has_failed = False
        self._is_closed = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        # A generator runs in its caller's context, which is the server's.
        with entered(self._watch.facts):
            try:
                if self._iterator is None:
                    self._iterator = iter(self._chunks)
                chunk = next(self._iterator)
            except StopIteration:
                raise
            except BaseException:
                self._has_failed = True
                raise
        self._watch.response.saw(chunk)
        return chunk

    def close(self) -> None:
        """What every server calls at the end, whatever the end was (PEP 3333)."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            if hasattr(self._chunks, "close"):
                with entered(self._watch.facts):
                    self._chunks.close()
        except BaseException:
            self._has_failed = True
            raise
        finally:
            if self._has_failed:
                self._requests.fail(self._watch)
            else:
                run(self._requests.finish(self._environ, self._watch))


def _decoded(text: str) -> str:
    """WSGI gives bytes as Latin-1 text (PEP 3333); what they mean is UTF-8."""
    return text.encode("latin-1", "replace").decode("utf-8", "replace")


def _decoded_or_none(text: str | None) -> str | None:
    return _decoded(text) if text else None
