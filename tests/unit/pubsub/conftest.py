"""The service on SQLite."""

import pytest
from sqlalchemy import Engine

from tests.helpers.pubsub import House


@pytest.fixture
def house(sqlite_engine: Engine) -> House:
    """A service without nodes, with a listener for everybody."""
    made = House(sqlite_engine)
    made.listen()
    return made
