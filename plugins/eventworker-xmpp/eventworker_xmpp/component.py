"""The component: connected as long as it runs, and at work while it is connected."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import secrets
from collections.abc import Callable
from contextlib import suppress
from xml.etree.ElementTree import Element

from sqlalchemy import Engine

from eventworker.db import first_line
from eventworker.errors import DatabaseUnavailable, EventworkerError
from eventworker_xmpp.delivering import Deliverer
from eventworker_xmpp.names import local_of
from eventworker_xmpp.options import Options
from eventworker_xmpp.questions import Questions
from eventworker_xmpp.reception import Reception
from eventworker_xmpp.roll import Roll
from eventworker_xmpp.rosters import Rosters
from eventworker_xmpp.stanzas import answer, ping
from eventworker_xmpp.stream import Stream
from eventworker_xmpp.work import Work

log = logging.getLogger(__name__)

#: Name of the component among those who are owed notifications.
LISTENER = "xmpp"
#: Seconds that the server may take for what it has been sent, and for a connection.
_PATIENCE = 30.0
#: Seconds after which a connection counts as a good one; some servers take a component only to end
#: its connection at once, in favour of another one of its address.
_STEADY = 5.0
#: Seconds between two looks whether the server is still there.
_QUIET = 60.0
#: What the server answers to a component that it does not want. Ejabberd says of one that it does
#: not know that its secret is wrong.
_REFUSALS = {
    "not-authorized": "the secret is wrong: [xmpp] secret has to be what the server has for {jid}, "
    "if it has that component at all",
    "host-unknown": "it has no component {jid}: make one in its configuration",
    "conflict": "{jid} is there already, as a component or the server's own",
}


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


class Refused(EventworkerError):
    """The XMPP server does not want the component."""


class Component:
    """The service as a component of an XMPP server.

    :param worked: called when something has been done.
    """

    def __init__(
        self, options: Options, engine: Engine, worked: Callable[[], None] = lambda: None
    ) -> None:
        self._options = options
        self._worked = worked
        self._work = Work(engine, options.settings, options.threads)
        self._stream: Stream | None = None
        self._refused: str | None = None
        self._finishing = False
        self._roll = Roll(self._work, options.jid)
        self._connected = asyncio.Event()
        self._numbers = itertools.count(1)
        # Where a server gives an address to several, another one's questions come here.
        self._mark = f"b-{secrets.token_hex(4)}-"
        self._has_namesake = False
        self._barriers: dict[str, asyncio.Future[None]] = {}
        self._questions = Questions(
            options.jid, lambda data: self._current().send_now(data), _PATIENCE
        )
        self._rosters = Rosters(options, self._work, self._questions.ask)
        self._reception = Reception(
            options, self._work, self._send, self._hold, lambda: self._changed(), self._rosters
        )
        self._deliverer: Deliverer | None = None

    async def run(self, stopping: asyncio.Event, *, insist: bool = False) -> None:
        """Work until told to stop.

        :param insist: try again also when the server refuses the component.
        :raises Refused: when it does so, if not.
        :raises DatabaseUnavailable: when the database is away at the start.
        """
        self._deliverer = Deliverer(
            self._options,
            self._work,
            LISTENER,
            self._linked,
            self._reception.sent,
            self._rosters.read,
        )
        await self._deliverer.register()
        delivering = asyncio.create_task(self._deliverer.run(self._worked))
        connected = asyncio.create_task(self._stay_connected(insist))
        stop = asyncio.create_task(stopping.wait())
        try:
            await asyncio.wait([stop, delivering, connected], return_when=asyncio.FIRST_COMPLETED)
            for task in (delivering, connected):
                if task.done():
                    task.result()  # raises
        finally:
            stop.cancel()
            await _cancelled(delivering)
            await self._finish()
            await _cancelled(connected)
            self._work.close()

    async def _finish(self) -> None:
        """Answer what has arrived, take no more, and say goodbye."""
        self._finishing = True
        stream = self._stream
        if stream is None or not self._connected.is_set():
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await self._reception.finish()
        await stream.close()

    async def _stay_connected(self, insist: bool) -> None:
        tries = 0
        clock = asyncio.get_running_loop().time
        while True:
            began = clock()
            try:
                await self._connect()
                if clock() - began > _STEADY:
                    tries = 0
            except (OSError, TimeoutError) as error:
                self._complain(error, insist, first=not tries)
            tries += 1
            longest = min(self._options.reconnect_delay, 0.1 * 2 ** min(tries, 20))
            await asyncio.sleep(random.uniform(0.5, 1) * longest)

    async def _connect(self) -> None:
        """One connection, from its beginning to its end."""
        options = self._options
        stream = Stream(options.jid, options.secret, options.max_stanza_bytes, self._take)
        self._stream = stream
        tasks: list[asyncio.Task[None]] = []
        try:
            async with asyncio.timeout(_PATIENCE):
                await stream.open(options.host, options.port)
            log.info("connected to %s:%d as %s", options.host, options.port, options.jid)
            self._has_namesake = False
            self._connected.set()
            self._worked()
            tasks.append(asyncio.create_task(self._call_roll()))
            tasks.append(asyncio.create_task(self._keep_rosters()))
            await self._watch(stream)
            if not self._finishing:
                said = ": ".join(filter(None, (stream.refused, stream.said)))
                why = said or "it does not say why"
                log.warning("the XMPP server ended the connection: %s", why)
        finally:
            for task in tasks:
                await _cancelled(task)
            self._refused = stream.refused
            self._connected.clear()
            self._stream = None
            stream.abort()
            for barrier in self._barriers.values():
                barrier.cancel()
            self._barriers.clear()
            self._questions.give_up()
            if tasks:
                await self._rosters.end()

    async def _call_roll(self) -> None:
        try:
            await self._roll.call(self)
        except ConnectionError:
            pass  # the next connection calls it again
        except DatabaseUnavailable as error:
            log.warning("who has gone offline meanwhile is not known: %s", first_line(error))

    async def _keep_rosters(self) -> None:
        try:
            await self._rosters.keep(self.barrier)
        except ConnectionError:
            pass  # the next connection begins anew
        except Exception:
            log.exception("rosters are not kept")

    async def _watch(self, stream: Stream) -> None:
        """Return when the connection has ended, or when nobody answers any more."""
        while not stream.ended.done():
            with suppress(ConnectionError):
                await self.barrier()
            await asyncio.wait([stream.ended], timeout=_QUIET)

    def _complain(self, error: Exception, insist: bool, *, first: bool) -> None:
        refused, options = self._refused, self._options
        where = f"the XMPP server at {options.host}:{options.port}"
        if refused in _REFUSALS:
            text = f"{where} refuses the component: {_REFUSALS[refused].format(jid=options.jid)}"
            if not insist and refused != "conflict":
                raise Refused(text) from None
            log.error("%s", text)
        elif first:
            reason = str(error) or "it does not answer"
            log.warning("%s cannot be reached: %s; trying again", where, reason)

    async def send_bytes(self, data: bytes) -> None:
        """See :class:`~eventworker_xmpp.delivering.Link`."""
        await self._current().send_bytes(data)

    async def barrier(self) -> None:
        """Wait until the server has handled what was sent.

        :raises ConnectionError: when the connection ends before, or is ended since it takes too
            long.
        """
        stream = self._current()
        key = f"{self._mark}{next(self._numbers)}"
        back = asyncio.get_running_loop().create_future()
        self._barriers[key] = back
        try:
            stream.send_now(ping(self._options.jid, key))
            async with asyncio.timeout(_PATIENCE):
                await asyncio.wait([back, stream.ended], return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            log.warning("the XMPP server does not answer")
            stream.abort()
            raise ConnectionResetError("the XMPP server does not answer") from None
        finally:
            self._barriers.pop(key, None)
        if back.cancelled() or not back.done():
            raise ConnectionResetError("the connection to the XMPP server has ended")

    def _current(self) -> Stream:
        if self._stream is None:
            raise ConnectionResetError("there is no connection to the XMPP server")
        return self._stream

    async def _linked(self) -> Component:
        await self._connected.wait()
        return self

    def _take(self, one: Element, spoiled: str | None, size: int) -> None:
        jid = self._options.jid
        if one.get("from") == jid and one.get("to") == jid:
            self._take_own(one)
            return
        if self._questions.take(one, spoiled) or self._finishing:
            return
        if spoiled is None and self._rosters.hear(one):
            if local_of(one.tag) == "iq":
                self._send(answer(one))
            return
        if local_of(one.tag) == "presence" and one.get("type") is None:
            self._roll.hear(one.get("from", ""))
        self._reception.take(one, spoiled, size)

    def _take_own(self, one: Element) -> None:
        """A question to itself has come back, if it is one."""
        key = one.get("id", "")
        back = self._barriers.get(key)
        if back is not None and not back.done():
            back.set_result(None)
        is_own = one.get("type") == "get" and key.startswith(self._mark)
        if local_of(one.tag) == "iq" and not is_own and not self._has_namesake:
            self._has_namesake = True
            log.error(
                "somebody else at the XMPP server has the address %s, too, and gets a part of what "
                "is for it: a second component, or a service of the server's own",
                self._options.jid,
            )

    def _send(self, data: bytes) -> None:
        with suppress(ConnectionError):
            self._current().send_now(data)

    def _hold(self, hold: bool) -> None:
        if self._stream is not None:
            self._stream.pause_reading(hold)

    def _changed(self) -> None:
        self._worked()
        if self._deliverer is not None:
            self._deliverer.wake()
