"""Consuming the outbox: claim with a lease, settle, give back. Documented in ``outbox.table``."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    Update,
    and_,
    bindparam,
    func,
    or_,
    select,
    update,
)

from eventworker.db import RowClaim, among, clock, update_rows
from eventworker.outbox.table import DEAD, READY, SENT, outbox_table

_outbox = outbox_table.c
_free = or_(_outbox.leased_until.is_(None), _outbox.leased_until <= clock())


@dataclass(frozen=True, slots=True)
class Row:
    """A claimed row. ``claims`` above 1 says that it may have been handled before."""

    id: UUID
    time: datetime
    source: str
    resource: str
    body: bytes
    traceparent: str | None
    tracestate: str | None
    stream: str | None
    seq: int | None
    claims: int


_ready = and_(_outbox.state == READY, _free)


def _claim_of(where: ColumnElement[bool]) -> RowClaim:
    return RowClaim(
        outbox_table,
        where,
        _outbox.id,
        {
            "leased_until": clock(bindparam("lease", type_=Float)),
            "owner": bindparam("by", type_=_outbox.owner.type),
            "claims": _outbox.claims + 1,
        },
        (
            _outbox.id,
            _outbox.time,
            _outbox.source,
            _outbox.resource,
            _outbox.body,
            _outbox.traceparent,
            _outbox.tracestate,
            _outbox.stream,
            _outbox.seq,
            _outbox.claims,
        ),
    )


#: By whether some resources are passed over.
_claims = {
    False: _claim_of(_ready),
    True: _claim_of(and_(_ready, _outbox.resource.not_in(bindparam("without", expanding=True)))),
}


def claim(
    connection: Connection, limit: int, lease: float, owner: str, without: Collection[str] = ()
) -> list[Row]:
    """Lease up to ``limit`` ready rows to ``owner`` for ``lease`` seconds, oldest first.

    :param without: resources whose events are passed over.
    """
    parameters: dict[str, Any] = {"lease": lease, "by": owner}
    if without:
        parameters["without"] = list(without)
    rows: Any = _claims[bool(without)].rows(connection, limit, parameters)
    return sorted((Row(*row) for row in rows), key=lambda row: row.id.int)


def _these(connection: Connection, ids: Sequence[UUID]) -> ColumnElement[bool]:
    return among(connection.dialect.name, _outbox.id, ids)


def _mine(owner: str) -> ColumnElement[bool]:
    return and_(_outbox.owner == owner, _outbox.state == READY)


def extend(connection: Connection, ids: Sequence[UUID], lease: float, owner: str) -> set[UUID]:
    """Renew leases; returns the ids that are still this owner's."""
    rows = update_rows(
        connection,
        outbox_table,
        ids,
        _mine(owner),
        {"leased_until": clock(lease)},
        (_outbox.id,),
    )
    return {row.id for row in rows}


def settle(connection: Connection, ids: Sequence[UUID], check_in: float | None = None) -> None:
    """These are done with: handled, or confirmed by the broker.

    :param check_in: seconds until somebody looks whether they have been handled; None if they have.
    """
    if not ids:
        return
    parameters: dict[str, Any] = {"ids": list(ids)}
    if check_in is not None:
        parameters["check_in"] = check_in
    statement = _settling(connection.dialect.name, check_in is not None)
    connection.execute(statement, parameters)


@cache
def _settling(dialect: str, checked: bool) -> Update:
    ids: Any = bindparam("ids", expanding=dialect != "postgresql")
    return (
        update(outbox_table)
        .where(among(dialect, _outbox.id, ids), _outbox.state == READY)
        .values(
            state=SENT,
            settled_at=func.coalesce(_outbox.settled_at, clock()),
            sent_at=clock(),
            check_at=clock(bindparam("check_in", type_=Float)) if checked else None,
            leased_until=None,
            owner=None,
        )
    )


def bury(connection: Connection, event_id: UUID, error: str) -> None:
    """This one can never be published; the others go on."""
    connection.execute(
        update(outbox_table)
        .where(_outbox.id == event_id)
        .values(
            state=DEAD,
            settled_at=func.coalesce(_outbox.settled_at, clock()),
            error=error,
            leased_until=None,
            owner=None,
        )
    )


def give_back(connection: Connection, ids: Sequence[UUID], owner: str, delay: float = 0.0) -> None:
    """Return rows unhandled; they are free again after ``delay`` seconds."""
    if not ids:
        return
    connection.execute(
        update(outbox_table)
        .where(_these(connection, ids), _mine(owner))
        .values(leased_until=clock(delay), owner=None)
    )


def release_owner(connection: Connection, owner: str, but: Collection[UUID] = ()) -> int:
    """Free the leases of a dead process, or those that a live one does not know of; returns their
    number.

    A COMMIT whose answer is lost leases rows that nobody would work on until the lease ran out.

    :param but: the rows that are in hand.
    """
    theirs = _mine(owner)
    released = connection.execute(
        update(outbox_table)
        .where(and_(theirs, _outbox.id.not_in(but)) if but else theirs)
        .values(leased_until=None, owner=None)
    )
    return released.rowcount


def owners(connection: Connection) -> list[str]:
    """The processes that hold leases."""
    held = (
        select(_outbox.owner).where(_outbox.owner.is_not(None), _outbox.state == READY).distinct()
    )
    return [owner for owner in connection.scalars(held) if owner]
