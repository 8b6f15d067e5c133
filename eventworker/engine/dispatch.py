"""Deliveries through every plugin that they are owed to, and then, and only then, the ack.

Documented in ``docs/explanation/architecture.rst``. A delivery is acked once each of those plugins
has a durable outcome in the inbox: done, or a row of the backlog that says pending, retry or dead,
or skipped. What a plugin's filters leave out was never owed to it: an event that no plugin wants is
acked, and nothing is written. Bytes that are no event have their outcome in the quarantine.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from sqlalchemy import Engine

from eventworker.db import short_transaction
from eventworker.engine.arrival import Arrival, Left
from eventworker.engine.attempt import Caller, End, Result
from eventworker.engine.ends import change_of, is_settled, report
from eventworker.engine.group import GroupCaller
from eventworker.engine.intake import Intake
from eventworker.engine.loader import Loaded
from eventworker.engine.pace import Pace
from eventworker.engine.registered import Debts, Elsewhere, RegistryView
from eventworker.event import Event
from eventworker.failpoints import reached
from eventworker.inbox import anonymous, backlog
from eventworker.inbox.claims import FirstClaim, Outcome, note_all
from eventworker.inbox.waiting import LONG
from eventworker.transport import Delivery

log = logging.getLogger(__name__)


class Dispatcher:
    """Dispatches the deliveries of one consumer.

    :param patience: seconds from a delivery's start in which the last call on it must have begun
        and ended; what does not fit is left to the backlog, so that the broker's ack timeout is
        never reached.
    :param largest_group: events that share a transaction, at the most.
    """

    def __init__(
        self,
        engine: Engine,
        caller: Caller,
        registry: RegistryView,
        max_event_bytes: int,
        patience: float,
        largest_group: int = 1,
    ) -> None:
        self._engine = engine
        self._caller = caller
        self._order = caller.order
        self._registry = registry
        self._intake = Intake(engine, max_event_bytes)
        self._groups = GroupCaller(engine, caller, largest_group)
        self._pace = Pace(largest_group)
        self._shares = registry.may_share
        self._patience = patience

    @property
    def appetite(self) -> int:
        """How many deliveries :meth:`dispatch` makes good use of at a time.

        Only one where no plugin shares its transactions: whatever is in hand when the process dies
        has to be done alone. And no more than are done in about a second: what waits in the
        subscription can still be given to others.
        """
        return self._pace.size if self._shares else 1

    def dispatch(self, *deliveries: Delivery) -> bool:
        """Bring every plugin's outcome about for each of them, then ack.

        Calling it again with the same deliveries, after an error, repeats nothing that is done.

        :returns: whether work was left to the backlog.
        :raises DatabaseUnavailable: when the database is away; what is not settled then has to be
            dispatched again.
        """
        started = time.monotonic()
        debts = self._registry.debts()
        arrivals = [each for each in map(self._arrive, deliveries) if each is not None]
        # What has been delivered before may have taken a process down.
        new = [each for each in arrivals if not each.delivery.redelivered]
        alone = debts.here
        if len(new) > 1:
            alone = [pair for pair in debts.here if not pair[1].shares_transactions]
            for number, plugin in debts.here:
                if plugin.shares_transactions:
                    self._call_together(number, plugin, new, started)
        finished: list[Arrival] = []
        for each in arrivals:
            finished.append(each)
            if each.delivery.redelivered:
                self._put_off(each, debts)
            else:
                self._dispatch_alone(each, alone, debts, started)
                if alone:  # the calls of the next one may take long
                    self._end(finished, debts.off)
                    finished.clear()
        self._end(finished, debts.off)
        self._shares = any(plugin.shares_transactions for _, plugin in debts.here)
        self._pace.keep(len(deliveries), time.monotonic() - started)
        return any(each.left.to_us for each in arrivals)

    def _arrive(self, delivery: Delivery) -> Arrival | None:
        """The event with its place; None for what needs no outcome any more."""
        if delivery.is_settled:
            return None
        reached("dispatch.received")
        event = self._intake.read(delivery)
        if event is None:
            delivery.ack()
            return None
        debts = self._registry.debts()
        arrival = Arrival(delivery, self._order.placed(event, wanted=debts.has_ordered))
        arrival.left.skipped += debts.left_out(arrival.event)
        return arrival

    def _put_off(self, arrival: Arrival, debts: Debts) -> None:
        """Leave a redelivered event to the backlog, which counts an attempt before each call, in a
        transaction of its own: a poisonous event cannot take processes down for ever."""
        event, left = arrival.event, arrival.left
        left.parked += [each.number for each in debts.elsewhere if each.admits(event)]
        for number, plugin in debts.here:
            if plugin.admits(event):
                left.to_ourselves(number)

    def _dispatch_alone(
        self,
        arrival: Arrival,
        here: Sequence[tuple[int, Loaded]],
        debts: Debts,
        started: float,
    ) -> None:
        """One event through the plugins of this process that it does not share with others, and
        past those of other processes."""
        event, left = arrival.event, arrival.left
        admitted = [(number, plugin) for number, plugin in here if plugin.admits(event)]
        elsewhere = [each for each in debts.elsewhere if each.admits(event)]
        if not admitted and not elsewhere and not arrival.is_wanted:
            log.debug("no plugin wants %s", change_of(event), extra={"event": str(event.id)})
        # Asked first, since the calls may take minutes, and somebody pause one meanwhile.
        left.parked += [each.number for each in elsewhere if self._is_wanted(each, arrival)]
        self._call_all(admitted, event, left, started)

    def _end(self, arrivals: Sequence[Arrival], off: list[int]) -> None:
        """Write down what is left of these, and ack them."""
        self._leave(arrivals, off)
        for each in arrivals:
            delivery = each.delivery
            if delivery.anonymous:
                with short_transaction(self._engine) as connection:
                    anonymous.forget(connection, delivery.body, each.event.id)
            reached("ack.before")
            delivery.ack()
            reached("ack.after")

    def _call_together(
        self, number: int, plugin: Loaded, arrivals: Sequence[Arrival], started: float
    ) -> None:
        """Call a plugin that shares its transactions with all that it wants of these."""
        wanted = [each for each in arrivals if plugin.admits(each.event)]
        for each in wanted:
            each.is_wanted = True
        if plugin.condition is not None and self._registry.may_call(number):
            wanted = [each for each in wanted if self._asks_for(number, plugin, each)]
        # The same event twice in one group would wait for itself.
        first = {each.event.id: each for each in reversed(wanted)}
        if len(first) < len(wanted):
            for each in wanted:
                if first[each.event.id] is not each:
                    each.left.to_ourselves(number)
            wanted = list(reversed(first.values()))

        def may_begin() -> bool:
            late = time.monotonic() - started + plugin.handler_timeout > self._patience
            return not late and self._registry.may_call(number)

        results = self._groups.call(plugin, number, [each.event for each in wanted], may_begin)
        failed = []
        for each, result in zip(wanted, results, strict=True):
            if result is None:
                each.left.to_ourselves(number)
            elif result.failure is not None:
                report(plugin, each.event, result, attempt=1)
                failed.append((each.event, result))
            else:
                self._record(each.event, number, plugin, result, each.left)
        if failed:
            self._write_failures(number, failed)

    def _asks_for(self, number: int, plugin: Loaded, arrival: Arrival) -> bool:
        """Whether the plugin's own condition lets the event in; if not, its outcome is noted."""
        result = self._caller.ask(plugin, number, arrival.event, attempt=1)
        if result is None:
            return True
        self._record(arrival.event, number, plugin, result, arrival.left)
        return False

    def _call_all(
        self, here: list[tuple[int, Loaded]], event: Event, left: Left, started: float
    ) -> None:
        """Call the plugins, but for those that do not fit into the time, have been paused by now,
        or wait for an earlier event."""
        for number, plugin in here:
            if not self._registry.may_call(number):
                left.to_ourselves(number)
                continue
            result = self._caller.ask(plugin, number, event, attempt=1)
            if result is None:
                if time.monotonic() - started + plugin.handler_timeout > self._patience:
                    left.to_ourselves(number)
                    continue
                claim = FirstClaim(event.id, number)
                result = self._caller.call(plugin, number, event, claim, attempt=1)
                if result.end is End.WAITING and self._order.comes_soon(plugin, number, event):
                    result = self._caller.call(plugin, number, event, claim, attempt=1)
            self._record(event, number, plugin, result, left)

    def _is_wanted(self, owed: Elsewhere, arrival: Arrival) -> bool:
        """Whether to park the event: another lane's plugin can be asked here, and spare the row.

        Of a plugin that is paused nothing at all is called.
        """
        if owed.loaded is None or owed.paused:
            return True
        return self._asks_for(owed.number, owed.loaded, arrival)

    def _record(
        self, event: Event, number: int, plugin: Loaded, result: Result, left: Left
    ) -> None:
        report(plugin, event, result, attempt=1)
        if result.end is End.WAITING:
            left.waiting.append((number, plugin))
        elif result.end is End.UNWANTED and plugin.ordered and event.seq is not None:
            left.skipped.append(number)
        elif result.end is End.SEEN:
            # Perhaps only as a call that killed its process: who wrote that down knew the event's
            # id alone, and has left the rest to this delivery.
            with short_transaction(self._engine) as connection:
                left.to_us |= backlog.complete(connection, event, number)
        elif result.failure is not None:
            self._write_failures(number, [(event, result)])
        if is_settled(plugin, result):
            left.to_us |= self._order.release(number, event)

    def _write_failures(self, number: int, failed: Sequence[tuple[Event, Result]]) -> None:
        """Write down calls that failed, or are to be made later, in one transaction."""
        reached("outcome.before")
        with short_transaction(self._engine) as connection:
            for event, result in failed:
                if result.end is End.POSTPONED:
                    backlog.park(connection, event, [number])
                elif result.failure is not None:
                    backlog.fail_first(connection, event, number, result.failure)
        reached("outcome.after")

    def _leave(self, arrivals: Sequence[Arrival], off: list[int]) -> None:
        """Write down what is owed to others, and to us later, and who is off."""
        skipped = [(each.event, n) for each in arrivals for n in each.left.skipped]
        waiting = [(each, n, plugin) for each in arrivals for n, plugin in each.left.waiting]
        if skipped or waiting or off or any(each.left.parked for each in arrivals):
            with short_transaction(self._engine) as connection:
                for each in arrivals:
                    if each.left.parked:
                        backlog.park(connection, each.event, each.left.parked)
                for each, number, _ in waiting:
                    backlog.park(connection, each.event, [number], delay=LONG)
                note_all(
                    connection,
                    [(each.event.id, number) for each in arrivals for number in off]
                    + [(event.id, number) for event, number in skipped],
                    Outcome.SKIPPED,
                )
                for event, number in skipped:
                    self._order.pass_over(connection, number, event)
            reached("parked.after")
        for each in arrivals:
            for number in each.left.skipped:
                each.left.to_us |= self._order.release(number, each.event)
        for each, number, plugin in waiting:
            each.left.to_us |= self._order.check_again(plugin, number, each.event)
