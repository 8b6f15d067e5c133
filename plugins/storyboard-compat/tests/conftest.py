"""An SQLite database with StoryBoard's tables and eventworker's inbox, and a configuration."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from oslo_config import cfg
from sqlalchemy import Engine
from sqlalchemy.orm import Session
from storyboard.db import models

from eventworker import config
from eventworker.db import build_engine, metadata
from eventworker.inbox import claims


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that each test's database is a copy of."""
    path = tmp_path_factory.mktemp("template") / "storyboard.sqlite"
    engine = build_engine(f"sqlite:///{path}")
    metadata.create_all(engine, tables=[claims.inbox_table])
    models.Base.metadata.create_all(engine)
    with Session(engine) as session, session.begin():
        session.add(models.StoryType(id=1, name="Bugs"))
    engine.dispose()
    return path


@pytest.fixture
def engine(template: Path, tmp_path: Path) -> Iterator[Engine]:
    path = shutil.copy(template, tmp_path)
    engine = build_engine(f"sqlite:///{path}")
    yield engine
    engine.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    """A session whose work is undone after the test."""
    with Session(engine) as session:
        yield session


@pytest.fixture
def conf() -> cfg.ConfigOpts:
    conf = cfg.ConfigOpts()
    config.register(conf)
    conf([], default_config_files=[], default_config_dirs=[])
    return conf
