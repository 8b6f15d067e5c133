"""A client that hears: it has a lease in the database, takes what it is owed, and fires signals."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Engine

from eventworker.db import first_line, short_transaction
from eventworker.pubsub import deliveries
from eventworker.pubsub.deliveries import Addressee, Delivery
from eventworker.pubsub.hearing import Message, News
from eventworker.pubsub.notices import Word
from eventworker.pubsub.options import Settings
from eventworker.pubsub.signals import Signals
from eventworker.pubsub.transactions import Transactions

log = logging.getLogger(__name__)

#: Seconds that a client is owed notifications after it was last heard of.
LEASE = 60.0
#: Seconds between two looks at the database: soon after something was heard, and at the most.
_SOON, _LATEST = 0.02, 0.5
#: Deliveries that are read at once.
_BITE = 100


class Listening:
    """One client's listening, from :meth:`register` to :meth:`stop`."""

    def __init__(self, engine: Engine, settings: Settings, jid: str, signals: Signals) -> None:
        self._engine = engine
        self._settings = settings
        self._jid = jid
        self._signals = signals
        self._listener: int | None = None
        self._renew_at = 0.0
        self._stopping = False
        self._wake: Callable[[], object] = lambda: None
        self._pause = _SOON
        self._is_away = False

    def register(self) -> None:
        """From when this is committed, the client is owed what happens."""
        with short_transaction(self._engine) as connection:
            self._register(connection)
        self._renew_at = time.monotonic() + LEASE / 3

    def stop(self) -> None:
        """End :meth:`run` soon; may be called from any thread."""
        self._stopping = True
        with suppress(RuntimeError):  # the loop has ended by itself
            self._wake()

    def run_here(self) -> None:
        """:meth:`run` in an event loop of its own, for a thread that has none."""
        asyncio.run(self.run())

    async def run(self) -> None:
        """Fire the signals of what comes, in order, until stopped."""
        loop, woken = asyncio.get_running_loop(), asyncio.Event()
        self._wake = lambda: loop.call_soon_threadsafe(woken.set)
        try:
            while not self._stopping:
                heard = await self._turn()
                self._pause = _SOON if heard else min(self._pause * 1.5, _LATEST)
                if not self._stopping and heard < _BITE:
                    await _wait(woken, self._pause)
        finally:
            self._wake = lambda: None
            await self._in_database(self._remove)

    async def _turn(self) -> int:
        """One look; returns how much was heard."""
        if time.monotonic() > self._renew_at:
            await self._in_database(self._renew)
        found = await self._in_database(self._look, writes=False) or []
        told: list[Delivery] = []
        try:
            for delivery, news in found:
                for each in news:
                    await self._fire(each)
                told.append(delivery)
                if self._stopping:
                    break
        finally:
            if told:
                await self._in_database(self._note, told)
        return len(told)

    async def _fire(self, news: News) -> None:
        try:
            await news.fire(self._signals)
        except Exception:  # written by another version; what follows is to be heard all the same
            log.exception("notice %s cannot be understood", news.message.id)

    async def _in_database(self, work: Callable[..., Any], *args: Any, writes: bool = True) -> Any:
        """What the work returns; None while the database is away, which is logged once."""
        try:
            made = await asyncio.to_thread(self._transaction, writes, work, *args)
        except Exception as error:
            if not self._is_away:
                log.warning("%s hears nothing for now: %s", self._jid, first_line(error))
            self._is_away = True
            return None
        self._is_away = False
        return made

    def _transaction(self, writes: bool, work: Callable[..., Any], *args: Any) -> Any:
        # On SQLite a look may not wait for those who write.
        begin = short_transaction if writes else Engine.begin
        with begin(self._engine) as connection:
            return work(connection, *args)

    def _register(self, connection: Connection) -> None:
        # Several clients of one address each hear everything.
        name = f"{self._jid} {uuid4()}"
        self._listener = deliveries.register(connection, name, self._jid, LEASE)

    def _look(self, connection: Connection) -> list[tuple[Delivery, list[News]]]:
        assert self._listener is not None
        found = []
        for delivery in deliveries.waiting(connection, self._listener, _BITE):
            # Itself, with its resource and without one: all of them are on the first page.
            addressees = deliveries.page(
                connection, delivery, _BITE, self._settings.service, self._settings.admins
            )
            found.append((delivery, [self._news(delivery, each) for each in addressees]))
        return found

    def _news(self, delivery: Delivery, to: Addressee) -> News:
        reply_to = tuple(delivery.content.get("reply_to", ()))
        message = Message(
            str(delivery.notice_id),
            to.jid,
            tuple(to.subids),
            delivery.made_at,
            reply_to,
            tuple(to.collections),
        )
        word = Word(delivery.word)
        return News(self._settings.service, delivery.node, word, delivery.content, message)

    def _renew(self, connection: Connection) -> None:
        assert self._listener is not None
        if not deliveries.renew(connection, self._listener, LEASE):
            log.warning("%s was away for too long, and has missed what was said", self._jid)
            self._register(connection)
        self._renew_at = time.monotonic() + LEASE / 3

    def _note(self, connection: Connection, told: list[Delivery]) -> None:
        for delivery in told:
            deliveries.done(connection, delivery)

    def _remove(self, connection: Connection) -> None:
        assert self._listener is not None
        deliveries.remove(connection, self._listener)


async def _wait(woken: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(woken.wait(), seconds)


def registered(transactions: Transactions, jid: str, signals: Signals) -> Listening:
    """A listening that is owed, from now on, what is committed.

    :raises ValueError: inside a caller's transaction, where nothing can be waited for.
    """
    if transactions.engine is None:
        raise ValueError("a client in its caller's transaction cannot listen")
    made = Listening(transactions.engine, transactions.settings, jid, signals)
    made.register()
    return made
