"""What the rows have in common that are tried until they are done: deliveries and effects.

``due_at`` doubles as the lease: a claimed row is due again when the lease ends, so nothing has to
rescue it. The attempt is counted when the row is claimed, in a transaction of its own: a call that
takes the process down cannot take its own count with it. All times are the database's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    SmallInteger,
    String,
    Table,
    Text,
    and_,
    not_,
    select,
)

from eventworker.db.clock import UTCDateTime, clock
from eventworker.secret import hidden

PENDING, RETRY, DEAD = "pending", "retry", "dead"
#: Seconds that a plugin may ask for at the most: a year, which every database can add to a date.
LONGEST_DELAY = 366 * 86400.0


def attempt_columns() -> list[Column[Any]]:
    """How far a row has come, who holds it until when, and what the last failure said."""
    return [
        Column("state", String(10), nullable=False),
        Column("attempts", SmallInteger, nullable=False),
        Column("due_at", UTCDateTime, nullable=False),
        Column("owner", String(120)),
        Column("error", Text),
        Column("traceback", Text),
        Column("created_at", UTCDateTime, nullable=False),
    ]


@dataclass(frozen=True, slots=True)
class Failure:
    """How a call failed.

    :param delay: seconds until the next attempt; None when there is none: a dead letter.
    """

    error: str
    traceback: str = ""
    delay: float | None = None

    def __post_init__(self) -> None:
        # It must not fail to be written down because of what the plugin said, nor tell a secret.
        object.__setattr__(self, "error", _storable(hidden(self.error))[:_ERROR_LENGTH])
        trace = _storable(hidden(self.traceback))
        object.__setattr__(self, "traceback", trace[-_TRACEBACK_LENGTH:])


#: Characters that are kept of an error and of a traceback.
_ERROR_LENGTH, _TRACEBACK_LENGTH = 4000, 16000


def _storable(text: str) -> str:
    """Without what no text column takes: NUL (PostgreSQL) and lone surrogates."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


def failed(failure: Failure) -> dict[str, Any]:
    """What a claimed row becomes when its call has failed; nobody holds it any more."""
    return {
        "state": DEAD if failure.delay is None else RETRY,
        "due_at": clock(failure.delay or 0.0),
        "error": failure.error,
        "traceback": failure.traceback,
        "owner": None,
    }


def in_call(table: Table) -> ColumnElement[bool]:
    """Whether a process is calling the plugin with it right now."""
    return and_(table.c.owner.is_not(None), table.c.due_at > clock())


def at_rest(table: Table, states: tuple[str, ...]) -> ColumnElement[bool]:
    """In one of these states, and in nobody's hands."""
    return and_(table.c.state.in_(states), not_(in_call(table)))


def refusals(
    connection: Connection, table: Table, ids: Iterable[int], states: tuple[str, ...], what: str
) -> dict[int, str]:
    """Those ids that a verb for ``states`` will not touch, with the reason.

    :param what: what a row of this table is called.
    """
    ids = list(ids)
    rows = connection.execute(
        select(table.c.id, table.c.state, in_call(table).label("in_call")).where(
            table.c.id.in_(ids)
        )
    )
    found = {row.id: row for row in rows}
    reasons: dict[int, str] = {}
    for number in ids:
        if number not in found:
            reasons[number] = f"there is no such {what} (any more)"
        elif found[number].in_call:
            reasons[number] = "its plugin is being called right now"
        elif found[number].state not in states:
            reasons[number] = f"it is {found[number].state}"
    return reasons
