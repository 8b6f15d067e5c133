"""What the component asks others, until they answer."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from xml.etree.ElementTree import Element

from eventworker_xmpp.names import local_of
from eventworker_xmpp.stanzas import stanza


class Spoiled(Exception):
    """The answer was too large, or too deep, to be read."""


class Questions:
    """Sends questions over one connection after the other.

    :param jid: who asks.
    :param send: sends a stanza; raises ConnectionError.
    :param patience: seconds that an answer may take.
    """

    def __init__(self, jid: str, send: Callable[[bytes], None], patience: float) -> None:
        self._jid = jid
        self._send = send
        self._patience = patience
        self._open: dict[tuple[str, str], asyncio.Future[Element]] = {}

    async def ask(self, to: str, payload: Element) -> Element:
        """The answer of ``to`` to an ``<iq type='get'/>``, a result or an error.

        :raises ConnectionError: when the connection ends before.
        :raises TimeoutError: when there is none in time.
        :raises Spoiled: when it cannot be read.
        """
        # Nobody else may guess it: what is asked decides who is let in.
        key = (to, f"q-{secrets.token_hex(12)}")
        answer = self._open[key] = asyncio.get_running_loop().create_future()
        try:
            self._send(stanza("iq", self._jid, to, [payload], id=key[1], type="get"))
            async with asyncio.timeout(self._patience):
                return await answer
        finally:
            del self._open[key]

    def take(self, one: Element, spoiled: str | None) -> bool:
        """Whether a stanza is an answer; if so, it is handed to who has asked."""
        if local_of(one.tag) != "iq" or one.get("type") not in ("result", "error"):
            return False
        answer = self._open.get((one.get("from", ""), one.get("id", "")))
        if answer is None:
            return False
        if not answer.done():
            if spoiled is None:
                answer.set_result(one)
            else:
                answer.set_exception(Spoiled(f"it is {spoiled}"))
        return True

    def give_up(self) -> None:
        """The connection has ended: nobody will answer."""
        for answer in self._open.values():
            if not answer.done():
                answer.set_exception(ConnectionResetError("the connection has ended"))
