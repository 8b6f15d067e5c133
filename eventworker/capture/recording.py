"""From what a transaction changed to the events in its outbox."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy.orm import Session

from eventworker import outbox
from eventworker.capture.events import make_event
from eventworker.capture.images import Resource, Snapshot
from eventworker.capture.journal import Change, Kind
from eventworker.capture.paths import ResourcePath
from eventworker.capture.request import RequestFacts
from eventworker.capture.sinks import without_images
from eventworker.errors import EncodeError
from eventworker.event import Event
from eventworker.transport import Message


def event_of(
    session: Session, change: Change, facts: RequestFacts | None, source: str
) -> Event | None:
    """The event of one object's changes; None when they cancel each other out.

    Its method says what happened to the object, whatever the request's was. Path, query string and
    url are the request's if its path names this very object, not some other one changed along.

    :param facts: of the running request; None outside of one.
    """
    before, after = change.before, None
    if change.kind is not Kind.DELETED:
        after = change.captured.after(session, change.state, change.unset, is_stale=change.is_stale)
    if change.kind is Kind.CHANGED and not change.hidden and _is_same(before, after):
        return None
    who = after or before
    if who is None:
        return None
    names = _names(change.captured.resource, who)
    about = facts if facts and _is_about(facts.target, names, change.kind) else None
    is_patch = about and about.method == "PATCH" and change.kind is Kind.CHANGED
    return make_event(
        facts,
        names,
        "PATCH" if is_patch else change.kind.value,
        is_about=about is not None,
        before=before.image if before else None,
        after=after.image if after else None,
        source=source,
    )


def record(session: Session, events: Sequence[Event], is_ordered: Callable[[Event], bool]) -> None:
    """Put the events into the outbox, each without its images if it is too large with them.

    :raises EncodeError: when one cannot be put on the wire even so.
    """
    fitting = [_fitting(event) for event in events]
    for event in fitting:
        if not is_ordered(event):
            outbox.record(session, event)
    # Together, since that takes the resources in one order, whatever order they were changed in.
    outbox.record_in_order(session, [event for event in fitting if is_ordered(event)])


def _fitting(event: Event) -> Event:
    try:
        Message.of(event)
    except EncodeError as error:
        return without_images(event, error)
    return event


def _is_same(before: Snapshot | None, after: Snapshot | None) -> bool:
    return before == after and before is not None and before.image is not None


def _names(resource: Resource, who: Snapshot) -> ResourcePath:
    if resource.parent is None:
        return ResourcePath(resource.name, who.resource_id)
    return ResourcePath(resource.parent[0], who.resource_id, resource.name, who.sub_resource_id)


def _is_about(target: ResourcePath | None, names: ResourcePath, kind: Kind) -> bool:
    """Whether a path names this very object; one that is being created, by its collection."""
    if target is None:
        return False
    mine = [None if part is None else str(part) for part in names]
    asked = [None if part is None else str(part) for part in target]
    if kind is Kind.CREATED:
        own_id = 1 if names.sub_resource is None else 3
        asked[own_id] = asked[own_id] or mine[own_id]
    return asked == mine
