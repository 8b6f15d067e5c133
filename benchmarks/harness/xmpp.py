"""Who gets the notifications of a benchmark, and counts them without reading more than it must.

They speak XEP-0114 over a bare socket: a component that has any number of addresses without a login
for each, and a server that takes one component and delivers what it sends to nobody.
"""

from __future__ import annotations

import hashlib
import re
import socket
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

from tests.servers import ProsodyServer

_MESSAGE = b"<message"
_STREAMS = "http://etherx.jabber.org/streams"
_COMPONENT = "jabber:component:accept"
_READ = 1024 * 1024


class Arrivals:
    """Counts messages in bytes as they come, wherever these are cut."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._count = 0
        self._end = b""

    def add(self, data: bytes) -> None:
        """Some more bytes of the stream."""
        text = self._end + data
        # What is left is too short to be counted again.
        self._end = text[-(len(_MESSAGE) - 1) :]
        if found := text.count(_MESSAGE):
            with self._condition:
                self._count += found
                self._condition.notify_all()

    def start_over(self) -> None:
        """Count from zero."""
        with self._condition:
            self._count = 0

    def wait_for(self, count: int, timeout: float) -> float:
        """The moment, of ``time.perf_counter``, at which so many have come.

        :raises TimeoutError: when they have not after so many seconds.
        """
        with self._condition:
            if not self._condition.wait_for(lambda: self._count >= count, timeout):
                raise TimeoutError(f"{self._count} of {count} notifications after {timeout:g} s")
            moment = time.perf_counter()
            if self._count > count:
                raise AssertionError(f"{self._count} notifications instead of {count}")
        return moment


class CountingComponent:
    """A component of a Prosody, at any of whose addresses messages are counted.

    It can send, too, as fast as the server takes it.
    """

    def __init__(self, server: ProsodyServer, domain: str) -> None:
        self.arrivals = Arrivals()
        self._socket = socket.create_connection((server.host, server.component_port))
        self._shake_hands(domain, server.secret)
        self._thread = threading.Thread(target=self._count, daemon=True)

    def send(self, messages: bytes) -> None:
        """Send whole stanzas."""
        self._socket.sendall(messages)

    def _shake_hands(self, domain: str, secret: str) -> None:
        head = f"<stream:stream xmlns='{_COMPONENT}' xmlns:stream='{_STREAMS}' to='{domain}'>"
        self._socket.sendall(head.encode())
        found = self._read_until(rb"<stream:stream[^>]* id=['\"]([^'\"]+)['\"]")
        digest = hashlib.sha1(found + secret.encode(), usedforsecurity=False).hexdigest()
        self._socket.sendall(f"<handshake>{digest}</handshake>".encode())
        self._read_until(rb"(<handshake)")

    def _read_until(self, wanted: bytes) -> bytes:
        text = b""
        while not (found := re.search(wanted, text)):
            data = self._socket.recv(_READ)
            if not data:
                raise ConnectionError(f"refused: {text!r}")
            text += data
        return found[1]

    def _count(self) -> None:
        while data := self._socket.recv(_READ):
            self.arrivals.add(data)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _value: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()


class CountingServer:
    """Takes a component with any secret and counts what it sends; answers it what it asks itself.

    That is all that a component wants of its server while it tells subscribers.
    """

    secret = "any"  # noqa: S105 - each is right

    def __init__(self) -> None:
        self.arrivals = Arrivals()
        #: The first message that it was sent.
        self.sample = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self) -> None:
        # Until it is closed, or the component is killed.
        with suppress(OSError), self._listener.accept()[0] as connection:
            rest = b""
            while data := connection.recv(_READ):
                self._keep_sample(data)
                self.arrivals.add(data)
                rest = self._answer(connection, rest + data)

    def _keep_sample(self, data: bytes) -> None:
        if not self.sample and (found := re.search(rb"<message .*?</message>", data, re.S)):
            self.sample = found[0]

    def _answer(self, connection: socket.socket, text: bytes) -> bytes:
        """Returns the end of what was not complete."""
        if b"<stream:stream" in text:
            head = f"<stream:stream xmlns='{_COMPONENT}' xmlns:stream='{_STREAMS}' id='1'>"
            connection.sendall(head.encode())
        if b"<handshake" in text:
            connection.sendall(b"<handshake/>")
        # Payloads have no <iq, so the last one is a whole question or the beginning of one.
        at = text.rfind(b"<iq ")
        if at < 0:
            return text[-8:]
        end = text.find(b"</iq>", at)
        if end < 0:
            return text[at:]
        connection.sendall(text[at : end + 5])
        return text[end + 5 :][-8:]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _value: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._listener.close()
        self._thread.join(5)
