"""Keeps what the service knows of rosters (XEP-0060, section 4.5; XEP-0356, section 4).

A roster is read when something depends on it: a request, before it is answered; a notification,
before it is told to anybody. For those who ask the service without a component in between, all
rosters that matter are read again and again, and when the server says that one has changed. What
has been read is forgotten soon: when the connection ends, when the server takes the permission
back, and after twice the pause between two readings in any case.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from xml.etree.ElementTree import Element

from eventworker.db import first_line
from eventworker.errors import DatabaseUnavailable
from eventworker.pubsub.jid import domain
from eventworker.pubsub.service import PubSubService
from eventworker_xmpp.options import Options
from eventworker_xmpp.privilege import rosters_readable
from eventworker_xmpp.questions import Spoiled
from eventworker_xmpp.rosterlists import Entry, NoRoster, entries, pushed_by, question
from eventworker_xmpp.work import Work

log = logging.getLogger(__name__)

#: Rosters that are read at the same time.
_AT_ONCE = 8
#: Owners of rosters that are looked up at once.
_PAGE = 500
#: Seconds that a server which has granted the permission before may take to do so again.
GRACE = 5.0
#: Seconds between two tries while the database is away.
_AWAY_PAUSE = 1.0

Ask = Callable[[str, Element], Awaitable[Element]]


class Rosters:
    """Reads rosters, over one connection after the other.

    :param ask: see :meth:`~eventworker_xmpp.questions.Questions.ask`.
    """

    def __init__(self, options: Options, work: Work, ask: Ask, grace: float = GRACE) -> None:
        self._options = options
        self._work = work
        self._ask = ask
        self._grace = grace
        self._granted: set[str] = set()
        self._expected: dict[str, asyncio.Event] = {}
        self._deadline = 0.0
        self._settled = asyncio.Event()
        # What is granted has changed; rosters are to be read.
        self._heard = asyncio.Event()
        self._due = asyncio.Event()
        self._told: set[str] | None = None
        self._pushed: set[str] = set()
        self._unreadable: set[str] = set()
        self._read_all_at = 0.0
        self._few = asyncio.Semaphore(_AT_ONCE)
        # Of each owner at most two: the reading that is under way, and the next one.
        self._readings: dict[str, list[asyncio.Task[bool]]] = {}

    def hear(self, one: Element) -> bool:
        """Whether a stanza is the server's word on rosters; if so, it is heeded."""
        sender = one.get("from", "")
        readable = rosters_readable(one)
        if readable is not None and sender in self._options.roster_domains:
            self._note_grant(sender, readable)
            return True
        owner = pushed_by(one)
        if owner is None or domain(owner) not in self._granted:
            return False
        self._pushed.add(owner)
        if len(self._pushed) > _PAGE:
            self._pushed.clear()
            self._read_all_at = 0.0
        self._due.set()
        return True

    @property
    def is_settled(self) -> bool:
        """Whether it is known what the server has granted for this connection."""
        return self._settled.is_set()

    async def settled(self) -> None:
        """Wait until that is known."""
        await self._settled.wait()

    async def keep(self, barrier: Callable[[], Awaitable[None]]) -> None:
        """Keep rosters fresh, from the beginning of a connection to its end.

        :param barrier: waits until the server has handled what was sent before.
        :raises ConnectionError: when the connection ends at once.
        """
        try:
            await self._begin(barrier)
        except DatabaseUnavailable as error:
            log.warning("rosters are not known: %s", first_line(error))
        self._settled.set()
        # Apart from each other, so that no roster that is long in coming holds up the rest.
        async with asyncio.TaskGroup() as both:
            both.create_task(self._tell_on())
            both.create_task(self._read_on())

    async def end(self) -> None:
        """The connection has ended: nothing is granted, and nothing known."""
        self._settled.clear()
        self._granted.clear()
        self._pushed.clear()
        try:
            await self._work.verb(PubSubService.rosters_withdrawn)
        except DatabaseUnavailable as error:  # it is forgotten by itself
            log.warning("what is known of rosters holds for a while: %s", first_line(error))

    async def read(self, owner: str) -> bool:
        """Have the service know a roster as it is now or later; returns whether it does.

        :raises ConnectionError: when the connection ends before.
        :raises DatabaseUnavailable: when the database is away.
        """
        await self._settled.wait()
        if not await self._is_granted(domain(owner)):
            await self._lost(owner)
            return False
        line = self._readings.setdefault(owner, [])
        # The one that is under way may have been asked for before whatever this is about.
        if len(line) < 2:
            before = line[0] if line else None
            task = asyncio.get_running_loop().create_task(self._read_after(before, owner))
            line.append(task)
            task.add_done_callback(partial(self._finished, owner))
        return await asyncio.shield(line[-1])

    def _note_grant(self, server: str, readable: bool) -> None:
        if readable and server not in self._granted:
            log.info("%s lets the component read the rosters of its accounts", server)
            self._granted.add(server)
            self._read_all_at = 0.0
            self._due.set()
        elif not readable and server in self._granted:
            log.info("%s lets the component read no rosters any more", server)
            self._granted.discard(server)
        if readable and server in self._expected:
            self._expected[server].set()
        self._heard.set()

    async def _begin(self, barrier: Callable[[], Awaitable[None]]) -> None:
        def forget(service: PubSubService) -> list[str]:
            service.rosters_withdrawn()
            return service.roster_servers()

        self._told = None
        before = await self._work.verb(forget)
        self._expected = {each: asyncio.Event() for each in before if each not in self._granted}
        self._deadline = asyncio.get_running_loop().time() + self._grace
        # A server grants with its first words.
        await barrier()
        await self._tell_service()

    async def _tell_on(self) -> None:
        while True:
            self._heard.clear()
            try:
                await self._tell_service()
            except DatabaseUnavailable as error:
                log.warning("what can be read of rosters is not noted: %s", first_line(error))
                await asyncio.sleep(_AWAY_PAUSE)
                continue
            with suppress(TimeoutError):
                await asyncio.wait_for(self._heard.wait(), self._options.roster_interval)

    async def _read_on(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            self._due.clear()
            pushed = sorted(self._pushed)
            self._pushed.clear()
            try:
                if clock() >= self._read_all_at:
                    self._read_all_at = clock() + self._options.roster_interval
                    await self._read_all()
                else:
                    await self._read_these(pushed)
            except DatabaseUnavailable as error:
                log.warning("rosters are not read: %s", first_line(error))
                self._read_all_at = 0.0
                await asyncio.sleep(_AWAY_PAUSE)
            except ConnectionError:
                return  # the next connection begins anew
            with suppress(TimeoutError):
                await asyncio.wait_for(self._due.wait(), max(self._read_all_at - clock(), 0))

    async def _tell_service(self) -> None:
        granted = set(self._granted)
        if not granted and self._told == granted:
            return

        def tell(service: PubSubService) -> None:
            for each in sorted(self._options.roster_domains - granted):
                service.rosters_withdrawn(each)
            for each in sorted(granted):
                service.rosters_granted(each, self._lasting)

        await self._work.verb(tell)
        self._told = granted

    async def _read_all(self) -> None:
        last = ""
        while self._granted:
            wanted = partial(PubSubService.rosters_wanted, after=last, limit=_PAGE)
            found = await self._work.verb(wanted, writes=False)
            if not found:
                return
            last = found[-1]
            await self._read_these([each for each in found if domain(each) in self._granted])

    async def _read_these(self, owners: list[str]) -> None:
        for first in range(0, len(owners), _AT_ONCE):
            await asyncio.gather(*map(self.read, owners[first : first + _AT_ONCE]))

    async def _is_granted(self, server: str) -> bool:
        expected = self._expected.get(server)
        if server not in self._granted and expected is not None:
            left = self._deadline - asyncio.get_running_loop().time()
            with suppress(TimeoutError):
                await asyncio.wait_for(expected.wait(), max(left, 0))
        return server in self._granted

    async def _read_after(self, before: asyncio.Task[bool] | None, owner: str) -> bool:
        if before is not None:
            await asyncio.wait([before])
        async with self._few:
            return await self._read(owner)

    async def _read(self, owner: str) -> bool:
        asked_at = await self._work.verb(lambda service: service.roster_wanted(owner), writes=False)
        if asked_at is None:
            return False
        found = await self._answered(owner)
        if found is None or domain(owner) not in self._granted:
            await self._lost(owner)
            return False
        self._unreadable.discard(owner)
        await self._work.verb(
            lambda service: service.roster_taken(owner, found, asked_at, self._lasting)
        )
        return True

    async def _answered(self, owner: str) -> list[Entry] | None:
        try:
            return entries(await self._ask(owner, question()))
        except TimeoutError:
            why = "the server does not answer"
        except Spoiled as error:
            why = str(error)
        except NoRoster as error:
            why = str(error)
            if error.forbidden:
                self._note_grant(domain(owner), False)
        if owner not in self._unreadable:  # said once, however often it is tried
            log.warning("the roster of %s cannot be read: %s", owner, why)
            self._unreadable.add(owner)
        return None

    async def _lost(self, owner: str) -> None:
        """
        :raises ConnectionError: when the connection has ended meanwhile: the next one may know it.
        """
        if not self._settled.is_set():
            raise ConnectionResetError("the connection has ended")
        await self._work.verb(lambda service: service.roster_lost(owner))

    def _finished(self, owner: str, task: asyncio.Task[bool]) -> None:
        if not task.cancelled():
            task.exception()  # whoever waits is told; maybe nobody does any more
        line = self._readings[owner]
        line.remove(task)
        if not line:
            del self._readings[owner]

    @property
    def _lasting(self) -> float:
        """Seconds that what was read holds."""
        return 2 * self._options.roster_interval
