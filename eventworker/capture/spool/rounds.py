"""Moving what waits to the target, one batch after the other. Who may do it, and when, is decided
in `drainer` and by the command line."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from eventworker.capture.spool import salvage, waiting
from eventworker.capture.spool.alarm import Alarm, Say
from eventworker.capture.spool.store import Store
from eventworker.capture.spool.waiting import Refusal, Waiting
from eventworker.errors import TransportError, TransportUnavailable, Unroutable
from eventworker.transport import Transport

log = logging.getLogger(__name__)

#: Messages, and bytes of their bodies, that one round takes.
BATCH, BATCH_BYTES = 200, 4 * 1024 * 1024
#: Seconds for the target to take them.
_PATIENCE = 10.0
#: Seconds before what the broker has no queue for is offered again.
_UNROUTABLE_PAUSE = 30.0
#: Pages given back to the disk at a time, and how many free ones are kept for the next events.
_SHRINK, _KEEP = 1000, 256


@dataclass(slots=True)
class _Outcome:
    """What the target said, until the file knows it too."""

    delivered: list[Waiting]
    refused: list[Refusal]


class Rounds:
    """Empties one file into one target; to be used by the holder of the drain lock."""

    def __init__(self, store: Store, alarm: Alarm, target: Transport) -> None:
        self._store = store
        self._alarm = alarm
        self._target = target
        self._unwritten: _Outcome | None = None
        self._readmit_at = 0.0

    def once(self) -> int:
        """Deliver the next batch; returns how many messages left the queue, 0 if none waits.

        :raises TransportUnavailable: when the target is away; what it took is settled.
        :raises SpoolError: when the file cannot be used.
        """
        self._write_down()
        rows = self._next()
        self._salvage()  # after the look that may have found the file damaged
        if not rows:
            return 0
        damaged = [
            Refusal(row, "its bytes in the spool are damaged", False)
            for row in rows
            if not row.intact
        ]
        good = [row for row in rows if row.intact]
        outcome, away = self._deliver(good)
        outcome.refused += damaged
        for each in damaged:
            log.error("an event was put aside in the spool %s: %s", self._store.path, each.reason)
        self._unwritten = outcome
        self._write_down()
        if away is not None:
            raise away
        return len(rows)

    def shrink(self) -> None:
        """After a flood, when nothing waits: give the file's free pages back to the disk."""
        bites = (self._store.read(_free_pages) - _KEEP) // _SHRINK
        for _ in range(bites):
            self._store.maintain(f"PRAGMA incremental_vacuum({_SHRINK})")
        if bites > 0:
            # The file gets shorter when the log is copied into it; PASSIVE makes nobody wait.
            self._store.maintain("PRAGMA wal_checkpoint(PASSIVE)")

    def _next(self) -> list[Waiting]:
        if time.monotonic() >= self._readmit_at and self._store.read(waiting.has_unroutable):
            self._store.write(waiting.readmit, headroom=True)
        return self._store.read(lambda connection: waiting.head(connection, BATCH, BATCH_BYTES))

    def _deliver(self, rows: Sequence[Waiting]) -> tuple[_Outcome, TransportError | None]:
        results = self._target.publish([row.message for row in rows], _PATIENCE)
        outcome = _Outcome([], [])
        away: TransportError | None = None
        for row, error in zip(rows, results, strict=True):
            if error is None:
                outcome.delivered.append(row)
            elif isinstance(error, TransportUnavailable):
                away = error
            else:
                again = isinstance(error, Unroutable)
                outcome.refused.append(Refusal(row, str(error), again))
                if again:
                    self._readmit_at = time.monotonic() + _UNROUTABLE_PAUSE
                log.error(
                    "an event was put aside in the spool %s%s: %s",
                    self._store.path,
                    f", for {_UNROUTABLE_PAUSE:g} s" if again else "",
                    error,
                    extra={"event": str(row.message.id)},
                )
        return outcome, away

    def _write_down(self) -> None:
        """Forget in the file what the target has.

        If that fails (a full disk), it is tried again before anything else is delivered: a broker
        would otherwise be given the same batch over and over.
        """
        outcome = self._unwritten
        if outcome is None:
            return

        def work(connection: sqlite3.Connection) -> Say | None:
            waiting.settle(connection, outcome.delivered, outcome.refused)
            return self._alarm.look(connection)

        say = self._store.write(work, headroom=True)
        self._unwritten = None
        if say is not None:
            say()

    def _salvage(self) -> None:
        """What is left of damaged files comes first: it is older than all that waits."""
        for path in salvage.damaged_files(self._store.path):
            count = 0
            for rows in _batches(salvage.readable(path)):
                outcome, away = self._deliver(rows)
                if away is not None:
                    raise away
                self._put_aside(outcome.refused)
                count += len(outcome.delivered)
            self._put_aside(salvage.refused(path))
            salvage.mark_done(path)
            log.warning(
                "%d events could be read of the damaged spool %s and are delivered; "
                "it is kept beside it",
                count,
                path,
            )

    def _put_aside(self, refused: list[Refusal]) -> None:
        if refused:
            self._store.write(
                lambda connection: waiting.put_aside(connection, refused), headroom=True
            )


def _batches(rows: Iterable[Waiting]) -> Iterator[list[Waiting]]:
    """As many at a time as one round takes."""
    batch: list[Waiting] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += len(row.message.body)
        if len(batch) == BATCH or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _free_pages(connection: sqlite3.Connection) -> int:
    free: int = connection.execute("PRAGMA freelist_count").fetchone()[0]
    return free
