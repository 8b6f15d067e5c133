"""Who is still there after a time without a connection (XEP-0060, section 12.4; RFC 6121, 4.3).

Whoever went offline meanwhile has told nobody. So those who share their presence are asked, and
resources that do not answer are taken to be gone.
"""

from __future__ import annotations

import asyncio
from functools import partial

from sqlalchemy import Connection, select

from eventworker.pubsub.service import PubSubService
from eventworker.pubsub.tables import MAX_RESOURCE, presence_table
from eventworker_xmpp.delivering import Link
from eventworker_xmpp.stanzas import stanza
from eventworker_xmpp.work import Work

#: Seconds in which a server, maybe a distant one, answers for its accounts.
GRACE = 60.0
_PAGE = 500
_presence = presence_table.c


class Roll:
    """Calls the roll, once for each connection.

    :param jid: of the service.
    """

    def __init__(self, work: Work, jid: str, grace: float = GRACE) -> None:
        self._work = work
        self._jid = jid
        self._grace = grace
        self._heard: set[str] | None = None

    def hear(self, full: str) -> None:
        """A resource has said that it is there."""
        if self._heard is not None:
            self._heard.add(_kept(full))

    async def call(self, link: Link) -> None:
        """Ask all who share their presence, and note after a while who has gone.

        :raises ConnectionError: when the connection ends before.
        """
        self._heard = set()
        try:
            if await self._ask(link):
                await asyncio.sleep(self._grace)
                await self._note()
        finally:
            self._heard = None

    async def _ask(self, link: Link) -> bool:
        """Returns whether there is anybody."""
        last = ""
        while found := await self._work.transaction(partial(_sharing, after=last), writes=False):
            probes = [stanza("presence", self._jid, each, type="probe") for each in found]
            await link.send_bytes(b"".join(probes))
            last = found[-1]
        return bool(last)

    async def _note(self) -> None:
        last = ("", "")
        while found := await self._work.transaction(partial(_there, after=last), writes=False):
            heard = self._heard or set()
            gone = [f"{bare}/{name}" for bare, name in found if f"{bare}/{name}" not in heard]
            if gone:
                await self._work.verb(partial(_leave, gone=gone))
            last = found[-1]


def _kept(full: str) -> str:
    """As it stands in the table."""
    bare, _, name = full.partition("/")
    return f"{bare}/{name[:MAX_RESOURCE]}"


def _sharing(connection: Connection, after: str) -> list[str]:
    look = select(_presence.bare).where(_presence.resource == "", _presence.bare > after)
    return list(connection.scalars(look.order_by(_presence.bare).limit(_PAGE)))


def _there(connection: Connection, after: tuple[str, str]) -> list[tuple[str, str]]:
    """Resources of those who share their presence, and so have been asked."""
    bare, name = after
    sharing = select(_presence.bare).where(_presence.resource == "")
    later = (_presence.bare > bare) | ((_presence.bare == bare) & (_presence.resource > name))
    look = (
        select(_presence.bare, _presence.resource)
        .where(_presence.resource != "", _presence.bare.in_(sharing), later)
        .order_by(_presence.bare, _presence.resource)
        .limit(_PAGE)
    )
    return [(row.bare, row.resource) for row in connection.execute(look)]


def _leave(service: PubSubService, gone: list[str]) -> None:
    for each in gone:
        service.unavailable(each)
