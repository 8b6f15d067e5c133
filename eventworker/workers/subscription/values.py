"""What a statement leaves open, so that it can be used for the next event of the same shape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import BindParameter, ColumnElement, bindparam
from sqlalchemy.types import TypeEngine

from eventworker.event import Event
from eventworker.workers.subscription.comparing import comparable, fitted
from eventworker.workers.subscription.concern import Place


@dataclass(frozen=True, slots=True)
class Case:
    """One event, and what a notification of it says.

    :param word: the event type.
    """

    event: Event
    places: Sequence[Place]
    word: str
    info: dict[str, Any]


class Values:
    """The open values of one statement."""

    def __init__(self) -> None:
        self._makers: dict[str, Callable[[Case], Any]] = {}

    def open(
        self, kind: TypeEngine[Any], make: Callable[[Case], Any], *, is_list: bool = False
    ) -> BindParameter[Any]:
        """A value that ``make`` finds for each event."""
        # A name that no column has: SQLAlchemy would take it for that column's value.
        name = f"open value {len(self._makers)}"
        self._makers[name] = make
        return bindparam(name, type_=kind, expanding=is_list)

    def of(self, case: Case) -> dict[str, Any]:
        """The values for one event."""
        return {name: make(case) for name, make in self._makers.items()}


class Id(Protocol):
    """The id of a resource, known or found in the database."""

    def equals(self, column: ColumnElement[Any]) -> ColumnElement[bool]:
        """Whether a column holds it, in SQL."""


class KnownId:
    """The id of an event's place; a column that cannot hold it holds something else."""

    def __init__(self, values: Values, index: int) -> None:
        self._values = values
        self._index = index

    def equals(self, column: ColumnElement[Any]) -> ColumnElement[bool]:
        kind, index = column.type, self._index
        return column == self._values.open(kind, lambda case: fitted(case.places[index].id, kind))


class FoundId:
    """The id in a column of a table that the statement reads."""

    def __init__(self, column: ColumnElement[Any]) -> None:
        self._column = column

    def equals(self, column: ColumnElement[Any]) -> ColumnElement[bool]:
        left, right = comparable(column, self._column)
        return left == right
