"""Order per resource: an event is handled when all before it have their outcome.

For plugins that declare ``ordered``, and events whose place (``seq``) was taken in the producer's
transaction. The outbox says what comes before an event, the inbox and the backlog what became of
that; so the answer is the same whatever the transport, and however often or late it delivers. An
outcome that is final stays so, hence an event whose turn it was found to be keeps its turn. The
cursor shortens the look, and is moved in the transaction of the plugin's effect from where the look
has seen it: whoever handled another event of the resource in between has moved it away.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from msgspec.structs import replace
from sqlalchemy import Connection, Engine, bindparam, select

from eventworker.db import short_transaction, translated
from eventworker.engine.gaps import Gaps, Place
from eventworker.engine.loader import Loaded
from eventworker.event import Event
from eventworker.failpoints import reached
from eventworker.inbox import cursor, waiting
from eventworker.inbox.claims import Claim
from eventworker.outbox.table import outbox_table

log = logging.getLogger(__name__)

_outbox = outbox_table.c
# Built once, since it is sent for each event.
_recorded = select(_outbox.seq).where(
    _outbox.id == bindparam("event"),
    _outbox.stream == bindparam("k"),
    _outbox.seq == bindparam("at"),
)

#: Seconds between two looks for events that wait and that nobody told of their turn.
_ROUSE_EVERY = 5.0
#: Seconds between the looks for an event that is perhaps on its way; a tenth together.
_PAUSES = (0.002, 0.004, 0.008, 0.016, 0.03, 0.04)
#: Seconds between two lines on events without a place.
_TELL_EVERY = 60.0


@dataclass(slots=True)
class InTurn:
    """A claim that also moves the cursor.

    :ivar at: where it was seen.
    :ivar lost: it was not there any more, and the event is not done: look again.
    """

    claim: Claim
    plugin: int
    stream: str
    seq: int
    at: int | None
    lost: bool = False

    def is_taken(self, connection: Connection) -> bool:
        return self.claim.is_taken(connection)

    def take(self, connection: Connection) -> str | None:
        # The cursor first: who waits for it holds nothing that its holder may want.
        in_turn = cursor.advance(connection, self.plugin, self.stream, self.at, self.seq)
        taken = self.claim.take(connection)
        self.lost = not in_turn and taken is not None
        return taken if in_turn else None


@dataclass(frozen=True, slots=True)
class Late:
    """The claim of an event behind which the plugin has got already: one that was a dead letter, or
    that nothing was known of when the next one came."""

    claim: Claim

    def is_taken(self, connection: Connection) -> bool:
        return self.claim.is_taken(connection)

    def take(self, connection: Connection) -> str | None:
        return self.claim.take(connection)


class Order:
    """The order that one process keeps.

    :param brokered: events go from the outbox to a broker, so one that has left it may still be
        under way; else it has left it because it is done.
    :param refresh: seconds after which all consumers know of a plugin that is switched on.
    """

    def __init__(self, engine: Engine, brokered: bool, refresh: float) -> None:
        self._engine = engine
        self._brokered = brokered
        self._gaps = Gaps(brokered, refresh)
        self._told: dict[tuple[int, str], list[int]] = {}
        self._roused_at = 0.0
        self._unordered: dict[str, int] = {}
        self._told_at = float("-inf")

    def placed(self, event: Event, wanted: bool) -> Event:
        """The event with its place, if the outbox of this database knows it at that place: a
        message's header may be a stranger's, or another database's.

        :param wanted: whether anybody asks for it. If not, it is not looked for, and not kept: a
            plugin may become ordered that is owed the event.
        :raises DatabaseUnavailable: when the database is away.
        """
        if event.seq is None or not self._brokered:
            return event
        if not wanted:
            return replace(event, seq=None)
        place = {"event": event.id, "k": event.stream, "at": event.seq}
        with self._look() as connection:
            known = connection.scalar(_recorded, place)
        return event if known is not None else replace(event, seq=None)

    def in_turn(self, plugin: Loaded, number: int, event: Event, claim: Claim) -> Claim | None:
        """The claim to call the plugin with; None while an earlier event is not settled.

        :raises DatabaseUnavailable: when the database is away.
        """
        if not plugin.ordered:
            return claim
        stream, seq = event.stream, event.seq
        if stream is None or seq is None:
            self._count_unordered(plugin)
            return claim
        with self._look() as connection:
            at = cursor.position(connection, number, stream)
            if at is not None and seq <= at:
                return Late(claim)
            if seq > (at or 0) + 1 and self._must_wait(
                connection, plugin, number, stream, at or 0, seq
            ):
                return None
        return InTurn(claim, number, stream, seq, at)

    def comes_soon(self, plugin: Loaded, number: int, event: Event) -> bool:
        """Wait a moment for the one before, as long as it may be on its way through another
        process; returns whether it is settled.

        Two consumers share a queue, so what one has just too early is often in the other's hands.
        To write it down as waiting costs more than that moment, and who does so gets ahead, and
        has to write down the next ones as well.
        """
        stream, seq = event.stream, event.seq
        if stream is None or seq is None:
            return False
        for pause in _PAUSES:
            with self._look() as connection:
                at = cursor.position(connection, number, stream) or 0
                if at >= seq - 1:
                    return True
                # One that is written down itself is not on its way.
                known = waiting.is_before(number, stream, at, seq, not plugin.passes_dead)
                if connection.scalar(select(known)):
                    return False
            time.sleep(pause)
        return False

    def check_again(self, plugin: Loaded, number: int, event: Event) -> bool:
        """Take note of an event that was just written down as waiting, if its turn has come.

        Who settled the one before may have looked for it right before it was there.

        :returns: whether the backlog of this process may take it.
        """
        stream, seq = event.stream, event.seq
        if stream is None or seq is None:
            return False
        with self._look() as connection:
            at = cursor.position(connection, number, stream) or 0
            if seq > at + 1 and self._must_wait(connection, plugin, number, stream, at, seq):
                return False
        return self._tell(number, stream, seq - 1)

    def pass_over(self, connection: Connection, number: int, event: Event) -> None:
        """Move the cursor over an event that the plugin does not want, where it is the next."""
        stream, seq = event.stream, event.seq
        if stream is None or seq is None:
            return
        # Read first: on MariaDB the update alone would wait for the end of a call.
        at = cursor.position(connection, number, stream)
        if (at or 0) == seq - 1:
            cursor.advance(connection, number, stream, at, seq)

    def release(self, number: int, event: Event) -> bool:
        """Look for what waits for this event, which is settled now; returns whether there is any,
        for the backlog of this process to take.

        After the commit: in the same transaction, one that is about to wait could miss it.
        """
        stream, seq = event.stream, event.seq
        if stream is None or seq is None:
            return False
        reached("order.settled")
        return self._tell(number, stream, seq)

    def _tell(self, number: int, stream: str, seq: int) -> bool:
        with self._look() as connection:
            ids = waiting.successors(connection, number, stream, seq)
        if ids:
            self._told[number, stream] = ids
        return bool(ids)

    def told(self, here: Collection[int]) -> list[int]:
        """The rows, by id, whose turn it is as this process has found; it may take them now.

        If it dies before, :meth:`rouse` finds them somewhere. Those of a plugin that is not called
        here any more are made due for others.
        """
        told, self._told = self._told, {}
        ours: list[int] = []
        others: list[int] = []
        for (number, _), ids in told.items():
            (ours if number in here else others).extend(ids)
        self._rouse(others)
        return ours

    def rouse(self, here: dict[int, Loaded]) -> None:
        """Now and then, make due what waits and was not told."""
        ordered = {number: plugin for number, plugin in here.items() if plugin.ordered}
        if not ordered or time.monotonic() - self._roused_at < _ROUSE_EVERY:
            return
        past_dead = [number for number, plugin in ordered.items() if plugin.passes_dead]
        with self._look() as connection:
            ids = waiting.heads(connection, list(ordered), past_dead)
        self._rouse(ids)
        self._roused_at = time.monotonic()

    def _rouse(self, ids: list[int]) -> None:
        if ids:
            with short_transaction(self._engine) as connection:
                waiting.rouse(connection, ids)

    def _must_wait(
        self, connection: Connection, plugin: Loaded, number: int, stream: str, at: int, seq: int
    ) -> bool:
        """Whether something between the cursor and the event is not settled."""
        known = waiting.is_before(number, stream, at, seq, dead=not plugin.passes_dead)
        if connection.scalar(select(known)):
            return True
        return self._gaps.is_open(connection, plugin, Place(number, stream, seq), at)

    def _count_unordered(self, plugin: Loaded) -> None:
        self._unordered[plugin.name] = self._unordered.get(plugin.name, 0) + 1
        if time.monotonic() - self._told_at < _TELL_EVERY:
            return
        for name, number in self._unordered.items():
            log.warning(
                "plugin %s is ordered, and %d events were handled as they came: they were not "
                "recorded in order, in the outbox of this database",
                name,
                number,
            )
        self._unordered.clear()
        self._told_at = time.monotonic()

    @contextmanager
    def _look(self) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                if self._engine.dialect.name == "postgresql":
                    # Spares the round trips of BEGIN and ROLLBACK.
                    connection = connection.execution_options(isolation_level="AUTOCOMMIT")
                yield connection
        except Exception as error:
            raise translated(error) from error
