"""Erasing what is kept of events beyond their ids, wherever it stands, in small bites.

The ids stay, in the inbox and in the registry: they say nothing of anybody, and by them nothing is
handled twice. Documented in ``docs/howto/retention-and-erasure.rst``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    func,
    select,
    tuple_,
    update,
)

from eventworker.db import clock, short_transaction
from eventworker.effects.table import effect_table
from eventworker.engine.kept import PLACES, Row, locked, remove
from eventworker.engine.loader import Discovery
from eventworker.erasure import Erasure
from eventworker.errors import DatabaseUnavailable
from eventworker.inbox import registry
from eventworker.inbox.backlog import delivery_table
from eventworker.inbox.claims import Outcome, inbox_table, note
from eventworker.inbox.quarantine import quarantine_table
from eventworker.outbox.table import outbox_table

_delivery, _outbox, _inbox = delivery_table.c, outbox_table.c, inbox_table.c
_effect, _quarantine = effect_table.c, quarantine_table.c

#: Rows whose bodies are in memory at a time, and that are erased in one transaction.
_BITE = 50
#: Tries of one bite: a deadlock with a consumer fails one of the two.
_TRIES = 5


@dataclass(slots=True)
class Erased:
    """What has come of an erasure.

    :ivar rows: by table, or by plugin for what plugins have erased.
    :ivar waiting: events that were left, since they are still to be handled.
    :ivar held: events that were left, since a process has them in hand right now.
    :ivar failed: plugins whose ``erase()`` has raised, with the reason.
    """

    rows: Counter[str] = field(default_factory=Counter)
    waiting: set[UUID] = field(default_factory=set)
    held: set[UUID] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)


class Eraser:
    """One erasure, committed bite by bite; run again, it goes on with what is left.

    :param open_too: also what is still to be handled: it is discarded.
    :param dry_run: change nothing.
    :ivar progress: called with the number of rows that have been looked at.
    :ivar erased: also after an error, what was done until then.
    """

    def __init__(
        self,
        engine: Engine,
        erasure: Erasure,
        *,
        open_too: bool = False,
        dry_run: bool = False,
    ) -> None:
        self.erased = Erased()
        self.progress: Callable[[int], None] = lambda count: None
        self._engine = engine
        self._erasure = erasure
        self._open_too = open_too
        self._dry_run = dry_run
        self._looked_at = 0

    def size(self) -> int:
        """The number of rows that :meth:`run` will look at."""
        tables = [quarantine_table]
        if self._erasure.event is None:
            tables += [place.table for place in PLACES if place.body is not None]
        counts = (select(func.count()).select_from(table) for table in tables)
        with short_transaction(self._engine) as connection:
            return sum(connection.scalar(each) or 0 for each in counts)

    def run(self) -> Erased:
        """Erase from all tables.

        :raises DatabaseUnavailable: when the database is away.
        """
        for ids in self._found():
            self._insistently(partial(self._erase_events, ids))
        self._erase_quarantined()
        return self.erased

    def ask(self, plugins: Discovery) -> None:
        """Let the plugins erase what they keep themselves: those that have ``erase()``."""
        for each in plugins.loaded:
            erase = getattr(each.plugin, "erase", None)
            if not callable(erase):
                continue
            try:
                with short_transaction(self._engine) as connection:
                    count = erase(connection, self._erasure)
                    if self._dry_run:
                        connection.rollback()
            except DatabaseUnavailable:
                raise
            except Exception as error:
                self.erased.failed[each.name] = f"{type(error).__name__}: {error}"
            else:
                self.erased.rows[f"plugin {each.name}"] += int(count or 0)

    def _found(self) -> Iterator[list[UUID]]:
        """The ids of the events that the erasure covers, some at a time."""
        if self._erasure.event is not None:
            yield [self._erasure.event]
            return
        for place in PLACES:
            if place.body is None:
                continue
            last: UUID | None = None
            while page := self._page(place.event_id, place.body, last):
                last = page[-1][0]
                if found := [id for id, body in page if self._erasure.covers_body(id, body)]:
                    yield found

    def _page(
        self, key: ColumnElement[Any], body: ColumnElement[bytes], last: Any
    ) -> Sequence[Any]:
        after = [] if last is None else [key > last]
        with short_transaction(self._engine) as connection:
            rows = connection.execute(
                select(key, body).where(*after).order_by(key).limit(_BITE)
            ).all()
        self._count(len(rows))
        return rows

    def _count(self, rows: int) -> None:
        self._looked_at += rows
        self.progress(self._looked_at)

    def _insistently(self, work: Callable[[Connection], None]) -> None:
        for tries_left in reversed(range(_TRIES)):
            try:
                with short_transaction(self._engine) as connection:
                    return work(connection)
            except DatabaseUnavailable:
                if not tries_left:
                    raise
        raise AssertionError("the last try returns or raises")

    def _erase_events(self, ids: Sequence[UUID], connection: Connection) -> None:
        rows = {place: locked(connection, place, ids) for place in PLACES}
        every = [row for found in rows.values() for row in found]
        held = {row.event_id for row in every if row.held}
        waiting = {row.event_id for row in every if row.waits} - held
        left = held if self._open_too else held | waiting
        gone = {
            place: [r for r in found if r.event_id not in left] for place, found in rows.items()
        }
        if not self._dry_run:
            for place, these in gone.items():
                remove(connection, place.table, [row.key for row in these])
            self._discard(connection, [row for these in gone.values() for row in these])
        self.erased.held |= held
        self.erased.waiting |= left - held
        for place, these in gone.items():
            self.erased.rows[place.table.name] += len(these)

    def _discard(self, connection: Connection, gone: Sequence[Row]) -> None:
        pairs = [(row.event_id, row.plugin) for row in gone if row.plugin is not None]
        unsettled = (Outcome.PENDING, Outcome.RETRY, Outcome.DEAD)
        if pairs:
            connection.execute(
                update(inbox_table)
                .where(
                    tuple_(_inbox.event_id, _inbox.plugin).in_(pairs),
                    _inbox.outcome.in_([int(each) for each in unsettled]),
                )
                .values(outcome=int(Outcome.DISCARDED), at=clock())
            )
        if self._open_too:
            # What has not been handed to anybody yet, or comes again, finds that it is over.
            known = registry.read(connection)
            on = [each.number for each in known if each.state == registry.ON]
            for event_id in {row.event_id for row in gone}:
                note(connection, event_id, on, Outcome.DISCARDED)

    def _erase_quarantined(self) -> None:
        last = 0
        while True:
            with short_transaction(self._engine) as connection:
                ids = connection.scalars(
                    select(_quarantine.id)
                    .where(_quarantine.id > last)
                    .order_by(_quarantine.id)
                    .limit(_BITE)
                ).all()
            if not ids:
                return
            for number in ids:
                self._insistently(partial(self._erase_entry, number))
            last = ids[-1]

    def _erase_entry(self, number: int, connection: Connection) -> None:
        # One at a time: each may have a hundred megabytes.
        row = connection.execute(
            select(_quarantine.properties, _quarantine.body).where(_quarantine.id == number)
        ).one_or_none()
        self._count(1)
        if row is None:
            return
        said_beside = self._erasure.event is not None and str(self._erasure.event) in row.properties
        if not said_beside and not self._erasure.is_named_in(row.body):
            return
        if not self._dry_run:
            remove(connection, quarantine_table, [(number,)])
        self.erased.rows[quarantine_table.name] += 1
