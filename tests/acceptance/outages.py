"""Servers that tests stop."""

from __future__ import annotations

from tests.servers import PostgresServer, RabbitServer, ServerError


def bring_back(server: PostgresServer | RabbitServer) -> None:
    """Start it again where a failing test has left it stopped."""
    try:
        assert server.process.alive()
    except ServerError:
        server.start()
