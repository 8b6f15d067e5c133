"""What a dead process leaves behind: the effect that it was performing, and its leases."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Connection, select, update

from eventworker.db import Failure, clock, failed
from eventworker.effects.table import IS_OPEN, effect_table

_effect = effect_table.c


def attempts_of(connection: Connection, event_id: UUID, plugin: int, n: int, owner: str) -> int:
    """Attempts counted so far, that of ``owner`` included; 0 if it does not hold the effect."""
    found = select(_effect.attempts).where(
        _effect.event_id == event_id,
        _effect.plugin == plugin,
        _effect.n == n,
        _effect.owner == owner,
    )
    return int(connection.scalar(found) or 0)


def blame(
    connection: Connection, event_id: UUID, plugin: int, n: int, failure: Failure, owner: str
) -> None:
    """Record that performing this effect took the process down.

    :param owner: the process that died; what it does not hold any more was performed, or is another
        process's by now.
    """
    connection.execute(
        update(effect_table)
        .where(
            _effect.event_id == event_id,
            _effect.plugin == plugin,
            _effect.n == n,
            _effect.owner == owner,
            IS_OPEN,
        )
        .values(failed(failure))
    )


def release_owner(connection: Connection, owner: str, *, uncount: bool) -> int:
    """Make the leases of a process due now; returns their number.

    :param uncount: give the attempts back as well, since these effects were not performed.
    """
    released = connection.execute(
        update(effect_table)
        .where(_effect.owner == owner, IS_OPEN)
        .values(due_at=clock(), owner=None, attempts=_effect.attempts - int(uncount))
    )
    return released.rowcount


def owners(connection: Connection) -> list[str]:
    """The processes that hold leases."""
    held = select(_effect.owner).where(_effect.owner.is_not(None), IS_OPEN).distinct()
    return [owner for owner in connection.scalars(held) if owner]
