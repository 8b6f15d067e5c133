"""One call of one plugin with one event, and what became of it."""

from __future__ import annotations

import enum
import itertools
import logging
import random
import time
import traceback
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, text

from eventworker.db import (
    LONGEST_DELAY,
    EventSession,
    Failure,
    Origin,
    first_line,
    is_stale_snapshot,
    is_transient,
)
from eventworker.effects.queue import Due
from eventworker.engine.loader import Loaded
from eventworker.engine.order import InTurn, Late, Order
from eventworker.engine.slot import Slot
from eventworker.engine.surroundings import Surroundings, never_forked
from eventworker.engine.timelimit import time_limit
from eventworker.errors import DatabaseUnavailable, Reject, Retry
from eventworker.event import Event
from eventworker.inbox.claims import Claim, run_once
from eventworker.plugin import find_resource
from eventworker.tracecontext import trace_id

log = logging.getLogger(__name__)

#: Times that a call is redone at once after a deadlock or a lock that was not given.
_REDO = 5
#: Seconds that a plugin's ``wants()`` may take at the most; it is meant to take none.
_ASKING = 5.0


class End(enum.Enum):
    """How a call ended."""

    DONE = "done"
    #: Handled already, by an earlier delivery or another process.
    SEEN = "seen"
    #: The plugin's own condition says no: it was not called, and nothing is written.
    UNWANTED = "unwanted"
    FAILED = "failed"
    #: No fault of the event: it is tried again without an attempt spent.
    POSTPONED = "postponed"
    #: An earlier event of its resource is not settled: it was not called, and nothing is written.
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class Result:
    """The end of a call; ``failure`` for FAILED and POSTPONED."""

    end: End
    failure: Failure | None = None


