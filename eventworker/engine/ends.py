"""What the end of a call means: for those that wait, and for whoever reads the log."""

from __future__ import annotations

import logging
from typing import Any

from eventworker.engine.attempt import End, Result
from eventworker.engine.loader import Loaded
from eventworker.event import Event
from eventworker.tracecontext import trace_id

log = logging.getLogger(__name__)


def is_settled(plugin: Loaded, result: Result) -> bool:
    """Whether later events of the resource need not wait for this one any more."""
    if not plugin.ordered:
        return False
    if result.end is End.FAILED:
        return plugin.passes_dead and result.failure is not None and result.failure.delay is None
    return result.end in (End.DONE, End.SEEN)


def report(plugin: Loaded, event: Event, result: Result, attempt: int) -> None:
    """One log line per outcome; ERROR only where somebody must act."""
    if result.failure is None and not log.isEnabledFor(logging.DEBUG):
        return
    fields: dict[str, Any] = {
        "event": str(event.id),
        "plugin": plugin.name,
        "attempt": attempt,
        "change": change_of(event),
        "trace_id": trace_id(event.traceparent),
    }
    failure = result.failure
    if failure is None:
        log.debug("%s", result.end.value, extra=fields)
    elif failure.delay is not None:
        log.warning("failed, again in %.1f s: %s", failure.delay, failure.error, extra=fields)
    else:
        log.error(
            "dead letter: %s; see: eventworker deliveries list --state dead",
            failure.error,
            extra=fields,
        )


def change_of(event: Event) -> str:
    """The change in a few words."""
    return f"{event.method} {event.resource}/{event.resource_id}"
