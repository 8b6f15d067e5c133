"""A TCP proxy that does to a connection what networks do: nothing, slowness, silence, a cut.

Every fault counts what it did, so that a test can prove that it fired.
"""

from __future__ import annotations

import ctypes
import re
import socket
import struct
import threading
import time
from collections import Counter
from contextlib import suppress
from enum import Enum
from types import TracebackType
from typing import Self

from tests.servers.ports import HOST

_CHUNK = 65536
#: Closing with SO_LINGER at zero seconds sends a reset.
_RESET = struct.pack("ii", 1, 0)
#: A socket filter of one instruction: return nothing of the packet, so that not even the kernel
#: has seen it (socket(7), SO_ATTACH_FILTER).
_DEAF = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0), 8)
_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27


class Way(Enum):
    UP = "to the server"
    DOWN = "to the client"


BOTH = (Way.UP, Way.DOWN)


class Proxy:
    """Forwards connections to a port of this machine.

    :ivar port: where clients connect.
    :ivar target: the port that new connections are forwarded to.
    :ivar seen: bytes forwarded by way, and what was done: "connections", "refused", "cut",
        "vanished", "withheld" (bytes), "matched", "injected", "greeted".
    """

    def __init__(self, target: int, address: str = HOST, port: int = 0) -> None:
        self.target = target
        self._listener = socket.create_server((address, port))
        self.port: int = self._listener.getsockname()[1]
        self.seen: Counter[str] = Counter()
        self._changed = threading.Condition()
        self._links: set[_Link] = set()
        self._silent: set[Way] = set()
        self._refusing = False
        self._latency = 0.0
        self._rate: float | None = None
        self._trap: tuple[Way, re.Pattern[bytes], bool] | None = None
        self._greeting: bytes | None = None
        self._part = 0
        self._open = True
        threading.Thread(target=self._accept, daemon=True).start()

    # What a test does.

    def cut(self) -> None:
        """Reset every connection, as a router that forgot them."""
        for link in self._all():
            link.reset()
            self.seen["cut"] += 1

    def refuse(self, refusing: bool = True) -> None:
        """Reset new connections at once, as long as it is on."""
        self._refusing = refusing

    def silence(self, *ways: Way) -> None:
        """Forward nothing that way any more; nobody is told, as behind a dead link."""
        with self._changed:
            self._silent |= set(ways or BOTH)

    def vanish(self) -> None:
        """Be a host without power: no kernel answers the clients, neither old ones nor new."""
        _deafen(self._listener)
        for link in self._all():
            _deafen(link.begin(Way.UP))
            self.seen["vanished"] += 1

    def switch(self, target: int) -> None:
        """Cut all connections; new ones go to this port."""
        self.target = target
        self.cut()

    def slow(self, latency: float = 0.0, rate: float | None = None) -> None:
        """Delay each chunk by so many seconds, and forward so many bytes per second at the most."""
        self._latency, self._rate = latency, rate

    def cut_at(self, pattern: bytes, way: Way, *, forward: bool) -> None:
        """Reset the connection on which these bytes (a regular expression) pass, once.

        :param forward: whether the other side still gets them.
        """
        self._trap = (way, re.compile(pattern, re.DOTALL), forward)

    def cut_after(self, count: int, way: Way) -> None:
        """Forward the first so many bytes of the next longer chunk, and reset its connection."""
        pattern = rb"(?=.{%d})" % (count + 1)
        self._trap = (way, re.compile(pattern, re.DOTALL), False)
        self._part = count

    def greet(self, data: bytes) -> None:
        """Answer new connections with these bytes, as a server of another kind, and close them."""
        self._greeting = data

    def inject(self, data: bytes, way: Way) -> None:
        """Send bytes that nobody sent."""
        for link in self._all():
            with suppress(OSError):
                link.end(way).sendall(data)
                self.seen["injected"] += len(data)

    def heal(self) -> None:
        """Forward again as if nothing had been; what was withheld goes on its way."""
        for each in (self._listener, *(link.begin(Way.UP) for link in self._all())):
            with suppress(OSError):  # it is closed, or heard all the time
                each.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
        with self._changed:
            self._silent.clear()
            self._latency, self._rate, self._trap, self._refusing = 0.0, None, None, False
            self._greeting = None
            self._changed.notify_all()

    def close(self) -> None:
        self._open = False
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.heal()
        self.cut()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # The threads.

    def _all(self) -> list[_Link]:
        with self._changed:
            return list(self._links)

    def _accept(self) -> None:
        while self._open:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._refusing:
                self.seen["refused"] += 1
                _reset(client)
                continue
            if self._greeting is not None:
                self.seen["greeted"] += 1
                with client, suppress(OSError):
                    client.sendall(self._greeting)
                continue
            try:
                server = socket.create_connection((HOST, self.target), timeout=5)
            except OSError:
                self.seen["refused"] += 1
                _reset(client)
                continue
            server.settimeout(None)
            self.seen["connections"] += 1
            link = _Link(client, server)
            with self._changed:
                self._links.add(link)
            for way in BOTH:
                threading.Thread(target=self._pump, args=(link, way), daemon=True).start()

    def _pump(self, link: _Link, way: Way) -> None:
        source, sink = link.begin(way), link.end(way)
        try:
            while data := source.recv(_CHUNK):
                self._pass(link, way, data, sink)
            with suppress(OSError):
                sink.shutdown(socket.SHUT_WR)
        except OSError:
            link.reset()
        finally:
            if link.ended():
                with self._changed:
                    self._links.discard(link)

    def _pass(self, link: _Link, way: Way, data: bytes, sink: socket.socket) -> None:
        if self._latency or self._rate:
            time.sleep(self._latency + (len(data) / self._rate if self._rate else 0.0))
        with self._changed:
            if way in self._silent:
                self.seen["withheld"] += len(data)
                self._changed.wait_for(lambda: way not in self._silent or not self._open)
        if link.muted:
            self.seen["withheld"] += len(data)
            link.heard.set()
            return
        if (forwards := self._sprung(way, data)) is not None:
            self.seen["matched"] += 1
            if forwards:
                # The other side shall have it and have dealt with it, and its answer reach nobody.
                link.muted = way is Way.UP
                sink.sendall(data)
                link.heard.wait(5 if link.muted else 0)
            elif self._part:
                sink.sendall(data[: self._part])
                self._part = 0
            link.reset()
            self.seen["cut"] += 1
            return
        sink.sendall(data)
        self.seen[way.value] += len(data)

    def _sprung(self, way: Way, data: bytes) -> bool | None:
        """Whether the trap springs at these bytes: None if not, else whether to forward them."""
        with self._changed:
            if self._trap is None or self._trap[0] is not way or not self._trap[1].search(data):
                return None
            forwards = self._trap[2]
            self._trap = None
            return forwards


class _Link:
    """One connection through the proxy, with its two ends."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self._client, self._server = client, server
        self.muted = False
        self.heard = threading.Event()
        self._pumps = 2
        self._lock = threading.Lock()

    def begin(self, way: Way) -> socket.socket:
        return self._client if way is Way.UP else self._server

    def end(self, way: Way) -> socket.socket:
        return self._server if way is Way.UP else self._client

    def reset(self) -> None:
        for each in (self._client, self._server):
            _reset(each)

    def ended(self) -> bool:
        with self._lock:
            self._pumps -= 1
            if self._pumps == 0:
                self._client.close()
                self._server.close()
            return self._pumps == 0


def _deafen(each: socket.socket) -> None:
    program = struct.pack("HP", 1, ctypes.addressof(_DEAF))
    each.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


def _reset(each: socket.socket) -> None:
    with suppress(OSError):
        each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        # Only shutdown wakes a thread that waits in recv().
        each.shutdown(socket.SHUT_RDWR)
    each.close()
