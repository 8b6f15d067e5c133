"""What is needed to say that an event was lost on its way: that it has left the queue, is in
nobody's hands, and a plugin that it is owed to has no outcome for it.

Documented in ``docs/explanation/decisions.rst``.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Engine

from eventworker.db import short_transaction
from eventworker.engine.attempt import Caller, End
from eventworker.engine.filters import Filter
from eventworker.engine.loader import Loaded
from eventworker.engine.slot import Slot
from eventworker.errors import DecodeError
from eventworker.event import Event, decode
from eventworker.inbox import registry
from eventworker.inbox.claims import Outcome
from eventworker.inbox.outcomes import outcomes_of
from eventworker.inbox.registry import Registered
from eventworker.outbox import sent
from eventworker.outbox.sent import Sent

#: The outcomes that as a rule come of a delivery.
_OF_A_DELIVERY = {Outcome.DONE, Outcome.SKIPPED, Outcome.DEAD}

#: What is dated by more than this apart has also happened in that order: a row is dated after the
#: broker's confirm, which the relay waits for up to 30 s, and consumers know a new plugin later.
CLEARLY = timedelta(seconds=60)


class Horizon:
    """Up to when all that was sent has left the queue, and can be in nobody's hands any more.

    What has left the queue may still be in the hands of a consumer, so a fact is of use only
    ``in_hand`` seconds after it was seen.
    """

    def __init__(self, in_hand: float) -> None:
        self._in_hand = timedelta(seconds=in_hand)
        self._seen: deque[tuple[datetime, datetime]] = deque()
        self._proven: datetime | None = None

    def note(self, moment: datetime, sent_before: datetime) -> None:
        """At ``moment``, what was sent before ``sent_before`` had left the queue."""
        if not self._seen or sent_before > self._seen[-1][1]:
            self._seen.append((moment, sent_before))

    def at(self, moment: datetime) -> datetime | None:
        """What was sent before this is either handled by now or lost; None if nobody knows."""
        while self._seen and self._seen[0][0] <= moment - self._in_hand:
            self._proven = self._seen.popleft()[1]
        return self._proven

    def forget(self) -> None:
        """Consumers have waited for the database, and what they have in hand is older than we
        thought."""
        self._seen.clear()
        self._proven = None


class Verdict(enum.Enum):
    """How far a sent event has come."""

    #: Each plugin that it is owed to has an outcome, and one at least is of a delivery.
    HANDLED = "handled"
    #: Each has an outcome, but none that shows that the event has left the queue: a backfill owes
    #: what still waits there, an erasure discards it, and a reconciler may die of asking about it.
    KEPT = "kept"
    #: It is owed to nobody, so it leaves no trace where it is dispatched.
    UNWANTED = "unwanted"
    LACKING = "lacking"
    #: Only a plugin that is not loaded here lacks it, and nobody here knows whether it wants it.
    UNSURE = "unsure"


@dataclass(frozen=True, slots=True)
class Judge:
    """Finds out how far events have come, asking filters and ``wants()`` as a consumer does.

    :param slot: the caller's: an event that was asked about is in nobody's call any more.
    :param narrowing: what the configuration says of a plugin that is not loaded here, by name.
    """

    engine: Engine
    caller: Caller
    slot: Slot
    loaded: Sequence[Loaded]
    narrowing: Callable[[str], Filter]
    max_event_bytes: int

    def judge(self, rows: Sequence[Sent]) -> dict[UUID, Verdict]:
        """A verdict on each row.

        :raises DatabaseUnavailable: when the database is away.
        """
        ids = [row.id for row in rows]
        with short_transaction(self.engine) as connection:
            known = [each for each in registry.read(connection) if each.state == registry.ON]
            outcomes = outcomes_of(connection, ids)
            owed = {row.id: [each for each in known if _is_owed(row, each)] for row in rows}
            open_ids = [
                row.id
                for row in rows
                if any(each.number not in outcomes[row.id] for each in owed[row.id])
            ]
            bodies = sent.messages(connection, open_ids)
        verdicts = {}
        for row in rows:
            lacking = [each for each in owed[row.id] if each.number not in outcomes[row.id]]
            verdict = self._without(bodies.get(row.id), lacking)
            if verdict is Verdict.UNWANTED and len(lacking) < len(owed[row.id]):
                came = not _OF_A_DELIVERY.isdisjoint(outcomes[row.id].values())
                verdict = Verdict.HANDLED if came else Verdict.KEPT
            verdicts[row.id] = verdict
        return verdicts

    def _without(self, row: Any, lacking: Sequence[Registered]) -> Verdict:
        """The verdict on an event that these plugins have no outcome for."""
        event = self._decoded(row) if lacking and row is not None else None
        if event is None:
            return Verdict.UNWANTED
        verdict = Verdict.UNWANTED
        for each in lacking:
            plugin = next(
                (one for one in self.loaded if one.name.lower() == each.name.lower()), None
            )
            if plugin is None:
                if self.narrowing(each.name).admits(event):
                    verdict = Verdict.UNSURE
            elif self._wants(plugin, each, event):
                return Verdict.LACKING
        return verdict

    def _decoded(self, row: Any) -> Event | None:
        """The event; None for bytes that are none: a consumer puts them into the quarantine."""
        try:
            return decode(
                row.body,
                id=row.id,
                time=row.time,
                source=row.source,
                max_bytes=self.max_event_bytes,
            )
        except DecodeError:
            return None

    def _wants(self, plugin: Loaded, known: Registered, event: Event) -> bool:
        if not plugin.admits(event):
            return False
        if known.is_paused:
            return True  # nothing of it is called, and whoever dispatches the event keeps it
        result = self.caller.ask(plugin, known.number, event, attempt=1)
        self.slot.leave()
        # One that fails is owed the event: where it is dispatched, that is an attempt.
        return result is None or result.end is not End.UNWANTED


def _is_owed(row: Sent, known: Registered) -> bool:
    """Whether the plugin was on when the event was sent, and every consumer knew."""
    return known.since + CLEARLY < row.sent_at