class Caller:
    """Calls plugins in this process.

    :ivar slot: where the daemon sees what is going on.
    :ivar order: the order that plugins are called in, for those that want one.
    :ivar surroundings: of this process.
    """

    def __init__(self, engine: Engine, conf: Any, slot: Slot) -> None:
        self._engine = engine
        self.slot = slot
        self._conf = conf
        self.order = Order(
            engine,
            brokered=conf.notifications.driver == "rabbit",
            refresh=conf.plugins.registry_refresh,
        )
        self.surroundings = Surroundings()

    def ask(self, loaded: Loaded, number: int, event: Event, attempt: int) -> Result | None:
        """Ask the plugin's own condition, if it has one.

        It is foreign code: it may hang, or take the process down, and is then to be blamed. One
        that fails neither lets the event in nor loses it: the attempt has failed.

        :returns: None when the plugin wants the event; else UNWANTED or FAILED.
        """
        condition = loaded.condition
        if condition is None:
            return None
        limit = min(_ASKING, loaded.handler_timeout)
        self.slot.enter(event.id, number, limit)
        try:
            with self.surroundings.kept(loaded.name), time_limit(limit):
                with never_forked():
                    wanted = condition(event)
                if not isinstance(wanted, bool):
                    # None, from a forgotten return, would drop every event in silence.
                    raise TypeError(f"it returned {wanted!r:.100}, neither True nor False")
        except BaseException as error:
            return Result(End.FAILED, self._again(loaded, attempt, error, where="wants(): "))
        finally:
            self.slot.returned()
        if wanted:
            return None
        self.slot.leave()
        return Result(End.UNWANTED)

    def call(self, loaded: Loaded, number: int, event: Event, claim: Claim, attempt: int) -> Result:
        """Call the plugin in a transaction of its own.

        :param attempt: which attempt this is, 1 for the first.
        :raises DatabaseUnavailable: when the database is away; nothing happened then, or nobody can
            tell yet, and the same call has to be made again.
        """
        immediate = loaded.transactional
        fields = {
            "event": str(event.id),
            "plugin": loaded.name,
            "trace_id": trace_id(event.traceparent),
        }
        for redo in itertools.count(1):
            # Whatever kills the process while it looks, or while the event is written down as one
            # that waits, it is not this event.
            self.slot.leave()
            in_turn = self.order.in_turn(loaded, number, event, claim)
            if in_turn is None:
                return Result(End.WAITING)
            try:
                if self._run(loaded, number, event, in_turn, immediate):
                    if isinstance(in_turn, Late):
                        log.warning("handled after a later event of its resource", extra=fields)
                    return Result(End.DONE)
                if not isinstance(in_turn, InTurn) or not in_turn.lost:
                    return Result(End.SEEN)
                if redo > _REDO:
                    self.slot.leave()
                    return Result(End.WAITING)
                continue
            except DatabaseUnavailable as error:
                if not self.answers():
                    raise
                # The database is there, so it was this call that lost its connection.
                if redo > _REDO:
                    return Result(End.FAILED, self._again(loaded, attempt, error))
                reason: BaseException = error
            except BaseException as error:  # SystemExit and its like are the plugin's, not ours
                result = self.verdict(loaded, attempt, error)
                if result is not None:
                    return result
                if redo > _REDO:
                    return Result(End.POSTPONED, Failure(first_line(error), delay=1.0))
                immediate = immediate or is_stale_snapshot(error)
                reason = error
            log.info("the database asks to do it again: %s", first_line(reason), extra=fields)
            time.sleep(random.uniform(0, 0.01 * 2**redo))
        raise AssertionError("the loop has no end")

    def verdict(self, loaded: Loaded, attempt: int, error: BaseException) -> Result | None:
        """What an error of a call says of the event; None when the call is to be made again at
        once, since the database asks for it."""
        if isinstance(error, Retry):
            return Result(End.FAILED, self._again(loaded, attempt, error, error.delay))
        if isinstance(error, Reject):
            return Result(End.FAILED, Failure(f"rejected: {error.reason}"))
        if is_transient(error):
            return None
        return Result(End.FAILED, self._again(loaded, attempt, error))

    def perform(self, loaded: Loaded, due: Due) -> Failure | None:
        """Have the plugin perform an effect, with no transaction open meanwhile.

        :param loaded: as :attr:`~eventworker.engine.loader.Loaded.as_performer` has it.
        :returns: None when it was performed.
        """
        self.slot.enter(due.event_id, due.plugin, loaded.handler_timeout, due.n)
        try:
            with (
                self.surroundings.kept(loaded.name),
                time_limit(loaded.handler_timeout),
                never_forked(),
            ):
                loaded.perform(due.effect(loaded.name))
        except Retry as verdict:
            return self._again(loaded, due.attempts, verdict, verdict.delay)
        except Reject as verdict:
            return Failure(f"rejected: {verdict.reason}")
        except BaseException as error:  # SystemExit and its like are the plugin's, not ours
            return self._again(loaded, due.attempts, error)
        finally:
            self.slot.returned()
        return None

    def answers(self) -> bool:
        """Whether the database does."""
        try:
            with self._engine.connect() as connection:
                connection.execute(text("SELECT 1"))
        except Exception:
            return False
        return True

    def _run(
        self, loaded: Loaded, number: int, event: Event, claim: Claim, immediate: bool
    ) -> bool:
        def call(session: EventSession) -> None:
            session.origin = Origin(event.id, number, loaded.name, loaded.performs)
            self.slot.enter(event.id, number, loaded.handler_timeout)
            try:
                with (
                    self.surroundings.kept(loaded.name),
                    time_limit(loaded.handler_timeout),
                ):
                    with never_forked():
                        self.handle(loaded, session, event)
                    session.flush()
            finally:
                self.slot.returned()

        return run_once(self._engine, claim, call, immediate=immediate)

    def handle(self, loaded: Loaded, session: EventSession, event: Event) -> None:
        """Call ``handle()``, and nothing around it."""
        author = self._author(loaded, session, event) if "author" in loaded.arguments else None
        loaded.call(session, author, event)

    def _author(self, loaded: Loaded, session: EventSession, event: Event) -> Any:
        """The author's record, as the plugin itself resolves a user where it can."""
        resolve = getattr(loaded.plugin, "resolve_resource_by_name", None)
        if resolve is not None:
            return resolve(session, "user", event.author_id)
        return find_resource(self._conf, session, "user", event.author_id)

    def _again(
        self,
        loaded: Loaded,
        attempt: int,
        error: BaseException,
        delay: float | None = None,
        where: str = "",
    ) -> Failure:
        described = f"{where}{type(error).__name__}: {first_line(error)}"
        trace = "".join(traceback.format_exception(error))
        return failure_after(loaded, attempt, described, trace, delay)


def failure_after(
    loaded: Loaded, attempt: int, error: str, trace: str = "", delay: float | None = None
) -> Failure:
    """What follows a failed attempt: the next one after a pause, or a dead letter."""
    if attempt >= loaded.max_attempts:
        return Failure(error, trace, None)
    wait = pause(loaded, attempt) if delay is None else min(delay, LONGEST_DELAY)
    return Failure(error, trace, wait)


def pause(loaded: Loaded, attempt: int) -> float:
    """Seconds between this attempt and the next: doubling, capped, with jitter.

    With the defaults about 1, 2, 4, 8 ... 256 s, so ten attempts span some eight minutes.
    """
    longest: float = min(loaded.backoff_max, loaded.backoff * 2 ** min(attempt - 1, 30))
    return longest * random.uniform(0.75, 1.25)
