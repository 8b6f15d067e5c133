"""The facts of the running request, for whoever records events while it runs.

They stand in a context variable: each thread and each asyncio task has its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TypedDict, Unpack

from eventworker import tracecontext
from eventworker.capture.paths import PathRules, ResourcePath

#: The longest text that an event's url, path and query string may have, in characters.
MAX_TEXT = 8192


@dataclass(slots=True)
class RequestFacts:
    """What is known of a request while it runs.

    ``author_id`` may be set late, by the application's own authentication:
    ``current_facts().author_id = user.id``.
    """

    method: str
    path: str | None = None
    author_id: int | str | None = None
    url: str | None = None
    query_string: str | None = None
    source: str = ""
    #: The headers of W3C Trace Context, or None.
    traceparent: str | None = None
    tracestate: str | None = None
    #: What the path names, or None.
    target: ResourcePath | None = None
    #: Names of the resources that a transaction of this request has recorded events of.
    recorded: set[str] = field(default_factory=set)


_current: ContextVar[RequestFacts | None] = ContextVar("eventworker_request_facts", default=None)


def current_facts() -> RequestFacts | None:
    """The facts of the running request; None outside of one."""
    return _current.get()


class Details(TypedDict, total=False):
    """What else is known of a request. All of it is optional.

    - ``author_id``: the user who makes it.
    - ``url``: the page that it came from, its ``Referer``.
    - ``query_string``: without the question mark.
    - ``source``: name of the application.
    - ``traceparent``, ``tracestate``: the headers; what is malformed is left out.
    - ``rules``: how paths are read; the default rules if None.
    """

    author_id: int | str | None
    url: str | None
    query_string: str | None
    source: str
    traceparent: str | None
    tracestate: str | None
    rules: PathRules | None


def make_facts(method: str, path: str | None = None, **details: Unpack[Details]) -> RequestFacts:
    """The facts of a request that begins.

    :param path: decoded, without query string.
    """
    parent, state = tracecontext.valid(details.get("traceparent"), details.get("tracestate"))
    rules = details.get("rules") or PathRules()
    return RequestFacts(
        method=method,
        path=_fitting(path),
        author_id=details.get("author_id"),
        url=_fitting(details.get("url")),
        query_string=_fitting(details.get("query_string")),
        source=details.get("source", ""),
        traceparent=parent,
        tracestate=state,
        target=rules.parse(path) if path is not None else None,
    )


@contextmanager
def request_facts(
    method: str, path: str | None = None, **details: Unpack[Details]
) -> Iterator[RequestFacts]:
    """Within the block, events are recorded as being of this request.

    :param path: decoded, without query string.
    """
    with entered(make_facts(method, path, **details)) as facts:
        yield facts


@contextmanager
def entered(facts: RequestFacts) -> Iterator[RequestFacts]:
    """Make these the running request's facts, again."""
    token = _current.set(facts)
    try:
        yield facts
    finally:
        _current.reset(token)


def set_current(facts: RequestFacts | None) -> None:
    """For who is told of a request's beginning and end in two calls, and so has no block."""
    _current.set(facts)


def _fitting(text: str | None) -> str | None:
    """What an event can carry: a client's overlong or ill-encoded header breaks no commit."""
    if text is None:
        return None
    return text[:MAX_TEXT].encode("utf-8", "replace").decode("utf-8")
