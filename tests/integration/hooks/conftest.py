"""A service with hooks."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from eventworker.pubsub.hooks.limits import Isolation
from eventworker.pubsub.hooks.sandbox import Box
from eventworker.pubsub.hooks.surroundings import Surroundings
from tests.helpers.hooks import LIMITS, Hooks, need_full_isolation


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where files of hooks may lie."""
    made = tmp_path / "hooks"
    made.mkdir(mode=0o755)
    return made


@pytest.fixture
def hooks(sqlite_engine: Engine, folder: Path) -> Iterator[Hooks]:
    """A service on SQLite with a node `news`."""
    made = Hooks(sqlite_engine, folder)
    made.desk.create("news", made.settings.itself)
    yield made
    made.close()


@pytest.fixture(scope="session")
def full_isolation() -> None:
    """The test is skipped where hooks cannot be kept apart."""
    need_full_isolation()


@pytest.fixture
def box() -> Box:
    """What a sandbox is made of."""
    return Box.of(Isolation.FULL, Surroundings.own([]), LIMITS)
