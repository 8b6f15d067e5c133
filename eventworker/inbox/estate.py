"""What a dead process leaves behind: the call that it died in, and the leases that it held."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Connection, select, update

from eventworker.db import Failure, clock, failed
from eventworker.event import Event
from eventworker.inbox import backlog
from eventworker.inbox.backlog import IS_OPEN, delivery_table
from eventworker.inbox.claims import Outcome, set_outcome

_delivery = delivery_table.c


def blame(
    connection: Connection,
    event_id: UUID,
    plugin: int,
    failure: Failure,
    owner: str,
    event: Event | None = None,
) -> None:
    """Record that a call took its process down, whether it came from the backlog or not.

    A row of the backlog has counted the attempt when it was claimed; a first call has no row yet,
    or one by now that the event's redelivery has made: that is another process's to call.

    :param owner: the process that died.
    :param event: the event, where somebody still has it: the call can be repeated with it then.
    """
    changed = connection.execute(
        update(delivery_table)
        .where(
            _delivery.event_id == event_id,
            _delivery.plugin == plugin,
            _delivery.owner == owner,
            IS_OPEN,
        )
        .values(failed(failure))
    )
    if not changed.rowcount:
        if event is None:
            backlog.record_failure(connection, event_id, plugin, failure)
        else:
            backlog.fail_first(connection, event, plugin, failure)
    elif failure.delay is None:
        set_outcome(connection, event_id, plugin, Outcome.DEAD)


def attempts_of(connection: Connection, event_id: UUID, plugin: int, owner: str) -> int:
    """Attempts counted so far, that of ``owner`` included; 0 for a pair that it has not claimed."""
    found = select(_delivery.attempts).where(
        _delivery.event_id == event_id, _delivery.plugin == plugin, _delivery.owner == owner
    )
    return int(connection.scalar(found) or 0)


def release_owner(connection: Connection, owner: str, *, uncount: bool) -> int:
    """Make the leases of a dead process due now; returns their number.

    :param uncount: give the attempts back as well: the call that it died in is known and has been
        blamed, so what else it had claimed was never called.
    """
    released = connection.execute(
        update(delivery_table)
        .where(_delivery.owner == owner, IS_OPEN)
        .values(due_at=clock(), owner=None, attempts=_delivery.attempts - int(uncount))
    )
    return released.rowcount


def owners(connection: Connection) -> list[str]:
    """The processes that hold leases."""
    held = select(_delivery.owner).where(_delivery.owner.is_not(None), IS_OPEN).distinct()
    return [owner for owner in connection.scalars(held) if owner]
