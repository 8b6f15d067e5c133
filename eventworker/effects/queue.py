"""Effects as a queue: claimed with a lease, performed, and gone, due again or dead."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, and_, delete, select, tuple_, update

from eventworker.db import Failure, claim_rows, clock, failed
from eventworker.effects.effect import Effect, decode
from eventworker.effects.table import IS_OPEN, effect_table, shared_table

_effect, _shared = effect_table.c, shared_table.c


@dataclass(frozen=True, slots=True)
class Due:
    """A claimed row: this process may perform this effect, ``attempts`` included."""

    id: int
    event_id: UUID
    plugin: int
    n: int
    attempts: int
    created_at: datetime
    payload: str
    shared: str | None

    def effect(self, name: str) -> Effect:
        """What the plugin of that name is given."""
        payload = decode(self.payload, self.shared)
        return Effect(self.event_id, name, self.n, payload, self.attempts, self.created_at)


def is_due(connection: Connection, plugin: int) -> bool:
    """Whether :func:`claim` would find any; asks without a lock."""
    due = select(_effect.id).where(_effect.plugin == plugin, IS_OPEN, _effect.due_at <= clock())
    return connection.execute(due.limit(1)).first() is not None


def claim(connection: Connection, plugin: int, limit: int, lease: float, owner: str) -> list[Due]:
    """Claim due effects of this plugin, oldest first.

    :param lease: seconds until a row is due again if this process says no more about it.
    """
    now: Any = clock()
    if connection.dialect.name == "postgresql":
        # Its clock is asked for each row, unless in a subquery; only then the index is of use.
        now = select(now).scalar_subquery()
    rows = claim_rows(
        connection,
        effect_table,
        and_(_effect.plugin == plugin, IS_OPEN, _effect.due_at <= now),
        _effect.due_at,
        limit,
        {"attempts": _effect.attempts + 1, "due_at": clock(lease), "owner": owner},
        (
            _effect.id,
            _effect.event_id,
            _effect.n,
            _effect.attempts,
            _effect.created_at,
            _effect.payload,
            _effect.shared,
        ),
    )
    parts = _parts(connection, {(row.event_id, plugin, row.shared) for row in rows if row.shared})
    return [
        Due(
            row.id,
            row.event_id,
            plugin,
            row.n,
            row.attempts,
            row.created_at,
            row.payload,
            parts[row.event_id, row.shared] if row.shared else None,
        )
        for row in sorted(rows, key=lambda row: row.id)
    ]


def _parts(connection: Connection, keys: set[tuple[UUID, int, int]]) -> dict[tuple[UUID, int], str]:
    if not keys:
        return {}
    rows = connection.execute(
        select(_shared.event_id, _shared.n, _shared.payload).where(
            tuple_(_shared.event_id, _shared.plugin, _shared.n).in_(keys)
        )
    )
    return {(row.event_id, row.n): row.payload for row in rows}


def _mine(due: Due) -> ColumnElement[bool]:
    # Only while the attempt is still ours: a lease that ran out may have given it to another.
    return and_(_effect.id == due.id, _effect.attempts == due.attempts)


def done(connection: Connection, due: Due) -> None:
    """The effect was performed."""
    connection.execute(delete(effect_table).where(_mine(due)))


def fail(connection: Connection, due: Due, failure: Failure) -> None:
    """The attempt failed: due again after the delay, or dead."""
    connection.execute(update(effect_table).where(_mine(due)).values(failed(failure)))


def give_back(connection: Connection, due: Due) -> None:
    """Undo the claim, attempt included: the effect was not performed."""
    values: dict[str, Any] = {"attempts": _effect.attempts - 1, "due_at": clock(), "owner": None}
    connection.execute(update(effect_table).where(_mine(due)).values(values))
