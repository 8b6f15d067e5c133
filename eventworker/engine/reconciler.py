"""The reconciler: finds what the broker confirmed and no plugin ever got, and has it published
again.

A wiped broker, a purged or deleted queue, a wrong binding: the events are still in the outbox.
Publishing one that was not lost does no harm, since the inbox absorbs it; what must not happen is
that a long but healthy queue is published a second time. See ``engine/reconciliation.py``.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from eventworker import transports
from eventworker.db import configured_engine, first_line, short_transaction
from eventworker.engine import timelimit
from eventworker.engine.attempt import Caller
from eventworker.engine.child import Child
from eventworker.engine.consumer import find_plugins, longest_hold
from eventworker.engine.filters import EVERYTHING, Filter, configured
from eventworker.engine.loader import Discovery
from eventworker.engine.reconciliation import CLEARLY, Horizon, Judge, Verdict
from eventworker.engine.slot import Slot
from eventworker.errors import ConfigError, DatabaseUnavailable, TransportError
from eventworker.outbox import sent
from eventworker.outbox.sent import Sent
from eventworker.service import Service
from eventworker.transport import Transport

log = logging.getLogger(__name__)

#: Rows looked at in one go, and rows published again per round: new events are not to wait behind
#: a whole day's.
_PAGE, _MOST = 500, 1000
#: Times that an event is published again. What then still has no outcome has another trouble.
LIMIT = 3
#: Longest pause in seconds between two rounds.
_EVERY = 15.0
#: Seconds until it is said again that something cannot be decided here.
_REMIND_EVERY = 3600.0
_LOST = (
    "published again {0} times and never handled: see that queue and bindings are right, and then: "
    "eventworker outbox retry {1}"
)


@dataclass(slots=True)
class Tally:
    """What became of the rows that were looked at.

    :ivar republished: lost, and to be published again.
    :ivar lost: given up on.
    :ivar waiting: without an outcome, and perhaps still on their way.
    :ivar unsure: lacking to a plugin that is not loaded here, and only to it.
    """

    handled: int = 0
    republished: int = 0
    lost: int = 0
    waiting: int = 0
    unsure: int = 0


class Reconciler:
    """Looks at what was sent, a page at a time."""

    def __init__(
        self,
        engine: Engine,
        transport: Transport,
        judge: Judge,
        in_hand: float,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._engine = engine
        self._transport = transport
        self._judge = judge
        self._stopping = stopping
        self.horizon = Horizon(in_hand)
        self._taken: datetime | None = None

    def look(self) -> Tally:
        """One round: see how far the queue has got, then look at what is due.

        :raises DatabaseUnavailable: when the database is away.
        """
        now = self._now()
        if self._taken is not None:
            # The queue is first in, first out: what was sent clearly before one that was delivered
            # has left it too. That serves where the queue never runs empty.
            self.horizon.note(now, self._taken - CLEARLY)
        if self._queue_is_empty():
            self.horizon.note(now, now)
        return self.sweep(self.horizon.at(now), until=now)

    def _now(self) -> datetime:
        with short_transaction(self._engine) as connection:
            return sent.now(connection)

    def _queue_is_empty(self) -> bool:
        try:
            return self._transport.depth() == 0
        except TransportError as error:
            log.debug("nobody knows what waits: %s", first_line(error))
            return False

    def sweep(
        self,
        before: datetime | None,
        *,
        until: datetime | None = None,
        dry_run: bool = False,
        forced: bool = False,
        most: int | None = _MOST,
    ) -> Tally:
        """Look at what is not known to be handled.

        :param before: what was sent before this and has no outcome is lost; None for nothing.
        :param until: look only at what is due by then, and put off what has no outcome yet.
        :param dry_run: only count.
        :param forced: they may wait in the queue all the same, so none is given up on.
        :param most: end after about so many that are published again; None for no limit.
        """
        tally, last = Tally(), None
        while not self._stopping():
            with short_transaction(self._engine) as connection:
                rows = sent.unproven(connection, _PAGE, until, last)
            if not rows:
                break
            last = rows[-1]
            self._settle(rows, before, until, dry_run, forced, tally)
            if most is not None and tally.republished >= most:
                break
        return tally

    def _settle(
        self,
        rows: list[Sent],
        before: datetime | None,
        until: datetime | None,
        dry_run: bool,
        forced: bool,
        tally: Tally,
    ) -> None:
        verdicts = self._judge.judge(rows)
        of = {each: [row for row in rows if verdicts[row.id] is each] for each in Verdict}
        gone = [row for row in of[Verdict.LACKING] if before is not None and row.sent_at < before]
        again = [row for row in gone if forced or row.republished < LIMIT]
        given_up = [row for row in gone if row not in again]
        waiting = [row for row in of[Verdict.LACKING] if row not in gone]
        done = [*of[Verdict.HANDLED], *of[Verdict.KEPT], *of[Verdict.UNWANTED]]
        tally.handled += len(done)
        tally.waiting += len(waiting)
        tally.unsure += len(of[Verdict.UNSURE])
        if dry_run:
            tally.republished += len(again)
            tally.lost += len(given_up)
            return
        with short_transaction(self._engine) as connection:
            sent.handled(connection, done)
            republished = sent.republish(connection, again, counted=not forced)
            lost = [row for row in given_up if sent.give_up(connection, row, _lost(row))]
            if until is not None:
                sent.postpone(connection, [*waiting, *of[Verdict.UNSURE]], until)
        tally.republished += republished
        tally.lost += len(lost)
        for row in lost:
            log.error("%s", _lost(row), extra={"event": str(row.id)})
        # The outcome of one that was published again may be its first copy's.
        taken = [row.sent_at for row in of[Verdict.HANDLED] if not row.republished]
        self._taken = max([*taken, *([self._taken] if self._taken else [])], default=None)


def _lost(row: Sent) -> str:
    return _LOST.format(row.republished, row.id)


def build_judge(conf: Any, engine: Engine, slot: Slot, found: Discovery) -> Judge:
    """The judge of this configuration, with the plugins that were found.

    :param slot: where the daemon sees which plugin is asked.
    """

    def narrowing(name: str) -> Filter:
        try:
            return EVERYTHING if found.is_broken(name) else configured(conf, name)
        except ConfigError:
            return EVERYTHING  # the preflight refuses this

    caller, longest = Caller(engine, conf, slot), conf.notifications.max_event_bytes
    return Judge(engine, caller, slot, found.loaded, narrowing, longest)


def in_hand(conf: Any) -> float:
    """Seconds after which an event that has left the queue must have its outcome."""
    return float(conf.outbox.reconcile_after) + longest_hold(conf, [])


def run(conf: Any, child: Child) -> None:
    """Reconcile until the child is told to stop, or to load other plugins."""
    timelimit.install()
    engine = configured_engine(conf.database)
    chosen = _chosen(conf)
    found = find_plugins(conf, engine, child)
    if found is None:
        return
    transport = transports.build(conf, engine)
    child.at_stop(transport.interrupt)
    judge = build_judge(conf, engine, child.slot, found)
    reconciler = Reconciler(engine, transport, judge, in_hand(conf), lambda: child.stopping)
    failures, reporter = 0, Reporter()
    try:
        # After SIGHUP another process loads the plugins that are on now.
        while not child.stopping and _chosen(conf) == chosen:
            try:
                reporter.report(reconciler.look())
                child.slot.note_work()
                failures = 0
            except DatabaseUnavailable as error:
                log.warning("%s", error)
                failures += 1
                if failures > 1:  # the first may be a deadlock with another host's reconciler
                    reconciler.horizon.forget()
            pause = min(_EVERY, max(0.2, conf.outbox.reconcile_after / 4))
            child.wait(pause * random.uniform(0.75, 1.25))
    finally:
        transport.close()


def _chosen(conf: Any) -> tuple[list[str], list[str]]:
    return list(conf.plugins.disabled), list(conf.plugins.only)


class Reporter:
    """Logs what an operator wants to know, and not at each round."""

    def __init__(self) -> None:
        self._quiet_until = 0.0

    def report(self, tally: Tally) -> None:
        """Log one round."""
        if tally.republished:
            log.warning(
                "published again: %d events that were confirmed by the broker and never handled",
                tally.republished,
            )
        if tally.unsure and time.monotonic() >= self._quiet_until:
            self._quiet_until = time.monotonic() + _REMIND_EVERY
            log.warning(
                "%d events have no outcome of plugins that are not loaded here, and only a host "
                "that has them can tell whether they are lost; see: eventworker plugins list",
                tally.unsure,
            )


service = Service(
    wanted=lambda conf: conf.notifications.driver == "rabbit" and conf.outbox.reconcile_after > 0,
    run=run,
)
