"""Calling a plugin with several events in one transaction, where it has said that it may be.

One BEGIN, one statement for the inbox rows and one COMMIT are paid for by all events of a group.
What breaks a group is undone, and its events are done anew in smaller groups, at last one by one
and each in a transaction of its own, where every failure finds the event that it belongs to.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Engine

from eventworker.db import GroupBroken, GroupTransaction, Origin, first_line
from eventworker.engine.attempt import Caller, End, Result
from eventworker.engine.loader import Loaded
from eventworker.engine.pace import Pace
from eventworker.engine.surroundings import end_if_forked
from eventworker.engine.timelimit import Alarm, alarm
from eventworker.errors import DatabaseUnavailable
from eventworker.event import Event
from eventworker.failpoints import reached
from eventworker.inbox.claims import FirstClaim
from eventworker.inbox.group import GroupClaim, claimed_group

log = logging.getLogger(__name__)

#: Seconds after which a group makes no further call: for so long it holds locks, and so much is
#: done anew when it breaks.
_LONGEST = 0.1


class GroupCaller:
    """Calls plugins of this process with groups of events.

    :param largest: events in a group, at the most.
    """

    def __init__(self, engine: Engine, caller: Caller, largest: int) -> None:
        self._engine = engine
        self._caller = caller
        self._slot = caller.slot
        self._largest = largest
        self._paces: dict[int, Pace] = {}

    def call(
        self,
        plugin: Loaded,
        number: int,
        events: Sequence[Event],
        may_begin: Callable[[], bool],
    ) -> list[Result | None]:
        """Call the plugin with each of the events, which have not been delivered before.

        :param may_begin: asked before each transaction; when it says no, the rest is not called.
        :returns: what became of each, in their order; None for those not called.
        :raises DatabaseUnavailable: when the database is away; whatever is done by then is known to
            the inbox, and the same call has to be made again.
        """
        pace = self._paces.setdefault(number, Pace(self._largest))
        tasks = [_Task(event) for event in events]
        waiting = [tasks]
        while waiting and may_begin():
            group = waiting.pop()
            if len(group) > pace.size:
                waiting.append(group[pace.size :])
                group = group[: pace.size]
            if len(group) == 1:
                group[0].result = self._alone(plugin, number, group[0].event)
                pace.grow(1)
                continue
            attempt = _Attempt(plugin, number, [task.event for task in group])
            try:
                self._together(attempt)
            except GroupBroken as broken:
                log.info(
                    "%d events are done anew in smaller groups: %s",
                    len(group),
                    first_line(broken.__cause__ or broken),
                    extra={"plugin": plugin.name},
                )
                pace.shrink()
                waiting += reversed(_parts(group, attempt.culprit))
                continue
            for task, result in zip(group, attempt.results, strict=True):
                task.result = result
            if attempt.begun < len(group):
                waiting.append(group[attempt.begun :])
                pace.limit(attempt.begun)
            else:
                pace.grow(len(group))
        return [task.result for task in tasks]

    def _alone(self, plugin: Loaded, number: int, event: Event) -> Result:
        return self._caller.call(plugin, number, event, FirstClaim(event.id, number), attempt=1)

    def _together(self, attempt: _Attempt) -> None:
        """One transaction.

        :raises GroupBroken: when nothing of it was kept.
        """
        claim = GroupClaim(attempt.number, [event.id for event in attempt.events])
        # A death while the inbox rows are written is nobody's fault; so is one in the COMMIT.
        self._slot.leave()
        try:
            with (
                self._caller.surroundings.kept(attempt.plugin.name),
                alarm() as timer,
                claimed_group(self._engine, claim) as group,
            ):
                attempt.note_seen(claim)
                call = self._call_batch if attempt.plugin.has_batch else self._call_each
                call(attempt, group, timer)
                self._slot.enter_group(attempt.number, attempt.plugin.handler_timeout)
                timer.start(attempt.plugin.handler_timeout)
                group.flush()
                timer.stop()
                self._slot.leave()
                reached("group.flushed")
                claim.give_up(group.connection, attempt.undone)
        except DatabaseUnavailable as error:
            if not self._caller.answers():
                raise
            raise GroupBroken(first_line(error)) from error
        except Exception as error:
            raise GroupBroken(first_line(error)) from error

    def _call_each(self, attempt: _Attempt, group: GroupTransaction, timer: Alarm) -> None:
        plugin, number, limit = attempt.plugin, attempt.number, attempt.plugin.handler_timeout
        performs, pid = plugin.performs, os.getpid()
        cut_at = time.monotonic() + _LONGEST
        for index, event in enumerate(attempt.events):
            if attempt.results[index] is not None:
                continue
            if index and time.monotonic() > cut_at:
                attempt.cut(index)
                return
            attempt.culprit = index
            session = group.session()
            session.origin = Origin(event.id, number, plugin.name, performs)
            self._slot.enter(event.id, number, limit)
            timer.start(limit)
            try:
                try:
                    self._caller.handle(plugin, session, event)
                finally:
                    end_if_forked(pid)
                group.end_call(session)
            except GroupBroken:
                raise
            except BaseException as error:  # SystemExit and its like are the plugin's, not ours
                result = self._caller.verdict(plugin, 1, error)
                if result is None or session.has_sent:
                    group.break_up(error)
                session.dispose()
                attempt.results[index] = result
            else:
                attempt.results[index] = _DONE
                reached("group.called")
            finally:
                timer.stop()
                self._slot.returned()
        attempt.culprit = None
        self._slot.leave()

    def _call_batch(self, attempt: _Attempt, group: GroupTransaction, timer: Alarm) -> None:
        plugin, number, pid = attempt.plugin, attempt.number, os.getpid()
        events = attempt.unseen
        if not events:
            return
        session = group.session()
        session.origins = {
            event.id: Origin(event.id, number, plugin.name, plugin.performs) for event in events
        }
        self._slot.enter_group(number, plugin.handler_timeout)
        timer.start(plugin.handler_timeout)
        try:
            try:
                plugin.call_batch(session, events)
            finally:
                end_if_forked(pid)
            group.end_call(session)
        except GroupBroken:
            raise
        except BaseException as error:
            group.break_up(error)
        finally:
            timer.stop()
        attempt.results = [result or _DONE for result in attempt.results]


_DONE, _SEEN = Result(End.DONE), Result(End.SEEN)


@dataclass(slots=True)
class _Task:
    """An event, and what became of its call."""

    event: Event
    result: Result | None = None


class _Attempt:
    """One transaction for some events, and what becomes of them in it.

    :ivar results: of those that were called, or are settled already, in the order of ``events``.
    :ivar begun: how many events, from the first on, have theirs.
    :ivar culprit: the index of the event whose call broke the group; None if nobody can tell.
    """

    def __init__(self, plugin: Loaded, number: int, events: list[Event]) -> None:
        self.plugin = plugin
        self.number = number
        self.events = events
        self.results: list[Result | None] = [None] * len(events)
        self.begun = len(events)
        self.culprit: int | None = None

    def note_seen(self, claim: GroupClaim) -> None:
        """What was not taken has been handled before."""
        if not claim.has_all:
            for index, event in enumerate(self.events):
                if event.id not in claim.taken:
                    self.results[index] = _SEEN

    @property
    def unseen(self) -> list[Event]:
        """The events that are to be handled here."""
        pairs = zip(self.events, self.results, strict=True)
        return [event for event, result in pairs if result is None]

    def cut(self, begun: int) -> None:
        """Make no further calls; the rest comes in another transaction."""
        self.begun = begun
        self.culprit = None
        self.results[begun:] = [None] * (len(self.events) - begun)

    @property
    def undone(self) -> set[UUID]:
        """The events of which nothing is to be kept in this transaction."""
        pairs = zip(self.events, self.results, strict=True)
        return {event.id for event, result in pairs if result is None or result.end is End.FAILED}


def _parts(group: list[_Task], culprit: int | None) -> list[list[_Task]]:
    """What to do a broken group in: around the event that broke it, or in halves."""
    if culprit is None:
        middle = len(group) // 2
        parts = [group[:middle], group[middle:]]
    else:
        parts = [group[:culprit], [group[culprit]], group[culprit + 1 :]]
    return [part for part in parts if part]
