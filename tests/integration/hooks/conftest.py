"""A service with hooks."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.helpers.hooks import Hooks


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
