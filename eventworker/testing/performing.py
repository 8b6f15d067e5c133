"""Performing, in a test, what a plugin has added to do outside the database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Engine, select, update

from eventworker.db import DEAD, clock, short_transaction
from eventworker.effects import Effect
from eventworker.effects.operations import Selection, count
from eventworker.effects.table import IS_OPEN, effect_table
from eventworker.engine.attempt import Caller
from eventworker.engine.backlog import BATCH
from eventworker.engine.effects import EffectRunner
from eventworker.engine.loader import Loaded
from eventworker.engine.registered import RegistryView
from eventworker.inbox.claims import Outcome
from eventworker.testing.ending import Ending
from eventworker.testing.watched import WatchedPerformer

_effect = effect_table.c


@dataclass(frozen=True, slots=True)
class Performed:
    """An effect that ``perform()`` was called with, and what became of it: DONE, RETRY or DEAD."""

    effect: Effect
    ending: Ending


def perform_all(engine: Engine, caller: Caller, loaded: Loaded, *, crash: bool) -> list[Performed]:
    """One attempt at each effect that waits, as though its time had come."""
    watched = WatchedPerformer.of(loaded.as_performer, crash=crash)
    view = RegistryView(engine, [watched], watched.lane, 0.0)
    runner = EffectRunner(engine, caller, view, "harness")
    with short_transaction(engine) as connection:
        connection.execute(update(effect_table).where(IS_OPEN).values(due_at=clock()))
        waiting = count(connection, Selection(states=("pending", "retry")))
    for _ in range(0, waiting, BATCH):
        runner.run_due()
    return list(_endings(engine, watched.performed))


def _endings(engine: Engine, performed: list[Effect]) -> Iterator[Performed]:
    with engine.connect() as connection:
        for effect in performed:
            row = connection.execute(
                select(
                    _effect.state,
                    _effect.attempts,
                    _effect.error,
                    _effect.due_at,
                    clock().label("now"),
                ).where(_effect.event_id == effect.event_id, _effect.n == effect.n)
            ).one_or_none()
            if row is None:
                yield Performed(effect, Ending(Outcome.DONE))
            elif row.state == DEAD:
                yield Performed(effect, Ending(Outcome.DEAD, row.attempts, row.error))
            else:
                delay = (row.due_at - row.now).total_seconds()
                yield Performed(effect, Ending(Outcome.RETRY, row.attempts, row.error, delay))
