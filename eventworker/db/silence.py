"""Finding out that nobody is there any more.

A host that lost its power, or a firewall that forgot a connection, says nothing: left to itself the
kernel waits for an answer for a quarter of an hour, and for the next question for two hours. With
these options it asks whether the other side's kernel is still there. A statement that takes long is
not hurt by that: the kernel of its server answers.
"""

from __future__ import annotations

import socket
from typing import Any

from sqlalchemy import URL, Engine, event

#: Seconds until an end that does not answer is given up.
SILENCE = 30.0
#: Longest wait for a new connection, in seconds; libpq takes no less than two.
_CONNECT, _CONNECT_LEAST = 10, 2
#: Questions before it is given up.
_PROBES = 4


def connect_args(url: URL, silence: float) -> dict[str, Any]:
    """What the driver is told, but for what the URL says itself.

    :param silence: seconds until an end that does not answer is given up.
    """
    options: dict[str, Any] = {}
    backend = url.get_backend_name()
    if backend in ("postgresql", "mariadb"):
        options["connect_timeout"] = max(_CONNECT_LEAST, min(_CONNECT, int(silence)))
    if backend == "postgresql":
        idle, interval = _pauses(silence)
        options.update(
            keepalives_idle=idle,
            keepalives_interval=interval,
            keepalives_count=_PROBES,
            tcp_user_timeout=int(silence * 1000),
        )
    return {name: value for name, value in options.items() if name not in url.query}


def watch(engine: Engine, silence: float) -> None:
    """MariaDB's driver has no options for this, so the sockets themselves are told."""

    @event.listens_for(engine, "connect")
    def on_connect(driver_connection: Any, _record: Any) -> None:
        sock: socket.socket = driver_connection._sock
        if sock.family == socket.AF_UNIX:
            return
        idle, interval = _pauses(silence)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, interval)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(silence * 1000))


def _pauses(silence: float) -> tuple[int, int]:
    """Seconds before the first question, and between two."""
    return max(1, int(silence / 3)), max(1, int(silence * 2 / 3 / _PROBES))
