"""A consumer process: what was delivered, and the backlog in between.

The main lane's consumers take deliveries from the transport; the consumers of another lane live off
the backlog alone; other processes perform the effects that are due. Everything of a plugin runs on
its process's main thread.
"""

from __future__ import annotations

import gc
import logging
import random
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy import Engine, text

from eventworker import transports
from eventworker.db import configured_engine, first_line, translated
from eventworker.engine import timelimit
from eventworker.engine.attempt import Caller
from eventworker.engine.backlog import BacklogRunner
from eventworker.engine.child import Child
from eventworker.engine.dispatch import Dispatcher
from eventworker.engine.effects import EffectRunner
from eventworker.engine.filters import EVERYTHING, configured
from eventworker.engine.loader import Discovery, Loaded, check_databases, discover
from eventworker.engine.registered import RegistryView
from eventworker.engine.wear import Wear
from eventworker.errors import DatabaseUnavailable
from eventworker.transport import Delivery, Subscription

log = logging.getLogger(__name__)

MAIN_LANE = "main"
#: Seconds between looks at the backlog, and, for a lane that has nothing else to wait for, less.
_BACKLOG_EVERY, _LANE_EVERY = 1.0, 0.2
#: Deliveries that a consumer holds whose plugins share no transactions.
_PREFETCH = 32
#: Seconds between two questions to a database that is away.
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0


def consume(conf: Any, child: Child, lane: str) -> None:
    """Run one consumer until it is told to stop."""
    timelimit.install()
    engine = configured_engine(conf.database)
    found = find_plugins(conf, engine, child)
    if found is None:
        return
    for name, reason in found.broken.items():
        log.error("plugin %s cannot run here, its events wait: %s", name, reason)
    registry = RegistryView(
        engine,
        found.loaded,
        lane,
        conf.plugins.registry_refresh,
        # What a broken plugin's group says is unsure: it may have options of its own of our names.
        narrowing=lambda name: EVERYTHING if found.is_broken(name) else configured(conf, name),
    )
    caller = Caller(engine, conf, child.slot)
    backlog = BacklogRunner(engine, caller, registry, child.name)
    wear = Wear(conf.max_consumer_rss, conf.max_consumer_events)
    if lane != MAIN_LANE:
        Consumer(engine, child, wear, backlog, None, None, _LANE_EVERY).run()
        return
    options = conf.notifications
    hold = longest_hold(conf, found.loaded)
    dispatcher = Dispatcher(
        engine, caller, registry, options.max_event_bytes, hold, options.group_size
    )
    transport = transports.build(conf, engine)
    subscription = transport.subscribe(prefetch(conf, found.loaded), child.name, hold)
    try:
        Consumer(
            engine,
            child,
            wear,
            backlog,
            dispatcher,
            subscription,
            _BACKLOG_EVERY,
            options.group_linger,
        ).run()
    finally:
        subscription.close()
        transport.close()


def perform(conf: Any, child: Child, lane: str) -> None:
    """Run one process that performs effects, until it is told to stop."""
    timelimit.install()
    engine = configured_engine(conf.database)
    found = find_plugins(conf, engine, child)
    if found is None:
        return
    performers = [each.as_performer for each in found.loaded if each.performs]
    registry = RegistryView(engine, performers, lane, conf.plugins.registry_refresh)
    caller = Caller(engine, conf, child.slot)
    runner = EffectRunner(engine, caller, registry, child.name, lambda: child.stopping)
    wear = Wear(conf.max_consumer_rss, conf.max_consumer_events)
    Consumer(engine, child, wear, runner, None, None, _LANE_EVERY).run()


def find_plugins(conf: Any, engine: Engine, child: Child) -> Discovery | None:
    """The plugins, found and checked while the database answers; None when told to stop before.

    A plugin that looks for its table in ``enabled()`` is broken here for as long as this process
    lives if it cannot. So whoever is forked during an outage waits for its end first.
    """
    found: Discovery | None = None
    while not child.stopping:
        try:
            _require_answer(engine)
            found = found or discover(conf)
            check_databases(found, engine)
        except DatabaseUnavailable as error:
            log.error("%s; waiting for it", error)
            child.wait(2.0)
        else:
            return found
    return None


def _require_answer(engine: Engine) -> None:
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    except Exception as error:
        raise translated(error) from error


