"""What a broker has confirmed, until it is found handled::

    relay ──▶ sent, check_at ──┬─▶ sent, no check_at   every plugin has its outcome
                ▲              ├─▶ ready               it has none and is nowhere: published again
                └──── relay ◀──┘
                               └─▶ lost                published again too often; an operator's

The verbs here only move rows. Who finds out is the engine's reconciler. Two of them may look at the
same row: what one has decided, the other's verb finds changed and leaves alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, and_, bindparam, or_, select, update

from eventworker.db import clock
from eventworker.outbox.past import past_events
from eventworker.outbox.table import CHECK_INDEX, LOST, READY, SENT, outbox_table

_outbox = outbox_table.c
#: Seconds between two looks at one row at the most, while it waits in a long queue.
_LONGEST_PAUSE = 3600.0


@dataclass(frozen=True, slots=True)
class Sent:
    """A row that is not known to be handled.

    :ivar sent_at: when the broker had confirmed it last, by the database's clock.
    :ivar republished: how often it has been published again.
    """

    id: UUID
    sent_at: datetime
    check_at: datetime
    republished: int


def now(connection: Connection) -> datetime:
    """The time that rows are dated by."""
    told: datetime = connection.execute(select(clock())).scalar_one()
    return told


def unproven(
    connection: Connection, limit: int, until: datetime | None, after: Sent | None
) -> list[Sent]:
    """The next rows that are not known to be handled.

    :param until: only those that are due by then; None for all.
    :param after: the last one that was seen.
    """
    where = [_outbox.state == SENT, _outbox.check_at.is_not(None)]
    if until is not None:
        where.append(_outbox.check_at <= until)
    if after is not None:
        later = _outbox.check_at > after.check_at
        same = and_(_outbox.check_at == after.check_at, _outbox.id > after.id)
        where.append(or_(later, same))
    rows = connection.execute(
        select(_outbox.id, _outbox.sent_at, _outbox.check_at, _outbox.republished)
        .where(*where)
        # The hint, since the other index, by state, has every row that was sent these days.
        .with_hint(outbox_table, f"FORCE INDEX ({CHECK_INDEX})", "mariadb")
        .order_by(_outbox.check_at, _outbox.id)
        .limit(limit)
    )
    return [Sent(*row) for row in rows]


def messages(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, Any]:
    """The rows themselves, with the columns of a message."""
    if not ids:
        return {}
    rows = connection.execute(past_events().where(_outbox.id.in_(ids)))
    return {row.id: row for row in rows}


def handled(connection: Connection, rows: Sequence[Sent]) -> None:
    """Nobody needs to look at these again."""
    if rows:
        connection.execute(
            update(outbox_table)
            .where(_outbox.id.in_([row.id for row in rows]), _outbox.state == SENT)
            .values(check_at=None)
        )


def postpone(connection: Connection, rows: Sequence[Sent], at: datetime) -> None:
    """Look at these again when they are twice as old: so a row in a long queue costs little."""
    if not rows:
        return
    longest = timedelta(seconds=_LONGEST_PAUSE)
    connection.execute(
        update(outbox_table)
        .where(_outbox.id == bindparam("row"), _outbox.state == SENT)
        .values(check_at=bindparam("later")),
        [{"row": row.id, "later": at + min(at - row.sent_at, longest)} for row in rows],
    )


def republish(connection: Connection, rows: Sequence[Sent], *, counted: bool = True) -> int:
    """Have the relay publish these again; returns how many were still as they were seen.

    :param counted: that is one of the times after which an event is given up; else only that it was
        published again at all is noted.
    """
    return sum(
        _changed(
            connection,
            [row for row in rows if row.republished == count],
            count,
            {
                "state": READY,
                "republished": count + 1 if counted else max(count, 1),
                "leased_until": None,
            },
        )
        for count in {row.republished for row in rows}
    )


def give_up(connection: Connection, row: Sent, error: str) -> bool:
    """This one was published again too often; False when somebody else has moved it meanwhile."""
    return bool(_changed(connection, [row], row.republished, {"state": LOST, "error": error}))


def _changed(
    connection: Connection, rows: Sequence[Sent], republished: int, values: dict[str, Any]
) -> int:
    changed = connection.execute(
        update(outbox_table)
        .where(
            _outbox.id.in_([row.id for row in rows]),
            _outbox.state == SENT,
            _outbox.republished == republished,
        )
        .values(check_at=None, **values)
    )
    return changed.rowcount
