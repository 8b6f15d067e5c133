"""A server that takes any component and sends it whatever a test wants (XEP-0114)."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Self

from tests.servers.ports import HOST
from tests.servers.waiting import wait_until

HEADER = (
    "<?xml version='1.0'?><stream:stream xmlns:stream='http://etherx.jabber.org/streams' "
    "xmlns='jabber:component:accept' from='pubsub.localhost' id='1'>"
)


class Connection:
    """A component that has connected, and all that it has sent."""

    def __init__(self, taken: socket.socket, answers: bool) -> None:
        self._socket = taken
        self._answers = answers
        self.received = b""
        self.shaken = False
        self.ended = False
        #: Questions that it has asked itself and that came back, if they do.
        self.answered = 0
        self._looked_at = 0

    def send(self, data: str | bytes) -> None:
        """Send it as it is; the component may have gone."""
        with suppress(OSError):
            self._socket.sendall(data.encode() if isinstance(data, str) else data)

    def forget(self) -> None:
        """Look only at what it sends from now on."""
        self._looked_at = len(self.received)

    def text(self) -> str:
        """What it has sent."""
        return self.received[self._looked_at :].decode()

    def wait_for(self, text: str) -> str:
        """What it has sent, once this is a part of it."""
        wait_until(lambda: text in self.text(), 30, lambda: self.text()[-2000:])
        return self.text()

    def end(self) -> None:
        """End it from here."""
        self._socket.shutdown(socket.SHUT_RDWR)

    def wait_end(self) -> str:
        """What it has sent, once it has ended the connection."""
        wait_until(lambda: self.ended, 30, "the connection is still there")
        return self.text()

    def serve(self) -> None:
        """Shake hands, answer the questions that it asks itself, and keep the rest."""
        greeted = False
        with self._socket, suppress(OSError):
            while data := self._socket.recv(65536):
                self.received += data
                if not greeted and b"to='pubsub.localhost'>" in self.received:
                    greeted = True
                    self.send(HEADER)
                if not self.shaken and b"</handshake>" in self.received:
                    self.shaken = True
                    self.send("<handshake/>")
                for question in self._questions():
                    if self._answers:
                        self.send(question)
                    self.answered += 1
        self.ended = True

    def _questions(self) -> Iterator[bytes]:
        parts = self.received.split(b"</iq>")[:-1]
        asked = [part[part.rindex(b"<iq ") :] + b"</iq>" for part in parts]
        yield from [each for each in asked if b"id='b-" in each][self.answered :]


class FakeServer:
    """Listens on a port of its own.

    :param answers: whether the questions that a component asks itself come back to it.
    """

    def __init__(self, answers: bool = True) -> None:
        self._answers = answers
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self.connections: list[Connection] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def connection(self, number: int = 1) -> Connection:
        """The so-manieth connection that has shaken hands and asked itself its first question: an
        answer that comes when it has closed would take with it what it has said last."""
        wait_until(lambda: len(self.connections) >= number, 30, "nobody connects")
        found = self.connections[number - 1]
        wait_until(lambda: found.answered or found.ended, 30, "it asks itself nothing")
        return found

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                taken, _ = self._listener.accept()
                self.connections.append(Connection(taken, self._answers))
                thread = threading.Thread(target=self.connections[-1].serve, daemon=True)
                self._threads.append(thread)
                thread.start()

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _value: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self.connections:
            with suppress(OSError):
                each._socket.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
