"""How far many events have come, for who looks at them from outside."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection, exists, or_, select

from eventworker.inbox.backlog import event_table
from eventworker.inbox.claims import Outcome, inbox_table

_inbox = inbox_table.c
_OPEN = (int(Outcome.PENDING), int(Outcome.RETRY))


def outcomes_of(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, dict[int, Outcome]]:
    """For each of these events the outcomes that will last or be followed by others, by plugin.

    Not those of calls that killed their process, and that cannot be repeated before the event
    comes again: its body is not here.
    """
    found: dict[UUID, dict[int, Outcome]] = {event_id: {} for event_id in ids}
    rows = connection.execute(
        select(_inbox.event_id, _inbox.plugin, _inbox.outcome).where(
            _inbox.event_id.in_(ids),
            or_(_inbox.outcome.not_in(_OPEN), exists().where(event_table.c.id == _inbox.event_id)),
        )
    )
    for event_id, plugin, outcome in rows:
        found[event_id][plugin] = Outcome(outcome)
    return found
