"""Performing effects outside the database: what plugins added, in processes of their own."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from eventworker.db import Failure, first_line, is_transient, short_transaction
from eventworker.effects import estate, queue
from eventworker.effects.effect import key_of
from eventworker.effects.queue import Due
from eventworker.engine.attempt import Caller
from eventworker.engine.backlog import BATCH, DIED, FRESH, MARGIN
from eventworker.engine.loader import Loaded
from eventworker.engine.registered import RegistryView
from eventworker.errors import DatabaseUnavailable
from eventworker.failpoints import reached

log = logging.getLogger(__name__)

#: Writes the end of a call down.
Ending = Callable[[Connection], None]


class EffectRunner:
    """Calls ``perform()`` of this process's plugins with the effects that are due.

    :param registry: of plugins as :attr:`~eventworker.engine.loader.Loaded.as_performer` has them.
    :param stopping: asked before each effect; what is then claimed and not begun is given back.
    """

    def __init__(
        self,
        engine: Engine,
        caller: Caller,
        registry: RegistryView,
        owner: str,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._engine = engine
        self._stopping = stopping
        self._caller = caller
        self._registry = registry
        self._owner = owner
        self._interrupted = False
        self._unwritten: Ending | None = None

    def run_due(self) -> int:
        """Claim what is due, of one plugin after the other, and perform it; returns the number of
        effects claimed.

        :raises DatabaseUnavailable: when the database is away. The next call writes down what came
            of the effect that was performed last, and gives back what was claimed besides.
        """
        if self._interrupted:
            self._settle()
        self._interrupted = True
        claimed = 0
        for number, plugin in self._registry.debts().here:
            claimed += self._claim_and_perform(number, plugin)
        self._interrupted = False
        return claimed

    def _settle(self) -> None:
        with short_transaction(self._engine) as connection:
            if self._unwritten is not None:
                self._unwritten(connection)
            estate.release_owner(connection, self._owner, uncount=True)
        self._unwritten = None

    def _claim_and_perform(self, number: int, plugin: Loaded) -> int:
        if self._stopping():
            return 0
        if self._engine.dialect.name == "sqlite" and not self._is_due(number):
            return 0
        lease = plugin.handler_timeout + MARGIN
        with short_transaction(self._engine) as connection:
            claimed = queue.claim(connection, number, BATCH, lease, self._owner)
        if claimed:
            reached("effect.claimed")
        started = time.monotonic()
        for index, due in enumerate(claimed):
            stale = time.monotonic() - started > FRESH  # so the lease may not last
            if stale or self._stopping() or not self._registry.may_call(number):
                self._give_back(claimed[index:])
                break
            self._perform(due, plugin)
        return len(claimed)

    def _is_due(self, number: int) -> bool:
        # SQLite has one write lock for the whole application, and a lane looks five times a second.
        try:
            with self._engine.connect() as connection:
                return queue.is_due(connection, number)
        except DBAPIError as error:
            if is_transient(error):
                raise DatabaseUnavailable(first_line(error)) from error
            raise

    def _give_back(self, claimed: list[Due]) -> None:
        with short_transaction(self._engine) as connection:
            for due in claimed:
                queue.give_back(connection, due)

    def _perform(self, due: Due, plugin: Loaded) -> None:
        if due.attempts > plugin.max_attempts:
            # Each of its claims was counted, and none of them came back to say how it ended.
            failure: Failure | None = Failure(DIED.format(due.attempts - 1))
        else:
            failure = self._caller.perform(plugin, due)
        reached("effect.performed")
        _report(due, plugin, failure)
        if failure is None:
            self._write(lambda connection: queue.done(connection, due))
        else:
            self._write(lambda connection: queue.fail(connection, due, failure))
        reached("effect.after")

    def _write(self, end: Ending) -> None:
        """Write the end of a call down. It is kept for :meth:`_settle` until that has been done:
        an outage of the database is no reason to perform an effect twice."""
        self._unwritten = end
        with short_transaction(self._engine) as connection:
            end(connection)
        self._unwritten = None


def _report(due: Due, plugin: Loaded, failure: Failure | None) -> None:
    """One log line per attempt; ERROR only where somebody must act."""
    fields = {
        "event": str(due.event_id),
        "plugin": plugin.name,
        "effect": key_of(due.event_id, plugin.name, due.n),
        "attempt": due.attempts,
    }
    if failure is None:
        log.debug("performed", extra=fields)
    elif failure.delay is not None:
        log.warning("failed, again in %.1f s: %s", failure.delay, failure.error, extra=fields)
    else:
        log.error(
            "dead letter: %s; see: eventworker effects list --state dead",
            failure.error,
            extra=fields,
        )
