"""Deliveries on their way out: read page by page, sent, and noted once the server has them.

Nothing says that an XMPP server has taken a stanza. But it handles a component's stanzas in their
order; so a question that the component asks itself comes back when all before it are handled. What
was sent and not noted is sent again after a crash, under the same ids.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from sqlalchemy import Connection

from eventworker.db import first_line
from eventworker.errors import DatabaseUnavailable
from eventworker.pubsub.deliveries import Addressee, Delivery, done, page, told, waiting
from eventworker_xmpp.messages import COUNTED, Sent
from eventworker_xmpp.notifications import Notification, Writer
from eventworker_xmpp.options import Options
from eventworker_xmpp.work import Work

log = logging.getLogger(__name__)

#: Addressees that are told before that is noted.
_PAGE = 1000
#: Deliveries that are looked at together.
_TOGETHER = 100
#: Bytes that are handed to the connection at a time.
_CHUNK = 128 * 1024
#: Seconds between two looks, unless something is known to have been published.
POLL = 0.2
_AWAY_PAUSE = 1.0


class Link(Protocol):
    """The connection to the server."""

    async def send_bytes(self, data: bytes) -> None:
        """Send whole stanzas; waits while too much is still on its way."""

    async def barrier(self) -> None:
        """Wait until the server has handled what was sent."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A page of a delivery."""

    delivery: Delivery
    addressees: Sequence[Addressee]


class Deliverer:
    """Tells what the listener ``listener`` is owed.

    :param linked: waits for a connection and returns it.
    :param sent: where it notes what a message was about.
    """

    def __init__(
        self,
        options: Options,
        work: Work,
        listener: int,
        linked: Callable[[], Awaitable[Link]],
        sent: Sent,
    ) -> None:
        self._options = options
        self._work = work
        self._listener = listener
        self._linked = linked
        self._sent = sent
        self._writer = Writer(
            options.jid, options.legacy_subscription_messages, options.max_stanza_bytes
        )
        self._written: tuple[Delivery, list[Notification]] | None = None
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """There may be something to tell."""
        self._wake.set()

    async def run(self, worked: Callable[[], None]) -> None:
        """Deliver until cancelled.

        :param worked: called after each batch.
        """
        batch: list[Leaf] = []
        while True:
            try:
                link = await self._linked()
                await self._tell(link, batch)
                self._wake.clear()
                told_now = bool(batch)
                batch = await self._work.transaction(
                    partial(self._turn, told_now=batch), writes=told_now
                )
                if told_now:
                    worked()
            except ConnectionError:
                batch = []
                continue
            except DatabaseUnavailable as error:
                batch = []
                log.warning("deliveries pause: %s", first_line(error))
                await asyncio.sleep(_AWAY_PAUSE)
                continue
            if not batch:
                await self._pause()

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), POLL)

    async def _tell(self, link: Link, batch: Sequence[Leaf]) -> None:
        """Send a batch, and wait until the server has it."""
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
        if any(leaf.addressees for leaf in batch):
            await link.barrier()

    def _messages(self, delivery: Delivery) -> list[Notification]:
        """The delivery's messages; those of one that takes many pages are written once."""
        # Not by its id, which SQLite gives again.
        if self._written is None or self._written[0] != delivery:
            made = self._made(delivery)
            for each in made:
                if each.id.startswith(COUNTED):
                    self._sent.note(each.id, delivery.audience or delivery.node)
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

    def _turn(self, connection: Connection, told_now: Sequence[Leaf]) -> list[Leaf]:
        """Note what has been told, and read what is next, in one transaction."""
        for leaf in told_now:
            self._note(connection, leaf)
        left = _PAGE
        batch = []
        for delivery in waiting(connection, self._listener, _TOGETHER):
            leaf = Leaf(delivery, self._page(connection, delivery, left))
            batch.append(leaf)
            left -= len(leaf.addressees)
            if left <= 0:
                break
        return batch

    def _note(self, connection: Connection, leaf: Leaf) -> None:
        if leaf.addressees:
            told(connection, leaf.delivery, leaf.addressees[-1].jid)
        if leaf.delivery.recipient is not None or not self._page(connection, leaf.delivery, 1):
            done(connection, leaf.delivery)

    def _page(self, connection: Connection, delivery: Delivery, limit: int) -> list[Addressee]:
        settings = self._options.settings
        return page(connection, delivery, limit, settings.service, settings.admins)
