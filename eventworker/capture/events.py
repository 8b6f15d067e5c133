"""The one place where an event is made of a request's facts."""

from __future__ import annotations

from typing import Any

from eventworker.capture.paths import ResourcePath
from eventworker.capture.request import RequestFacts
from eventworker.event import Event

_NO_REQUEST = RequestFacts(method="")


def make_event(
    facts: RequestFacts | None,
    names: ResourcePath,
    method: str,
    *,
    is_about: bool,
    status: int | None = None,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    source: str = "",
) -> Event:
    """An event about ``names``, made by a request.

    :param facts: of the request; None outside of one.
    :param is_about: whether the request's own path names this resource; only then the event has
        its path, query string and url.
    :param source: instead of the request's.
    """
    request = facts or _NO_REQUEST
    return Event(
        author_id=request.author_id,
        method=method,
        url=request.url if is_about else None,
        path=request.path if is_about else None,
        query_string=request.query_string if is_about else None,
        status=status,
        resource=names.resource,
        resource_id=names.resource_id,
        sub_resource=names.sub_resource,
        sub_resource_id=names.sub_resource_id,
        resource_before=before,
        resource_after=after,
        source=source or request.source,
        traceparent=request.traceparent,
        tracestate=request.tracestate,
    )
