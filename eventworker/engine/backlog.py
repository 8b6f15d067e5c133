"""Running what the backlog says is due: retries, other lanes' shares, redelivered events."""

from __future__ import annotations

import logging
import time

from sqlalchemy import Engine

from eventworker.db import PENDING, Failure, short_transaction
from eventworker.engine.attempt import Caller, End, Result
from eventworker.engine.ends import is_settled, report
from eventworker.engine.loader import Loaded
from eventworker.engine.registered import RegistryView
from eventworker.errors import DatabaseUnavailable
from eventworker.failpoints import reached
from eventworker.inbox import backlog, estate
from eventworker.inbox.backlog import Due
from eventworker.inbox.waiting import LONG
from eventworker.tracecontext import trace_id

log = logging.getLogger(__name__)

#: Rows claimed at a time, and the seconds after which those not begun are given back: so each
#: call begins well inside its lease, which is the plugin's time limit and a margin.
BATCH, FRESH, MARGIN = 16, 15.0, 60.0
#: Seconds after which a row that had failed before, and waits all the same, looks again.
_UNTOLD = 5.0
DIED = "the process ended during this call, {0} times in a row"


class BacklogRunner:
    """Calls the plugins of this process with what is due to them."""

    def __init__(self, engine: Engine, caller: Caller, registry: RegistryView, owner: str) -> None:
        self._engine = engine
        self._caller = caller
        self._order = caller.order
        self._registry = registry
        self._owner = owner
        self._interrupted = False

    def run_due(self) -> int:
        """Claim what is due and call; returns the number of rows claimed.

        :raises DatabaseUnavailable: when the database is away; what was claimed is given back, its
            attempts included, by the next call.
        """
        here = dict(self._registry.debts().here)
        if not here:
            self._order.told(here)  # a process that only leaves events to others finds their turn
            return 0
        if self._interrupted:
            with short_transaction(self._engine) as connection:
                estate.release_owner(connection, self._owner, uncount=True)
        try:
            claimed = self._claim_and_call(here)
        except DatabaseUnavailable:
            self._interrupted = True
            raise
        self._interrupted = False
        return claimed

    def _claim_and_call(self, here: dict[int, Loaded]) -> int:
        self._order.rouse(here)
        told = self._order.told(here)
        lease = max(plugin.handler_timeout for plugin in here.values()) + MARGIN
        with short_transaction(self._engine) as connection:
            claimed = backlog.claim_early(connection, told, lease, self._owner)
            claimed += backlog.claim(connection, list(here), BATCH, lease, self._owner)
        # Those of one resource in their order, however they were claimed: all behind the first one
        # would have come in vain, and the first one been taken for one that waits.
        claimed.sort(key=lambda due: (due.event.seq or 0, due.id))
        if claimed:
            reached("backlog.claimed")
        held_up: set[tuple[int, str]] = set()
        waiting: list[Due] = []
        started = time.monotonic()
        for index, due in enumerate(claimed):
            if time.monotonic() - started > FRESH:
                self.give_back(claimed[index:])
                break
            place = self._place(due, here)
            if not self._registry.may_call(due.plugin):  # paused since, or off
                self.give_back([due])
            elif place in held_up:
                waiting.append(due)
            elif not self._run(due, here[due.plugin], waiting) and place is not None:
                held_up.add(place)
        self._wait(waiting, here)
        return len(claimed)

    def _place(self, due: Due, here: dict[int, Loaded]) -> tuple[int, str] | None:
        """What a row of an ordered plugin holds up when its call is not the end of it."""
        stream = due.event.stream
        if not here[due.plugin].ordered or due.event.seq is None or stream is None:
            return None
        return due.plugin, stream

    def give_back(self, claimed: list[Due]) -> None:
        """Return claimed rows whose call has not begun."""
        with short_transaction(self._engine) as connection:
            for due in claimed:
                backlog.give_back(connection, due)

    def _wait(self, waiting: list[Due], here: dict[int, Loaded]) -> None:
        """Return rows that wait for an earlier event: who settles that one takes them up again."""
        if not waiting:
            return
        with short_transaction(self._engine) as connection:
            for due in waiting:
                # Only a pending row is found by whom it waits for.
                delay = LONG if due.state == PENDING else _UNTOLD
                backlog.give_back(connection, due, delay)
        for due in waiting:
            self._order.check_again(here[due.plugin], due.plugin, due.event)

    def _run(self, due: Due, plugin: Loaded, waiting: list[Due]) -> bool:
        """Call the plugin, unless the event has to wait; returns whether it is settled."""
        if not plugin.admits(due.event):
            self._skip(due, plugin)
            return True
        if due.attempts > plugin.max_attempts:
            # Each of its claims was counted, and none of them came back to say how it ended.
            failure = Failure(DIED.format(due.attempts - 1))
            self._fail(due, plugin, failure)
            log.error("dead letter: %s", failure.error, extra=_fields(due, plugin))
            return plugin.passes_dead
        # Not before the attempts were looked at: this, too, may be what the process died of.
        result = self._caller.ask(plugin, due.plugin, due.event, due.attempts)
        if result is None:
            result = self._caller.call(plugin, due.plugin, due.event, due, due.attempts)
        report(plugin, due.event, result, due.attempts)
        if result.end is End.UNWANTED:
            self._skip(due, plugin)
            return True
        if result.end is End.WAITING:
            waiting.append(due)
        elif result.end is End.POSTPONED and result.failure is not None:
            with short_transaction(self._engine) as connection:
                backlog.give_back(connection, due, result.failure.delay or 0.0)
        elif result.failure is not None:
            self._fail(due, plugin, result.failure)
        elif is_settled(plugin, result):
            self._order.release(due.plugin, due.event)
        return is_settled(plugin, result)

    def _skip(self, due: Due, plugin: Loaded) -> None:
        with short_transaction(self._engine) as connection:
            backlog.skip(connection, due)
            if plugin.ordered:
                self._order.pass_over(connection, due.plugin, due.event)
        if plugin.ordered:
            self._order.release(due.plugin, due.event)

    def _fail(self, due: Due, plugin: Loaded, failure: Failure) -> None:
        reached("outcome.before")
        with short_transaction(self._engine) as connection:
            backlog.fail(connection, due, failure)
        reached("outcome.after")
        if is_settled(plugin, Result(End.FAILED, failure)):
            self._order.release(due.plugin, due.event)


def _fields(due: Due, plugin: Loaded) -> dict[str, object]:
    return {
        "event": str(due.event.id),
        "plugin": plugin.name,
        "attempt": due.attempts,
        "trace_id": trace_id(due.event.traceparent),
    }
