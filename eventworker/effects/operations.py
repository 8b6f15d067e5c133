"""What an operator does to effects that are not done: look, have them performed now, discard."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    delete,
    func,
    select,
    update,
)

from eventworker.db import DEAD, PENDING, RETRY, Since, at_rest, clock, in_call, moment
from eventworker.effects.table import effect_table, shared_table

_effect, _shared = effect_table.c, shared_table.c

#: States that the verbs act on. A pending effect without a delay is performed anyway.
RETRYABLE = DISCARDABLE = (DEAD, RETRY, PENDING)


@dataclass(frozen=True, slots=True)
class Selection:
    """Effects that satisfy all that is given; without anything given, all of them.

    :ivar plugin: the plugin's number.
    """

    ids: tuple[int, ...] = ()
    states: tuple[str, ...] = ()
    plugin: int | None = None
    event_id: UUID | None = None
    since: Since | None = None

    @property
    def condition(self) -> ColumnElement[bool]:
        """The selection as SQL."""
        terms: list[ColumnElement[bool]] = []
        if self.ids:
            terms.append(_effect.id.in_(self.ids))
        if self.states:
            terms.append(_effect.state.in_(self.states))
        if self.plugin is not None:
            terms.append(_effect.plugin == self.plugin)
        if self.event_id is not None:
            terms.append(_effect.event_id == self.event_id)
        if self.since is not None:
            terms.append(_effect.created_at >= moment(self.since))
        return and_(True, *terms)


@dataclass(frozen=True, slots=True)
class Listed:
    """One effect that is not done.

    :ivar plugin: the plugin's number.
    :ivar due_at: when it is performed; while ``in_call``, when the call is given up for dead.
    """

    id: int
    state: str
    plugin: int
    event_id: UUID
    n: int
    attempts: int
    in_call: bool
    due_at: datetime
    created_at: datetime
    error: str | None


@dataclass(frozen=True, slots=True)
class Detailed(Listed):
    """An effect with its traceback, and its payload as it is stored."""

    owner: str | None
    traceback: str | None
    payload: str
    shared: str | None


_LISTED = (
    _effect.id,
    _effect.state,
    _effect.plugin,
    _effect.event_id,
    _effect.n,
    _effect.attempts,
    in_call(effect_table),
    _effect.due_at,
    _effect.created_at,
    _effect.error,
)


def effects(connection: Connection, selection: Selection, limit: int) -> list[Listed]:
    """The newest ``limit`` of the selected effects, newest first."""
    found = select(*_LISTED).where(selection.condition)
    rows = connection.execute(found.order_by(_effect.id.desc()).limit(limit))
    return [Listed(*row) for row in rows]


def effect(connection: Connection, number: int) -> Detailed | None:
    """Everything about one effect."""
    found: Select[Any] = (
        select(*_LISTED, _effect.owner, _effect.traceback, _effect.payload, _shared.payload)
        .select_from(effect_table)
        .outerjoin(
            shared_table,
            and_(
                _shared.event_id == _effect.event_id,
                _shared.plugin == _effect.plugin,
                _shared.n == _effect.shared,
            ),
        )
    )
    row = connection.execute(found.where(_effect.id == number)).one_or_none()
    return None if row is None else Detailed(*row)


def count(connection: Connection, selection: Selection, states: tuple[str, ...] = ()) -> int:
    """Number of selected effects; with ``states``, of those at rest in them."""
    condition = selection.condition
    if states:
        condition = and_(condition, at_rest(effect_table, states))
    counted = select(func.count()).select_from(effect_table).where(condition)
    return int(connection.scalar(counted) or 0)


def retry(connection: Connection, selection: Selection) -> int:
    """Make effects due now, with all their attempts; returns their number."""
    changed = connection.execute(
        update(effect_table)
        .where(selection.condition, at_rest(effect_table, RETRYABLE))
        .values(state=RETRY, attempts=0, due_at=clock(), owner=None)
    )
    return changed.rowcount


def discard(connection: Connection, selection: Selection) -> int:
    """Give effects up for good; returns their number."""
    gone = connection.execute(
        delete(effect_table).where(selection.condition, at_rest(effect_table, DISCARDABLE))
    )
    return gone.rowcount
