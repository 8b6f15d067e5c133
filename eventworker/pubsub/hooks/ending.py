"""Hooks whose time is over, and runs of long ago: what goes, and what is noted of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, func, or_, select

from eventworker.db import DEAD, clock
from eventworker.pubsub.hooks.audit import note
from eventworker.pubsub.hooks.table import DONE, hook_table, run_table

_hook, _run = hook_table.c, run_table.c
#: Runs that are deleted in one transaction.
_AT_ONCE = 2000


def is_alive() -> ColumnElement[bool]:
    """Whether a hook's time is not over."""
    return or_(_hook.lease_until.is_(None), _hook.lease_until > clock())


def remove(connection: Connection, actor: str, what: str, rows: Sequence[Row[Any]]) -> None:
    """Delete hooks, and note who did so and why."""
    for row in rows:
        note(connection, actor, what, row._asdict())
        connection.execute(delete(run_table).where(_run.hook_id == row.id))
        connection.execute(delete(hook_table).where(_hook.id == row.id))


def end_overdue(connection: Connection, service: str) -> int:
    """Delete temporary hooks whose time is over; returns their number."""
    over = and_(_hook.lease_until.is_not(None), _hook.lease_until <= clock())
    rows = connection.execute(select(hook_table).where(over)).all()
    remove(connection, service, "end", rows)
    return len(rows)


def prune(connection: Connection, keep: int) -> int:
    """Delete runs that have ended, but the last ``keep`` of each hook; returns how many went, some
    thousands at a time."""
    place = func.row_number().over(partition_by=_run.hook_id, order_by=_run.id.desc())
    ended = select(_run.id, place.label("place")).where(_run.state.in_((DONE, DEAD))).subquery()
    look = select(ended.c.id).where(ended.c.place > keep).limit(_AT_ONCE)
    ids = connection.scalars(look).all()
    if ids:
        connection.execute(delete(run_table).where(_run.id.in_(ids)))
    return len(ids)
