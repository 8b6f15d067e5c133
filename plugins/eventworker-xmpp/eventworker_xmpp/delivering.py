"""Deliveries on their way out: read page by page, sent, and noted once the server has them.

Nothing says that an XMPP server has taken a stanza. But it handles a component's stanzas in their
order; so a question that the component asks itself comes back when all before it are handled. What
was sent and not noted is sent again after a crash, under the same ids.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from sqlalchemy import Connection

from eventworker.db import first_line
from eventworker.errors import DatabaseUnavailable
from eventworker.pubsub.deliveries import (
    Addressee,
    Delivery,
    done,
    page,
    register,
    told,
    waiting,
)
from eventworker_xmpp.messages import COUNTED, Sent
from eventworker_xmpp.notifications import Notification, Writer
from eventworker_xmpp.options import Options
from eventworker_xmpp.work import Work

log = logging.getLogger(__name__)

#: Addressees that are told before that is noted. Reading and noting a page costs the database some
#: milliseconds whatever its length: with 500 that was half of all the time.
PAGE = 2000
#: Deliveries that are looked at together.
_TOGETHER = 100
#: Bytes that are handed to the connection at a time.
_CHUNK = 128 * 1024
#: Seconds between two looks, unless something is known to have been published.
POLL = 0.2
_AWAY_PAUSE = 1.0
#: Seconds between two looks whether somebody has retired the component.
LOOK = 30.0
#: Seconds that a roster counts as read, for a delivery of many pages.
_RECENT = 1.0

#: What tells a delivery from all others.
Key = tuple[int, int]


class Link(Protocol):
    """The connection to the server."""

    async def send_bytes(self, data: bytes) -> None:
        """Send whole stanzas; waits while too much is still on its way."""

    async def barrier(self) -> None:
        """Wait until the server has handled what was sent."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A page of a delivery.

    :ivar finished: whether it is the last one.
    """

    delivery: Delivery
    addressees: Sequence[Addressee]
    finished: bool


class Deliverer:
    """Tells what a listener is owed.

    :param name: of the listener.
    :param linked: waits for a connection and returns it.
    :param sent: where it notes what a message was about.
    :param read_roster: has the service know a roster as it is then, if it can be read.
    :param look_every: seconds between two looks whether the listener is still there.
    """

    def __init__(
        self,
        options: Options,
        work: Work,
        name: str,
        linked: Callable[[], Awaitable[Link]],
        sent: Sent,
        read_roster: Callable[[str], Awaitable[bool]],
        look_every: float = LOOK,
    ) -> None:
        self._options = options
        self._work = work
        self._name = name
        self._listener = 0
        self._look_every = look_every
        self._look_at = 0.0
        self._linked = linked
        self._sent = sent
        self._read_roster = read_roster
        # Deliveries whose rosters have been read, each until when that is recent enough.
        self._read: dict[Key, float] = {}
        self._writer = Writer(
            options.jid, options.legacy_subscription_messages, options.max_stanza_bytes
        )
        self._written: tuple[Delivery, list[Notification]] | None = None
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """There may be something to tell."""
        self._wake.set()

    async def register(self) -> None:
        """Be owed from now on, or still, what is said.

        :raises DatabaseUnavailable: when the database is away.
        """
        there = await self._work.transaction(partial(register, name=self._name))
        if self._listener not in (0, there):
            log.warning("the component was retired while it ran; it tells what is said from now")
        self._listener = there
        self._look_at = time.monotonic() + self._look_every

    async def run(self, worked: Callable[[], None]) -> None:
        """Deliver until cancelled.

        :param worked: called after each batch.
        """
        while True:
            link = await self._linked()
            try:
                await self._deliver(link, worked)
            except ConnectionError:
                continue
            except DatabaseUnavailable as error:
                log.warning("deliveries pause: %s", first_line(error))
                await asyncio.sleep(_AWAY_PAUSE)

    async def _deliver(self, link: Link, worked: Callable[[], None]) -> None:
        """Deliver over one connection. While the server is at work on a batch, the one before it is
        noted and the next one is read."""
        arrived: list[Leaf] = []
        batch: list[Leaf] = []
        while True:
            is_for_anybody = await self._send(link, batch)
            passed = asyncio.ensure_future(link.barrier()) if is_for_anybody else None
            try:
                self._wake.clear()
                turn = partial(self._turn, arrived=arrived, under_way=batch, ready=self._ready())
                following, unread = await self._work.transaction(turn, writes=bool(arrived))
                if passed is not None:
                    await passed
            finally:
                if passed is not None:
                    passed.cancel()
            if arrived:
                worked()
            arrived, batch = batch, following
            if unread:
                await self._read_rosters(unread)
            elif not arrived and not batch:
                if time.monotonic() >= self._look_at:
                    await self.register()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), POLL)

    def _ready(self) -> frozenset[Key]:
        now = asyncio.get_running_loop().time()
        self._read = {key: until for key, until in self._read.items() if until > now}
        return frozenset(self._read)

    async def _read_rosters(self, unread: Sequence[Delivery]) -> None:
        """Have the service know who is in which group, now that these are to be told."""
        owners = sorted(set().union(*(each.rosters for each in unread)))
        await asyncio.gather(*map(self._read_roster, owners))
        until = asyncio.get_running_loop().time() + _RECENT
        self._read |= {_key(each): until for each in unread}

    async def _send(self, link: Link, batch: Sequence[Leaf]) -> bool:
        """Send a batch; returns whether there was anybody to send it to."""
        chunk: list[bytes] = []
        size = 0
        for leaf in batch:
            if not leaf.addressees:
                continue
            for message in self._messages(leaf.delivery):
                for addressee in leaf.addressees:
                    one = message.to(addressee, self._options.settings.multi_subscribe)
                    chunk.append(one)
                    size += len(one)
                    if size >= _CHUNK:
                        await link.send_bytes(b"".join(chunk))
                        chunk, size = [], 0
        if chunk:
            await link.send_bytes(b"".join(chunk))
        return any(leaf.addressees for leaf in batch)

    def _messages(self, delivery: Delivery) -> list[Notification]:
        """The delivery's messages; those of one that takes many pages are written once."""
        # Not by its id, which SQLite gives again.
        if self._written is None or self._written[0] != delivery:
            made = self._made(delivery)
            for each in made:
                if each.id.startswith(COUNTED):
                    self._sent.note(each.id, delivery.audiences or (delivery.node,))
            self._written = (delivery, made)
        return self._written[1]

    def _made(self, delivery: Delivery) -> list[Notification]:
        try:
            return self._writer.messages(delivery)
        except Exception:  # otherwise all that comes after it would wait for ever
            log.exception(
                "notice %d of %s cannot be written: nobody is told",
                delivery.notice_id,
                delivery.node,
            )
            return []

    def _turn(
        self,
        connection: Connection,
        arrived: Sequence[Leaf],
        under_way: Sequence[Leaf],
        ready: Collection[Key],
    ) -> tuple[list[Leaf], list[Delivery]]:
        """Note what has arrived, and read what comes after what is under way, up to the first
        delivery whose rosters have to be read before; returns those, too.

        :param ready: deliveries whose rosters have been read.
        """
        for leaf in arrived:
            if leaf.finished:
                done(connection, leaf.delivery)
            else:
                told(connection, leaf.delivery, leaf.addressees[-1].jid)
        reached = {leaf.delivery.id: leaf for leaf in under_way}
        left = PAGE
        batch: list[Leaf] = []
        unread: list[Delivery] = []
        for delivery in waiting(connection, self._listener, _TOGETHER + len(reached)):
            before = reached.get(delivery.id)
            if before is not None and before.finished:
                continue
            if delivery.rosters and _key(delivery) not in ready:
                unread.append(delivery)
            if unread:
                continue  # in their order
            after = before.addressees[-1].jid if before is not None else None
            leaf = self._leaf(connection, delivery, left, after)
            batch.append(leaf)
            left -= len(leaf.addressees)
            if left <= 0:
                break
        return batch, unread

    def _leaf(
        self, connection: Connection, delivery: Delivery, limit: int, after: str | None
    ) -> Leaf:
        page_of = partial(
            page,
            connection,
            delivery,
            local_domain=self._options.settings.service,
            admins=self._options.settings.admins,
        )
        addressees = page_of(limit=limit, after=after)
        finished = (
            not addressees
            or delivery.recipient is not None
            or not page_of(limit=1, after=addressees[-1].jid)
        )
        return Leaf(delivery, addressees, finished)


def _key(delivery: Delivery) -> Key:
    # Not its id alone, which SQLite gives again.
    return delivery.notice_id, delivery.id
