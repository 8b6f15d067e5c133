"""Runs of hooks as a queue: one at a time of each hook, in the order of what happened."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, and_, exists, func, or_, select, update

from eventworker.db import Failure, claim_rows, clock, failed
from eventworker.pubsub.hooks.table import BROKEN, DONE, IS_OPEN, OK, WAITING, hook_table, run_table

#: Seconds between two looks whether a broken module can be loaded again.
_AGAIN = 60.0

_hook, _run = hook_table.c, run_table.c
_HOOK = (_hook.id, _hook.node, _hook.owner, _hook.type, _hook.arg, _hook.sha256)
_SHOWN = (
    _run.id,
    _run.publication,
    _run.n,
    _run.event,
    _run.item_id,
    _run.payload,
    _run.publisher,
    _run.depth,
    _run.attempts,
)


@dataclass(frozen=True, slots=True)
class Run:
    """A claimed run: this process may call this hook, ``attempts`` included."""

    id: int
    hook_id: int
    node: str
    owner: str
    type: str
    arg: str
    sha256: str | None
    publication: UUID
    n: int
    event: str
    item_id: str | None
    payload: str | None
    publisher: str | None
    depth: int
    attempts: int

    @property
    def key(self) -> str:
        """The same each time this run is made, and no other's: tell it the other side."""
        return f"{self.publication}/{self.n}/{self.hook_id}"


def _turn() -> list[ColumnElement[Any]]:
    """First the owner who has waited longest, then that hook of his: who has a thousand hooks keeps
    nobody waiting who has one."""
    another = hook_table.alias()
    last = select(func.max(another.c.taken_at)).where(another.c.owner == _hook.owner)
    return [last.scalar_subquery(), _hook.free_at]


def _can_run(connection: Connection) -> ColumnElement[bool]:
    now: Any = clock()
    if connection.dialect.name == "postgresql":
        # Its clock is asked for each row, unless in a subquery; only then the index is of use.
        now = select(now).scalar_subquery()
    return and_(
        _hook.state == OK,
        _hook.free_at <= now,
        or_(_hook.lease_until.is_(None), _hook.lease_until > now),
        exists().where(_run.hook_id == _hook.id, IS_OPEN, _run.due_at <= now),
    )


def is_full(connection: Connection, node: str, most: int) -> bool:
    """Whether more than so many runs wait for the hooks of a node."""
    mine = _run.hook_id.in_(select(_hook.id).where(_hook.node == node))
    beyond = select(_run.id).where(mine, IS_OPEN).limit(1).offset(most)
    return connection.execute(beyond).first() is not None


def is_due(connection: Connection) -> bool:
    """Whether :func:`claim` would find any; asks without a lock."""
    due = select(_hook.id).where(_can_run(connection)).limit(1)
    return connection.execute(due).first() is not None


def claim(
    connection: Connection, lease: float, owner: str, without: Collection[str] = ()
) -> Run | None:
    """Claim the next run of the hook whose turn it is.

    :param lease: seconds until it is due again if this process says no more about it.
    :param owner: who claims.
    :param without: those whose hooks are not to be run now.
    """
    where = _can_run(connection)
    if without:
        where = and_(where, _hook.owner.not_in(without))
    hooks = claim_rows(
        connection,
        hook_table,
        where,
        _turn(),
        1,
        {"free_at": clock(lease), "holder": owner, "taken_at": clock()},
        _HOOK,
    )
    if not hooks:
        return None
    hook = hooks[0]
    due = select(*_SHOWN).where(_run.hook_id == hook.id, IS_OPEN, _run.due_at <= clock())
    row = connection.execute(due.order_by(_run.id).limit(1)).first()
    if row is None:
        _release(connection, hook.id, owner)
        return None
    connection.execute(
        update(run_table)
        .where(_run.id == row.id)
        .values(attempts=_run.attempts + 1, due_at=clock(lease), owner=owner)
    )
    fields = dict(row._mapping)
    fields["attempts"] += 1
    hook_fields = {name: value for name, value in hook._mapping.items() if name != "id"}
    return Run(hook_id=hook.id, **hook_fields, **fields)


def _mine(run: Run) -> ColumnElement[bool]:
    # Only while the attempt is still ours: a lease that ran out may have given it to another.
    return and_(_run.id == run.id, _run.attempts == run.attempts)


