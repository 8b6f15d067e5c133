"""Calling again, or agreeing not to."""

from __future__ import annotations

from sqlalchemy import Connection, delete, tuple_, update

from eventworker.db import DEAD, PENDING, RETRY, clock
from eventworker.inbox import waiting
from eventworker.inbox.backlog import delivery_table
from eventworker.inbox.claims import Outcome, inbox_table
from eventworker.inbox.operations.selection import Pair, Selection, locked

_delivery = delivery_table.c
_inbox = inbox_table.c

#: States that the verbs act on. A pending delivery is called anyway.
RETRYABLE = (DEAD, RETRY)
DISCARDABLE = (DEAD, RETRY, PENDING)


def retry(connection: Connection, selection: Selection) -> int:
    """Make dead and retrying deliveries due now, with all their attempts; returns their number."""
    changed = 0
    for pairs in locked(connection, selection, RETRYABLE):
        connection.execute(
            update(delivery_table)
            .where(_delivery.id.in_([pair.id for pair in pairs]))
            .values(state=RETRY, attempts=0, due_at=clock(), owner=None)
        )
        _set_outcomes(connection, pairs, Outcome.RETRY)
        changed += len(pairs)
    return changed


def discard(connection: Connection, selection: Selection) -> int:
    """Give deliveries up for good; returns their number."""
    changed = 0
    for pairs in locked(connection, selection, DISCARDABLE):
        connection.execute(
            delete(delivery_table).where(_delivery.id.in_([pair.id for pair in pairs]))
        )
        _set_outcomes(connection, pairs, Outcome.DISCARDED)
        _rouse_successors(connection, pairs)
        changed += len(pairs)
    return changed


def _rouse_successors(connection: Connection, pairs: list[Pair]) -> None:
    """Make due what waited for the last of these in each resource."""
    last = {
        (pair.plugin, pair.stream): pair.seq
        for pair in sorted(pairs, key=lambda pair: pair.seq or 0)
        if pair.stream is not None and pair.seq is not None
    }
    for (plugin, stream), seq in last.items():
        if stream is not None and seq is not None:
            waiting.rouse(connection, waiting.successors(connection, plugin, stream, seq))


def _set_outcomes(connection: Connection, pairs: list[Pair], outcome: Outcome) -> None:
    these = [(pair.event_id, pair.plugin) for pair in pairs]
    connection.execute(
        update(inbox_table)
        .where(tuple_(_inbox.event_id, _inbox.plugin).in_(these))
        .values(outcome=int(outcome), at=clock())
    )
