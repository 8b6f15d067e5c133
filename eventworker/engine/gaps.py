"""What is between an ordered plugin's cursor and an event, as the outbox and the inbox have it.

An event there that has left the outbox and has no outcome is under way with the broker, or it was
never owed: it left before the plugin was switched on, or nobody here knew yet that the plugin is
ordered. Nothing tells the two apart but time.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, exists, func, or_, select

from eventworker.engine.loader import Loaded
from eventworker.inbox.claims import Outcome, inbox_table
from eventworker.inbox.registry import plugin_table
from eventworker.outbox.table import DEAD, LOST, READY, SENT, outbox_table

log = logging.getLogger(__name__)

_outbox = outbox_table.c
_inbox = inbox_table.c
_plugin = plugin_table.c

#: Seconds that an event waits for one that had left the outbox before the plugin was switched on:
#: if the broker still has it, it came first and is in some consumer's hands.
_UNDER_WAY = 10.0
#: Waits whose begin is kept; of others it begins anew.
_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Place:
    """An event's place among those of its resource, to one plugin."""

    plugin: int
    stream: str
    seq: int


class Gaps:
    """What this process knows of the gaps before the events that it has looked at.

    :param brokered: events go from the outbox to a broker, so one that has left it may still be
        under way; else it has left it because it is done.
    """

    def __init__(self, brokered: bool) -> None:
        self._brokered = brokered
        self._begun: OrderedDict[Place, float] = OrderedDict()

    def is_open(self, connection: Connection, plugin: Loaded, place: Place, after: int) -> bool:
        """Whether an event after the cursor, and before this place, has to be waited for."""
        waited = self._waited(place)
        found = connection.execute(self._first_open(plugin, place, after, waited)).one_or_none()
        if found is None:
            if self._begun.pop(place, None) is not None and waited >= plugin.order_gap_timeout:
                log.error(
                    "%s %d is handled although an earlier event of it did not come in %.0f s",
                    place.stream,
                    place.seq,
                    waited,
                    extra={"plugin": plugin.name},
                )
            return False
        if found.state in (SENT, LOST) and not found.has_outcome:
            self._begin(place)
        else:
            self.forget(place)
        return True

    def forget(self, place: Place) -> None:
        """There is nothing to wait for, or it is known what became of it."""
        self._begun.pop(place, None)

    def _first_open(self, plugin: Loaded, place: Place, after: int, waited: float) -> Any:
        final = [Outcome.DONE, Outcome.SKIPPED, Outcome.DISCARDED]
        if plugin.passes_dead:
            final.append(Outcome.DEAD)
        has_outcome = exists().where(_inbox.event_id == _outbox.id, _inbox.plugin == place.plugin)
        is_settled = has_outcome.where(_inbox.outcome.in_([int(each) for each in final]))
        since = (
            select(func.coalesce(_plugin.ordered_since, _plugin.since))
            .where(_plugin.number == place.plugin)
            .scalar_subquery()
        )
        comes = [_outbox.state == READY, has_outcome]
        if self._brokered and waited < plugin.order_gap_timeout:
            comes.append(_outbox.settled_at >= since)
        if self._brokered and waited < _UNDER_WAY:
            comes.append(_outbox.settled_at < since)
        return (
            select(_outbox.state, has_outcome.label("has_outcome"))
            .where(
                _outbox.stream == place.stream,
                _outbox.seq > after,
                _outbox.seq < place.seq,
                _outbox.state != DEAD,
                ~is_settled,
                or_(*comes),
            )
            .order_by(_outbox.seq)
            .limit(1)
        )

    def _waited(self, place: Place) -> float:
        # By this process's own clock, and so never while the whole daemon was down.
        begun = self._begun.get(place)
        return 0.0 if begun is None else time.monotonic() - begun

    def _begin(self, place: Place) -> None:
        self._begun.setdefault(place, time.monotonic())
        while len(self._begun) > _REMEMBERED:
            self._begun.popitem(last=False)