def _release(connection: Connection, hook_id: int, owner: str, **values: Any) -> None:
    connection.execute(
        update(hook_table)
        .where(_hook.id == hook_id, _hook.holder == owner)
        .values(free_at=clock(), holder=None, **values)
    )


def _kept(output: str) -> str:
    # PostgreSQL has no text with a NUL in it.
    return output.replace("\x00", "\ufffd")


def done(connection: Connection, run: Run, owner: str, output: str) -> None:
    """The hook has been called."""
    values: dict[str, Any] = {"state": DONE, "owner": None, "error": None, "traceback": None}
    values |= {"output": _kept(output), "ended_at": clock(), "payload": None}
    connection.execute(update(run_table).where(_mine(run)).values(values))
    _release(connection, run.hook_id, owner, runs=_hook.runs + 1, error=None)


def fail(connection: Connection, run: Run, owner: str, failure: Failure, output: str) -> None:
    """The call failed: due again after the delay, or dead."""
    values = {**failed(failure), "output": _kept(output), "ended_at": clock()}
    if failure.delay is None:
        values["payload"] = None
    connection.execute(update(run_table).where(_mine(run)).values(values))
    counts: dict[str, Any] = {"runs": _hook.runs + 1, "failures": _hook.failures + 1}
    _release(connection, run.hook_id, owner, **counts, error=failure.error)


def give_back(connection: Connection, run: Run, owner: str) -> None:
    """Undo the claim, attempt included: the hook was not called."""
    values: dict[str, Any] = {"attempts": _run.attempts - 1, "due_at": clock(), "owner": None}
    connection.execute(update(run_table).where(_mine(run)).values(values))
    _release(connection, run.hook_id, owner)


def break_hook(connection: Connection, run: Run, owner: str, error: str, mark: str | None) -> None:
    """The hook cannot be loaded: its runs wait until it can.

    :param mark: what its file looks like; None when it comes from none.
    """
    give_back(connection, run, owner)
    connection.execute(
        update(hook_table)
        # Meanwhile it may have become one that has to be approved, and only that lets it run.
        .where(_hook.id == run.hook_id, _hook.state == OK)
        .values(
            state=BROKEN,
            error=Failure(error).error,
            broken_mark=mark,
            free_at=clock(_AGAIN),
            failures=_hook.failures + 1,
        )
    )


def mend(connection: Connection, look: Callable[[str], str | None]) -> int:
    """Try broken hooks again whose file has changed, or, where there is none, after a while;
    returns their number.

    :param look: what a file looks like now.
    """
    now: datetime | None = None
    mended = []
    rows = connection.execute(select(hook_table).where(_hook.state == BROKEN)).all()
    for row in rows:
        if row.type == "python_file":
            if look(row.arg) != row.broken_mark:
                mended.append(row.id)
            continue
        now = now or connection.scalar(select(clock()))
        if now is not None and row.free_at <= now:
            mended.append(row.id)
    if mended:
        connection.execute(
            update(hook_table)
            .where(_hook.id.in_(mended), _hook.state == BROKEN)
            .values(state=OK, broken_mark=None, free_at=clock())
        )
    return len(mended)


def give_up(connection: Connection, seconds: float) -> int:
    """Give runs up that have waited so long for a hook that is broken, or not approved; returns
    their number."""
    broken = select(_hook.id).where(_hook.state.in_((BROKEN, WAITING))).scalar_subquery()
    values = failed(Failure("its hook has been broken, or not approved, for too long"))
    given_up = connection.execute(
        update(run_table)
        .where(IS_OPEN, _run.created_at < clock(-seconds), _run.hook_id.in_(broken))
        .values(**values, payload=None, ended_at=clock())
    )
    return int(given_up.rowcount)


def release_of(connection: Connection, owner: str) -> None:
    """What a process held that is no more is due again; its attempts count."""
    free: dict[str, Any] = {"free_at": clock(), "holder": None}
    connection.execute(update(hook_table).where(_hook.holder == owner).values(free))
    due: dict[str, Any] = {"due_at": clock(), "owner": None}
    connection.execute(update(run_table).where(_run.owner == owner, IS_OPEN).values(due))


def holders(connection: Connection) -> list[str]:
    """Who holds hooks."""
    held = select(_hook.holder).where(_hook.holder.is_not(None)).distinct()
    return [str(each) for each in connection.scalars(held)]
