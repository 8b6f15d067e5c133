"""A service on SQLite: the SQL is not the point here."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine

from eventworker.pubsub.options import Settings
from tests.helpers.pubsub import Desk
from tests.helpers.pubsub_clients import FACES, SERVICE, SETTINGS


@pytest.fixture
def desk(sqlite_engine: Engine) -> Desk:
    """A service with the settings that nobody changed."""
    return Desk(sqlite_engine)


@pytest.fixture
def desk_with(sqlite_engine: Engine) -> Callable[..., Desk]:
    """Makes a service with these settings: `desk_with(max_batch=2)`."""

    def make(**settings: Any) -> Desk:
        return Desk(sqlite_engine, Settings(**settings))

    return make


@pytest.fixture(params=list(FACES))
def new_client(
    request: pytest.FixtureRequest, sqlite_engine: Engine
) -> Iterator[Callable[..., Any]]:
    """Makes clients of one face by their addresses."""
    made: list[Any] = []

    def new(jid: str, settings: Settings = SETTINGS) -> Any:
        made.append(FACES[request.param](sqlite_engine, jid, settings))
        return made[-1]

    yield new
    for each in made:
        each.end()


@pytest.fixture
def owner(new_client: Callable[..., Any]) -> Any:
    """The owner of a node `news`."""
    client = new_client("owner@example.org")
    client.create(SERVICE, "news")
    return client


@pytest.fixture
def ann(new_client: Callable[..., Any]) -> Any:
    return new_client("ann@example.org/desk")
