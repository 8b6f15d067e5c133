"""Stanzas that have arrived, on their way to the service and back.

Those of one sender are handled one after the other, in the order of their arrival; those of
different senders at the same time.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol
from xml.etree.ElementTree import Element

from eventworker.db import first_line
from eventworker.errors import DatabaseUnavailable
from eventworker.pubsub.errors import PubSubError, RosterNeeded
from eventworker.pubsub.facts import Actor
from eventworker.pubsub.jid import as_given, domain
from eventworker.pubsub.service import PubSubService
from eventworker_xmpp import messages, presence, requests, stanzas
from eventworker_xmpp.errors import error_element
from eventworker_xmpp.names import local_of
from eventworker_xmpp.options import Options
from eventworker_xmpp.work import Work

log = logging.getLogger(__name__)

#: Stanzas of one sender that may wait; more are refused.
_OF_ONE = 200
#: Stanzas of all that may wait; then no more are read from the server.
_OF_ALL = 2000
#: The same in bytes, as so many of the largest stanzas.
_LARGE_OF_ONE, _LARGE_OF_ALL = 16, 64
#: Bytes of an answer beside its entries.
_FRAME = 4096

Send = Callable[[bytes], None]


@dataclass(slots=True)
class _Line:
    """Stanzas of one sender that wait, each with why it was not read, and its size."""

    stanzas: deque[tuple[Element, str | None, int]] = field(default_factory=deque)
    bytes: int = 0


class Rosters(Protocol):
    """See :class:`~eventworker_xmpp.rosters.Rosters`."""

    @property
    def is_settled(self) -> bool:
        """Whether it is known which rosters can be read."""

    async def settled(self) -> None:
        """Wait until that is known."""

    async def read(self, owner: str) -> bool:
        """Have the service know a roster; returns whether it does."""


class Reception:
    """Takes stanzas and answers them.

    :param send: sends an answer; what cannot be sent is lost, as any answer is whose way back
        ends.
    :param hold: called with True when no more should be read from the server, with False later.
    :param changed: called after each request that may have changed something.
    :param rosters: reads rosters, when a request needs one.
    """

    def __init__(
        self,
        options: Options,
        work: Work,
        send: Send,
        hold: Callable[[bool], None],
        changed: Callable[[], None],
        rosters: Rosters,
    ) -> None:
        self._options = options
        self._work = work
        self._send = send
        self._hold = hold
        self._changed = changed
        self._rosters = rosters
        self._waiting: dict[str, _Line] = {}
        self._count = 0
        self._bytes = 0
        self._full = self._held = False
        self._asking = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.sent = messages.Sent()

    def take(self, one: Element, spoiled: str | None, size: int) -> None:
        """A stanza has arrived.

        :param spoiled: why its content was not read, or None.
        :param size: bytes of it, if it was.
        """
        sender = one.get("from")
        if not sender or local_of(one.tag) not in ("iq", "message", "presence"):
            return
        if local_of(one.tag) == "iq" and one.get("type") in ("result", "error"):
            return
        if local_of(one.tag) == "message" and spoiled is None and not messages.concerns(one):
            return
        if self._full and self._asking:
            self._refuse(one, PubSubError("resource-constraint", text="too much at once"))
            return
        line = self._waiting.get(sender)
        if line is None:
            line = self._waiting[sender] = _Line()
            task = asyncio.get_running_loop().create_task(self._serve(sender, line))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif len(line.stanzas) >= _OF_ONE or line.bytes >= self._most_bytes(_LARGE_OF_ONE):
            self._refuse(one, PubSubError("resource-constraint", text="too much at once"))
            return
        size = 0 if spoiled is not None else size
        line.stanzas.append((one, spoiled, size))
        line.bytes += size
        self._count += 1
        self._bytes += size
        self._look_at_count()

    async def finish(self) -> None:
        """Wait until all that has arrived is answered."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(self, sender: str, line: _Line) -> None:
        while line.stanzas:
            one, spoiled, size = line.stanzas.popleft()
            try:
                await self._answer(sender, one, spoiled)
            except PubSubError as error:
                self._refuse(one, error)
            except ConnectionError:
                pass  # while a roster was asked for: the answer has no way back
            except DatabaseUnavailable as error:
                log.warning("a request is refused: %s", first_line(error))
                text = "the service cannot do this now"
                self._refuse(one, PubSubError("resource-constraint", text=text))
            except Exception:
                log.exception("a stanza of %s failed", sender)
                self._refuse(one, PubSubError("internal-server-error"))
            line.bytes -= size
            self._count -= 1
            self._bytes -= size
            self._look_at_count()
        del self._waiting[sender]

    async def _answer(self, sender: str, one: Element, spoiled: str | None) -> None:
        settings = self._options.settings
        actor = settings.actor(as_given(sender))
        kind = local_of(one.tag)
        if spoiled is not None:
            raise PubSubError("not-acceptable", text=f"the stanza is {spoiled}")
        if domain(actor.jid) == settings.service:
            # Accounts of the service's own have no way here: somebody pretends.
            raise PubSubError("forbidden")
        if one.get("to") != settings.service:
            raise PubSubError("service-unavailable")
        if kind == "iq":
            await self._request(actor, one)
        elif kind == "message":
            said = await self._work.verb(
                lambda service: messages.take(service, actor, one, self.sent)
            )
            self._changed()
            self._say(said)
        else:
            said = await self._work.verb(lambda service: presence.take(service, actor.jid, one))
            self._changed()
            self._say(said)

    async def _request(self, actor: Actor, iq: Element) -> None:
        room = self._options.max_stanza_bytes - _FRAME
        writes = requests.writes(iq)
        if not self._rosters.is_settled:
            with self._asking_the_server():
                await self._rosters.settled()
        children = await self._performed(actor, iq, room, writes)
        if writes:
            self._changed()
        answer = stanzas.answer(iq, children)
        if len(answer) > self._options.max_stanza_bytes:
            raise PubSubError("resource-constraint", text="the answer is too large to be sent")
        self._send(answer)

    async def _performed(
        self, actor: Actor, iq: Element, room: int, writes: bool
    ) -> Sequence[Element]:
        """What the request is answered with, after the rosters that it needs have been read."""
        read: set[str] = set()

        def perform(service: PubSubService) -> Sequence[Element]:
            service.rosters_read = read
            return requests.perform(service, actor, iq, room)

        while True:
            try:
                return await self._work.verb(perform, writes=writes)
            except RosterNeeded as error:
                # One that cannot be read is known to be unknown then: the service says the rest.
                with self._asking_the_server():
                    await self._rosters.read(error.owner)
                read.add(error.owner)

    @contextmanager
    def _asking_the_server(self) -> Iterator[None]:
        """Something waits for what the server says: so it is listened to, and what is too much is
        refused instead."""
        self._asking += 1
        self._look_at_count()
        try:
            yield
        finally:
            self._asking -= 1
            self._look_at_count()

    def _say(self, said: list[bytes]) -> None:
        for each in said:
            self._send(each)

    def _refuse(self, one: Element, error: PubSubError) -> None:
        """Answer with an error what has to be answered."""
        kind = local_of(one.tag)
        if kind == "iq" and one.get("type") not in ("result", "error"):
            self._send(stanzas.answer(one, [error_element(error)]))
        elif kind == "message" and one.get("type") != "error":
            self._send(messages.refusal(one, error))

    def _most_bytes(self, stanzas: int) -> int:
        return self._options.max_stanza_bytes * stanzas

    def _look_at_count(self) -> None:
        most = self._most_bytes(_LARGE_OF_ALL)
        if self._count >= _OF_ALL or self._bytes >= most:
            self._full = True
        elif self._count < _OF_ALL // 2 and self._bytes < most // 2:
            self._full = False
        hold = self._full and not self._asking
        if hold != self._held:
            self._held = hold
            self._hold(hold)
