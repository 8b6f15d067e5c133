"""A database with something to erase, and the command."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from eventworker.db import metadata, short_transaction
from eventworker.inbox import registry
from tests.helpers.commands import Commands


@pytest.fixture
def engine(engine: Engine) -> Engine:
    """A database with two registered plugins: audit is 1, hooks is 2."""
    metadata.create_all(engine)
    with short_transaction(engine) as connection:
        registry.sync(connection, ["audit", "hooks"], [])
    return engine


@pytest.fixture
def command(engine: Engine, tmp_path: Path) -> Commands:
    return Commands.of(engine, tmp_path)
