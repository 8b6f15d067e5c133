"""What the outbox still knows of the past."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, select

from eventworker.outbox.table import DEAD, outbox_table

_outbox = outbox_table.c


def past_events() -> Select[Any]:
    """The events that are, or were, on their way, by the columns of ``eventworker_event``.

    Not those that could never be published: nobody was given them.
    """
    return select(
        _outbox.id,
        _outbox.time,
        _outbox.source,
        _outbox.resource,
        _outbox.body,
        _outbox.traceparent,
        _outbox.tracestate,
        _outbox.stream,
        _outbox.seq,
    ).where(_outbox.state != DEAD)
