"""What is between an ordered plugin's cursor and an event, as the outbox and the inbox have it.

An event there that has left the outbox and has no outcome is under way with the broker, or it was
never owed: it left before the plugin was switched on, or nobody here knew yet that the plugin is
ordered. Nothing tells the two apart but time. That is the database's: an event that waits is a row
of the backlog, which is as old as its wait, whoever looks at it.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, exists, func, or_, select, true

from eventworker.db import clock
from eventworker.engine.loader import Loaded
from eventworker.inbox import waiting
from eventworker.inbox.claims import Outcome, inbox_table
from eventworker.inbox.registry import plugin_table
from eventworker.outbox.table import DEAD, READY, outbox_table

log = logging.getLogger(__name__)

_outbox = outbox_table.c
_inbox = inbox_table.c
_plugin = plugin_table.c

#: Seconds that an event waits for one that had left the outbox before the plugin was switched on:
#: if the broker still has it, it came first and is in some consumer's hands.
_UNDER_WAY = 10.0
#: Seconds after the plugin was switched on in which such events leave the outbox, too, besides the
#: age of a consumer's copy of the registry: for so long its message may have been under way.
_SPREAD = 5.0
#: Places of which the log has said that they are handled without an earlier one.
_REMEMBERED = 10_000
#: When the daemon started, which has this module before it forks: what a consumer that is replaced
#: waited for, its successor goes on waiting for.
_up_since = time.monotonic()


@dataclass(frozen=True, slots=True)
class Place:
    """An event's place among those of its resource, to one plugin."""

    plugin: int
    stream: str
    seq: int


class Gaps:
    """The gaps before the events that this process looks at.

    :param brokered: events go from the outbox to a broker, so one that has left it may still be
        under way; else it has left it because it is done.
    :param refresh: seconds after which all consumers know of a plugin that is switched on.
    """

    def __init__(self, brokered: bool, refresh: float) -> None:
        self._brokered = brokered
        self._spread = timedelta(seconds=refresh + _SPREAD)
        self._passed: set[Place] = set()

    def is_open(self, connection: Connection, plugin: Loaded, place: Place, after: int) -> bool:
        """Whether an event after the cursor, and before this place, has to be waited for."""
        has_outcome = exists().where(_inbox.event_id == _outbox.id, _inbox.plugin == place.plugin)
        final = [Outcome.DONE, Outcome.SKIPPED, Outcome.DISCARDED]
        if plugin.passes_dead:
            final.append(Outcome.DEAD)
        unsettled = select(_outbox.id).where(
            _outbox.stream == place.stream,
            _outbox.seq > after,
            _outbox.seq < place.seq,
            _outbox.state != DEAD,
            ~has_outcome.where(_inbox.outcome.in_([int(each) for each in final])),
        )
        comes = or_(_outbox.state == READY, has_outcome)
        if not self._brokered:
            return _finds(connection, unsettled.where(comes))
        if not _finds(connection, unsettled):
            return False
        waited = self._waited(connection, place)
        if waited < min(_UNDER_WAY, plugin.order_gap_timeout):
            return True
        owed = _outbox.settled_at >= self._owed_since(connection, place.plugin)
        late = or_(
            and_(owed, _is_given_within(plugin.order_gap_timeout, waited)),
            and_(~owed, _is_given_within(_UNDER_WAY, waited)),
        )
        if _finds(connection, unsettled.where(or_(comes, late))):
            return True
        if _finds(connection, unsettled.where(owed)):
            self._tell(plugin, place, waited)
        return False

    def _waited(self, connection: Connection, place: Place) -> float:
        waited = waiting.waited(connection, place.plugin, place.stream, place.seq)
        # Not the time in which nobody worked: the earlier event was with the broker meanwhile.
        return min(waited, time.monotonic() - _up_since)

    def _owed_since(self, connection: Connection, number: int) -> datetime:
        """What left the outbox from then on, everybody knew to be owed to the plugin in order."""
        since: datetime = connection.scalars(
            select(func.coalesce(_plugin.ordered_since, _plugin.since)).where(
                _plugin.number == number
            )
        ).one()
        return since + self._spread

    def _tell(self, plugin: Loaded, place: Place, waited: float) -> None:
        if place in self._passed:  # its call has failed, and comes again
            return
        log.error(
            "%s %d is handled although an earlier event of it did not come in %.0f s",
            place.stream,
            place.seq,
            waited,
            extra={"plugin": plugin.name},
        )
        if len(self._passed) >= _REMEMBERED:
            self._passed.clear()
        self._passed.add(place)


def _finds(connection: Connection, query: Select[Any]) -> bool:
    return connection.execute(query.limit(1)).first() is not None


def _is_given_within(timeout: float, waited: float) -> ColumnElement[bool]:
    """In SQL: an event that has ``waited`` goes on waiting, since the broker was given the row in
    this time, perhaps for a second time.
    """
    if waited < timeout:
        return true()
    return func.coalesce(_outbox.sent_at, _outbox.settled_at) > clock(-timeout)
