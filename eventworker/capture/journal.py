"""What one transaction of one session has changed so far, and what that amounts to."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy.orm import InstanceState, SessionTransaction

from eventworker.capture.images import Captured, Snapshot
from eventworker.capture.request import RequestFacts


class Kind(enum.Enum):
    """What happened to an object; the value is the event's method."""

    CREATED = "POST"
    CHANGED = "PUT"
    DELETED = "DELETE"


@dataclass(frozen=True, slots=True)
class Change:
    """What one flush did to one object.

    :param instance: kept, since the session holds an unchanged object only weakly.
    :param before: None for a created object.
    :param hidden: whether a column was changed that appears in no image.
    :param unset: see :meth:`~eventworker.capture.images.Captured.unset`.
    :param is_stale: see :class:`Pending`.
    """

    kind: Kind
    captured: Captured
    state: InstanceState[Any]
    instance: Any
    before: Snapshot | None = None
    hidden: bool = False
    unset: frozenset[str] = frozenset()
    is_stale: bool = False


@dataclass(frozen=True, slots=True)
class Pending:
    """An object that is about to be flushed.

    :param before: as its row was.
    :param changed: attributes with a change.
    :param is_stale: the session takes the row for something that it no longer is.
    """

    before: Snapshot
    changed: frozenset[str] = frozenset()
    is_stale: bool = False


@dataclass(slots=True)
class Journal:
    """The changes of one transaction, in the order of the flushes.

    :ivar pending: objects about to be flushed.
    :ivar marks: how long the log was when each open savepoint was set.
    :ivar sealed: the events have been written; what is flushed later is written at once.
    :ivar written: names of the resources that events were written of, in the request ``facts``.
    :ivar ending: the savepoint whose end was announced last.
    :ivar all_ending: the savepoints are ending because the transaction is.
    """

    log: list[Change] = field(default_factory=list)
    pending: dict[InstanceState[Any], Pending] = field(default_factory=dict)
    marks: dict[SessionTransaction, int] = field(default_factory=dict)
    sealed: bool = False
    written: set[str] = field(default_factory=set)
    facts: RequestFacts | None = None
    ending: SessionTransaction | None = None
    all_ending: bool = False

    def forget_since(self, savepoint: SessionTransaction) -> None:
        """The savepoint was rolled back to."""
        del self.log[self.marks.pop(savepoint, len(self.log)) :]

    def take(self) -> list[Change]:
        """One change for each object that is different from before; the log is empty then."""
        taken = merged(self.log)
        self.log.clear()
        return taken


def merged(changes: Iterable[Change]) -> list[Change]:
    """The changes of several flushes as one per object: the first before, and what is left.

    Created and deleted in one transaction is nothing; deleted and added again is a change.
    """
    result: dict[InstanceState[Any], Change] = {}
    for change in changes:
        first = result.pop(change.state, None)
        both = change if first is None else _after(first, change)
        if both is not None:
            result[change.state] = both
    return list(result.values())


def _after(first: Change, then: Change) -> Change | None:
    if first.kind is Kind.CREATED and then.kind is Kind.DELETED:
        return None
    hidden, is_stale = first.hidden or then.hidden, first.is_stale or then.is_stale
    if first.kind is Kind.CREATED:
        return replace(first, hidden=hidden, is_stale=is_stale)
    both = replace(then, before=first.before, hidden=hidden, is_stale=is_stale)
    return both if then.kind is Kind.DELETED else replace(both, kind=Kind.CHANGED)
