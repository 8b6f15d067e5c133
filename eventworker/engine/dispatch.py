"""One delivery through every plugin that it is owed to, and then, and only then, the ack.

Documented in ``docs/explanation/architecture.rst``. A delivery is acked once each of those plugins
has a durable outcome in the inbox: done, or a row of the backlog that says pending, retry or dead,
or skipped. What a plugin's filters leave out was never owed to it: an event that no plugin wants is
acked, and nothing is written. Bytes that are no event have their outcome in the quarantine.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace
from sqlalchemy import Engine

from eventworker import wire
from eventworker.db import short_transaction
from eventworker.engine.attempt import Caller, End, Result
from eventworker.engine.loader import Loaded
from eventworker.engine.registered import Elsewhere, RegistryView
from eventworker.errors import DecodeError
from eventworker.event import Event
from eventworker.failpoints import reached
from eventworker.inbox import anonymous, backlog, quarantine
from eventworker.inbox.claims import FirstClaim, Outcome, note
from eventworker.inbox.waiting import LONG
from eventworker.tracecontext import trace_id
from eventworker.transport import Delivery

log = logging.getLogger(__name__)


class Dispatcher:
    """Dispatches the deliveries of one consumer.

    :param patience: seconds from a delivery's start in which the last call on it must have begun
        and ended; what does not fit is left to the backlog, so that the broker's ack timeout is
        never reached.
    """

    def __init__(
        self,
        engine: Engine,
        caller: Caller,
        registry: RegistryView,
        max_event_bytes: int,
        patience: float,
    ) -> None:
        self._engine = engine
        self._caller = caller
        self._order = caller.order
        self._registry = registry
        self._max_event_bytes = max_event_bytes
        self._patience = patience

    def dispatch(self, delivery: Delivery) -> bool:
        """Bring every plugin's outcome about, then ack.

        Calling it again with the same delivery, after an error, repeats nothing that is done.

        :returns: whether work was left to the backlog.
        :raises DatabaseUnavailable: when the database is away; the delivery is not settled then.
        """
        reached("dispatch.received")
        event = self._decode(delivery)
        if event is None:
            delivery.ack()
            return False
        debts = self._registry.debts()
        event = self._order.placed(event, wanted=debts.has_ordered)
        here = [(number, plugin) for number, plugin in debts.here if plugin.admits(event)]
        elsewhere = [each for each in debts.elsewhere if each.admits(event)]
        if not here and not elsewhere:
            log.debug("no plugin wants %s", _change(event), extra={"event": str(event.id)})
        left = _Left(skipped=debts.left_out(event))
        if delivery.redelivered:
            # Its last delivery may have taken a process down. The backlog counts an attempt before
            # each call, in a transaction of its own, so a poisonous event cannot do so for ever.
            left.parked += [each.number for each in elsewhere]
            for number, _ in here:
                left.to_ourselves(number)
        else:
            # Asked first, since the calls may take minutes, and somebody pause one meanwhile.
            left.parked += [each.number for each in elsewhere if self._is_wanted(each, event, left)]
            self._call_all(here, event, left)
        self._leave(event, left, debts.off)
        if delivery.anonymous:
            with short_transaction(self._engine) as connection:
                anonymous.forget(connection, delivery.body, event.id)
        reached("ack.before")
        delivery.ack()
        reached("ack.after")
        return left.to_us

    def _decode(self, delivery: Delivery) -> Event | None:
        try:
            if delivery.refusal:
                raise DecodeError(delivery.refusal, delivery.body)
            event = wire.read(
                delivery.body,
                delivery.content_type,
                content_encoding=delivery.content_encoding,
                id=delivery.event_id,
                time=delivery.time,
                source=delivery.source,
                traceparent=delivery.traceparent,
                tracestate=delivery.tracestate,
                max_bytes=self._max_event_bytes,
            )
            if delivery.seq is not None and event.stream is not None:
                event = replace(event, seq=delivery.seq)
        except DecodeError as error:
            log.error(
                "quarantined %d bytes that are no event: %s",
                len(delivery.body),
                error.reason,
            )
            with short_transaction(self._engine) as connection:
                quarantine.put(connection, delivery.body, error.reason, delivery.properties)
            return None
        if delivery.event_id is None and not wire.has_own_id(delivery.content_type):
            delivery.anonymous = True
            with short_transaction(self._engine) as connection:
                delivery.event_id = anonymous.identify(
                    connection, delivery.body, delivery.redelivered
                )
            return self._decode(delivery)
        return event

    def _call_all(self, here: list[tuple[int, Loaded]], event: Event, left: _Left) -> None:
        """Call the plugins of this process, but for those that do not fit into the time, have been
        paused by now, or wait for an earlier event."""
        started = time.monotonic()
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

    def _is_wanted(self, owed: Elsewhere, event: Event, left: _Left) -> bool:
        """Whether to park the event: another lane's plugin can be asked here, and spare the row.

        Of a plugin that is paused nothing at all is called.
        """
        if owed.loaded is None or owed.paused:
            return True
        result = self._caller.ask(owed.loaded, owed.number, event, attempt=1)
        if result is None:
            return True
        self._record(event, owed.number, owed.loaded, result, left)
        return False

    def _record(
        self, event: Event, number: int, plugin: Loaded, result: Result, left: _Left
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
            reached("outcome.before")
            with short_transaction(self._engine) as connection:
                if result.end is End.POSTPONED:
                    backlog.park(connection, event, [number])
                else:
                    backlog.fail_first(connection, event, number, result.failure)
            reached("outcome.after")
        if is_settled(plugin, result):
            left.to_us |= self._order.release(number, event)

    def _leave(self, event: Event, left: _Left, off: list[int]) -> None:
        """Write down what is owed to others, and to us later, and who is off."""
        if left.parked or left.skipped or left.waiting or off:
            waiting = [number for number, _ in left.waiting]
            with short_transaction(self._engine) as connection:
                if left.parked:
                    backlog.park(connection, event, left.parked)
                if waiting:
                    backlog.park(connection, event, waiting, delay=LONG)
                note(connection, event.id, [*off, *left.skipped], Outcome.SKIPPED)
                for number in left.skipped:
                    self._order.pass_over(connection, number, event)
            reached("parked.after")
        for number in left.skipped:
            left.to_us |= self._order.release(number, event)
        for number, plugin in left.waiting:
            left.to_us |= self._order.check_again(plugin, number, event)


@dataclass(slots=True)
class _Left:
    """What is to be written down for the plugins that were not called.

    :ivar parked: they are owed the event now.
    :ivar waiting: they are owed it, after an earlier one.
    :ivar skipped: they do not want it, and what comes after it must not wait for it.
    :ivar to_us: this process has something to do in the backlog.
    """

    parked: list[int] = field(default_factory=list)
    waiting: list[tuple[int, Loaded]] = field(default_factory=list)
    skipped: list[int] = field(default_factory=list)
    to_us: bool = False

    def to_ourselves(self, number: int) -> None:
        """Owe it to a plugin of this process."""
        self.parked.append(number)
        self.to_us = True


def is_settled(plugin: Loaded, result: Result) -> bool:
    """Whether later events of the resource need not wait for this one any more."""
    if not plugin.ordered:
        return False
    if result.end is End.FAILED:
        return plugin.passes_dead and result.failure is not None and result.failure.delay is None
    return result.end in (End.DONE, End.SEEN)


def report(plugin: Loaded, event: Event, result: Result, attempt: int) -> None:
    """One log line per outcome; ERROR only where somebody must act."""
    fields: dict[str, Any] = {
        "event": str(event.id),
        "plugin": plugin.name,
        "attempt": attempt,
        "change": _change(event),
        "trace_id": trace_id(event.traceparent),
    }
    failure = result.failure
    if failure is None:
        log.debug("%s", result.end.value, extra=fields)
    elif failure.delay is not None:
        log.warning("failed, again in %.1f s: %s", failure.delay, failure.error, extra=fields)
    else:
        log.error(
            "dead letter: %s; see: eventworker deliveries list --state dead",
            failure.error,
            extra=fields,
        )


def _change(event: Event) -> str:
    return f"{event.method} {event.resource}/{event.resource_id}"
