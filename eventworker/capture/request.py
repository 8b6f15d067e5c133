"""The facts of the running request, for whoever records events while it runs.

They stand in a context variable: each thread and each asyncio task has its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

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
    #: What the path names, or None.
    target: ResourcePath | None = None
    #: Names of the resources that a transaction of this request has recorded events of.
    recorded: set[str] = field(default_factory=set)


_current: ContextVar[RequestFacts | None] = ContextVar("eventworker_request_facts", default=None)


def current_facts() -> RequestFacts | None:
    """The facts of the running request; None outside of one."""
    return _current.get()


@contextmanager
def request_facts(
    method: str,
    path: str | None = None,
    *,
    author_id: int | str | None = None,
    url: str | None = None,
    query_string: str | None = None,
    source: str = "",
    rules: PathRules | None = None,
) -> Iterator[RequestFacts]:
    """Within the block, events are recorded as being of this request.

    :param path: decoded, without query string.
    :param url: the page that the request came from, its ``Referer``.
    :param rules: how paths are read; the default rules if None.
    """
    facts = RequestFacts(
        method=method,
        path=_fitting(path),
        author_id=author_id,
        url=_fitting(url),
        query_string=_fitting(query_string),
        source=source,
        target=(rules or PathRules()).parse(path) if path is not None else None,
    )
    with entered(facts):
        yield facts


@contextmanager
def entered(facts: RequestFacts) -> Iterator[None]:
    """Make these the running request's facts, again."""
    token = _current.set(facts)
    try:
        yield
    finally:
        _current.reset(token)


def _fitting(text: str | None) -> str | None:
    """What an event can carry: a client's overlong or ill-encoded header breaks no commit."""
    if text is None:
        return None
    return text[:MAX_TEXT].encode("utf-8", "replace").decode("utf-8")
