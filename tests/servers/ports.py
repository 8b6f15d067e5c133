"""Free ports on loopback."""

import random
import socket
from contextlib import ExitStack

# Below Linux's range for outgoing connections (from 32768), so that nobody's client is given the
# port of a server that a test has stopped and will start again.
CANDIDATES = range(20_000, 32_000)
HOST = "127.0.0.1"


def free_ports(count: int) -> list[int]:
    """Different ports that are free now, random so that parallel test runs seldom meet."""
    ports: list[int] = []
    with ExitStack() as held:
        while len(ports) < count:
            port = random.choice(CANDIDATES)
            listener = held.enter_context(socket.socket())
            try:
                listener.bind((HOST, port))
            except OSError:
                continue
            ports.append(port)
    return ports


def accepts_connections(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True
