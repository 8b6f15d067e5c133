"""A service on SQLite: the SQL is not the point here."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine

from eventworker.pubsub.options import Settings
from tests.helpers.pubsub import Desk


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
