"""The transports under the contract, each with what it needs to run."""

from collections.abc import Callable, Iterator

import pytest

from eventworker.transport import Subscription, Transport
from eventworker.transports.memory import MemoryTransport
from eventworker.transports.rabbit import RabbitTransport
from eventworker.transports.sql import SqlTransport
from tests.helpers.rabbit import settings_at


def build(kind: str, request: pytest.FixtureRequest) -> Transport:
    if kind == "memory":
        return MemoryTransport()
    if kind == "rabbit":
        return RabbitTransport(settings_at(request.getfixturevalue("vhost")))
    return SqlTransport(request.getfixturevalue(f"{kind}_engine"), poll_interval=0.05)


@pytest.fixture(params=["memory", "sqlite", "postgres", "maria", "rabbit"])
def transport(request: pytest.FixtureRequest) -> Iterator[Transport]:
    """Every implementation; the SQL one on every database."""
    built = build(request.param, request)
    yield built
    built.close()


@pytest.fixture
def subscribe(transport: Transport) -> Iterator[Callable[..., Subscription]]:
    """Subscribes; what the test leaves open is closed. A queue exists when this returns."""
    opened: list[Subscription] = []

    def open_one(prefetch: int = 10) -> Subscription:
        opened.append(transport.subscribe(prefetch, f"consumer-{len(opened)}"))
        return opened[-1]

    yield open_one
    for subscription in opened:
        subscription.close()
