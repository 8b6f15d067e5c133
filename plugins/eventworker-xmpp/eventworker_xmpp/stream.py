"""One connection to the XMPP server (XEP-0114), on slixmpp.

Slixmpp connects and shakes hands; what is read and written afterwards goes past it. It would build
an object for each stanza, keep a roster entry for each sender, and read whatever its parser reads.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from xml.etree.ElementTree import Element

from slixmpp import ComponentXMPP

from eventworker_xmpp.markup import attribute
from eventworker_xmpp.names import (
    COMPONENT,
    STREAM_ERRORS,
    STREAMS,
    local_of,
    name,
    namespace_of,
)
from eventworker_xmpp.parsing import Closed, Opened, Stanza, StreamParser, Unreadable

log = logging.getLogger(__name__)

_HANDSHAKE = name(COMPONENT, "handshake")
_ERROR = name(STREAMS, "error")
_TEXT = name(STREAM_ERRORS, "text")
#: Bytes that wait to be sent before whoever sends more has to wait.
_HIGH, _LOW = 512 * 1024, 64 * 1024


class Stream(ComponentXMPP):
    """A connection that is used once.

    :param take: called with each stanza, why its content was not read, and its size.
    :ivar ready: done when the server has taken the component; fails with ``ConnectionError`` when
        the connection ends before.
    :ivar ended: done when the connection has ended.
    :ivar refused: condition of the stream error that the server has sent, if any.
    :ivar said: what it has said beside that.
    """

    def __init__(
        self,
        jid: str,
        secret: str,
        max_bytes: int,
        take: Callable[[Element, str | None, int], None],
    ) -> None:
        super().__init__(jid, secret)  # type: ignore[no-untyped-call]
        self.stream_header = (
            f"<stream:stream xmlns='{COMPONENT}' xmlns:stream='{STREAMS}' to='{attribute(jid)}'>"
        )
        self._take = take
        self._reader = StreamParser(max_bytes)
        self._writable = asyncio.Event()
        self._writable.set()
        running = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = running.create_future()
        self.ended: asyncio.Future[None] = running.create_future()
        self.refused: str | None = None
        self.said = ""

    async def open(self, host: str, port: int) -> None:
        """Connect and shake hands.

        :raises OSError: when that fails; :attr:`refused` may say why.
        """
        await self.loop.create_connection(lambda: self, host, port)
        await asyncio.shield(self.ready)

    async def send_bytes(self, data: bytes) -> None:
        """Send whole stanzas; waits while too much is still on its way.

        :raises ConnectionError: when the connection has ended.
        """
        await self._writable.wait()
        self.send_now(data)

    def send_now(self, data: bytes) -> None:
        """Send whole stanzas, however much is still on its way.

        :raises ConnectionError: when the connection has ended.
        """
        if self.transport is None or self.transport.is_closing():
            raise ConnectionResetError("the connection to the XMPP server has ended")
        self.transport.write(data)

    def pause_reading(self, pause: bool) -> None:
        """Take no more from the server for now, or again."""
        if self.transport is not None and not self.transport.is_closing():
            with suppress(RuntimeError):
                self.transport.pause_reading() if pause else self.transport.resume_reading()

    async def close(self) -> None:
        """End the stream, and wait a moment for the server to do so, too."""
        if self.transport is not None:
            self.transport.write(b"</stream:stream>")
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self.ended), 2)
        self.abort()

    def init_parser(self) -> None:
        """Slixmpp's own parser is not used."""

    def connection_made(self, transport: Any, send_event: bool = True) -> None:
        """The TCP connection is there."""
        super().connection_made(transport, send_event=False)
        transport.set_write_buffer_limits(high=_HIGH, low=_LOW)

    def pause_writing(self) -> None:
        """The server reads more slowly than we write."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._writable.set()

    def data_received(self, data: bytes | str) -> None:
        """Read what has arrived."""
        try:
            for event in self._reader.feed(data.encode() if isinstance(data, str) else data):
                if isinstance(event, Opened):
                    self._shake_hands(event.element)
                elif isinstance(event, Closed):
                    self.abort()
                else:
                    self._take_stanza(event)
        except Unreadable as error:
            log.error("the XMPP server sent what cannot be read: %s", error)
            self._end_with(error.condition)

    def connection_lost(self, exception: BaseException | None) -> None:
        """The TCP connection is gone."""
        self.transport = self.socket = None
        self._writable.set()
        if not self.ready.done():
            said = self.refused or exception or "the server ended the connection"
            self.ready.set_exception(ConnectionResetError(str(said)))
            self.ready.exception()  # somebody may have given up waiting
        if not self.ended.done():
            self.ended.set_result(None)

    def _shake_hands(self, header: Element) -> None:
        proof = f"{header.get('id', '')}{self.secret}".encode()
        digest = hashlib.sha1(proof, usedforsecurity=False).hexdigest()
        self.send_now(f"<handshake>{digest}</handshake>".encode())

    def _take_stanza(self, stanza: Stanza) -> None:
        one = stanza.element
        if one.tag == _ERROR:
            children = [child for child in one if namespace_of(child.tag) == STREAM_ERRORS]
            conditions = [child for child in children if child.tag != _TEXT]
            self.refused = local_of(conditions[0].tag) if conditions else "undefined-condition"
            self.said = "".join((each.text or "") for each in children if each.tag == _TEXT)[:200]
        elif one.tag == _HANDSHAKE:
            if not self.ready.done():
                self.ready.set_result(None)
        elif self.ready.done():
            self._take(one, stanza.spoiled, stanza.size)

    def _end_with(self, condition: str) -> None:
        if self.transport is not None:
            self.transport.write(
                f"<stream:error><{condition} xmlns='{STREAM_ERRORS}'/></stream:error>"
                "</stream:stream>".encode()
            )
            self.transport.close()