def prefetch(conf: Any, loaded: list[Loaded]) -> int:
    """How many deliveries a consumer holds: what the configuration says, or two groups, so that
    the next one has arrived when the first one is done."""
    options = conf.notifications
    if options.prefetch:
        return int(options.prefetch)
    shares = any(each.shares_transactions for each in loaded if each.lane == MAIN_LANE)
    return max(_PREFETCH, 2 * options.group_size) if shares else _PREFETCH


def longest_hold(conf: Any, loaded: list[Loaded]) -> float:
    """Seconds that one delivery may be in hand.

    The broker closes the channel of a consumer that sits on a delivery for longer than its ack
    timeout. The embedded queue has no such limit, but a dead host's events wait for their leases.
    """
    if conf.notifications.driver == "rabbit":
        return float(conf.notifications.rabbit_ack_timeout) / 2
    limits = (each.handler_timeout for each in loaded if each.lane == MAIN_LANE)
    return max(limits, default=0.0) + 30.0


class Consumer:
    """The loop of one consumer process."""

    def __init__(
        self,
        engine: Engine,
        child: Child,
        wear: Wear,
        backlog: BacklogRunner | EffectRunner,
        dispatcher: Dispatcher | None,
        subscription: Subscription | None,
        backlog_every: float,
        linger: float = 0.0,
    ) -> None:
        self._engine = engine
        self._child = child
        self._wear = wear
        self._backlog = backlog
        self._dispatcher = dispatcher
        self._subscription = subscription
        self._backlog_every = backlog_every
        self._linger = linger
        self._backlog_at = 0.0

    def run(self) -> None:
        """Work until the child is told to stop, or is worn out; what is in hand is finished
        first."""
        # What is loaded by now stays for life, and the collector need not look at it each time.
        gc.collect()
        gc.freeze()
        while not self._child.stopping and not self._is_worn_out():
            deliveries = self._next()
            if deliveries:
                self._insist(partial(self._dispatch, deliveries))
            if time.monotonic() >= self._backlog_at:
                self._insist(self._run_backlog)

    def _is_worn_out(self) -> bool:
        reason = self._wear.reason()
        if reason:
            log.info("this process ends and is replaced: %s", reason)
        return bool(reason)

    def _insist(self, work: Callable[[], None]) -> None:
        """Do ``work`` once, waiting for the database as often as it is away.

        Longer each time: a full disk, or a standby that only reads, answers and refuses the work.
        """
        pause = _SHORTEST_PAUSE
        while True:
            try:
                work()
                # Only now: a death while the end of a call is written down is that call's, too.
                return self._child.slot.leave()
            except DatabaseUnavailable as error:
                if not self._wait_for_database(error, pause):
                    return None  # stopping; what is not acked comes again
                pause = _longer(pause)

    def _next(self) -> list[Delivery]:
        wait = min(max(self._backlog_at - time.monotonic(), 0.0), 0.5)
        if self._subscription is None or self._dispatcher is None:
            self._child.wait(wait)
            return []
        most = int(min(self._dispatcher.appetite, self._wear.events_left))
        return self._subscription.gather(most, wait, self._linger)

    def _dispatch(self, deliveries: list[Delivery]) -> None:
        if self._dispatcher is not None and self._dispatcher.dispatch(*deliveries):
            self._backlog_at = 0.0  # it left something to us; do it next
        self._count(len(deliveries))

    def _run_backlog(self) -> None:
        busy = self._backlog.run_due()
        self._count(busy)
        # Jittered, so that the consumers of a host do not look all at once.
        pause = 0.0 if busy else self._backlog_every * random.uniform(0.75, 1.25)
        self._backlog_at = time.monotonic() + pause

    def _count(self, handled: int) -> None:
        if handled:
            self._child.slot.note_work()
            self._wear.count(handled)

    def _wait_for_database(self, error: DatabaseUnavailable, pause: float) -> bool:
        """Pause until the database answers; False when told to stop before.

        :param pause: seconds before it is asked for the first time.
        """
        log.error("consumption pauses: %s", error)
        if self._subscription is not None:
            self._subscription.pause()
        while not self._child.stopping:
            self._child.wait(pause)
            pause = _longer(pause)
            try:
                with self._engine.connect() as connection:
                    connection.execute(text("SELECT 1"))
            except Exception as still:
                log.debug("still away: %s", first_line(still))
                continue
            log.info("the database answers again; consumption goes on")
            if self._subscription is not None:
                self._subscription.resume()
            return True
        return False


def _longer(pause: float) -> float:
    """The pause after this one: doubled, capped, and jittered."""
    return min(pause * 2, _LONGEST_PAUSE) * random.uniform(0.75, 1.0)
