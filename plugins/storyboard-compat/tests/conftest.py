"""Databases with StoryBoard's tables and eventworker's inbox, and a configuration."""

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
from tests.servers import PostgresServer

#: What the subscription handler is tested on.
DATABASES = ["sqlite", "postgresql"]


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that each test's database is a copy of."""
    path = tmp_path_factory.mktemp("template") / "storyboard.sqlite"
    make_tables(build_engine(f"sqlite:///{path}")).dispose()
    return path


def make_tables(engine: Engine) -> Engine:
    metadata.create_all(engine, tables=[claims.inbox_table])
    models.Base.metadata.create_all(engine)
    with Session(engine) as session, session.begin():
        session.add(models.StoryType(id=1, name="Bugs"))
    return engine


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


def new_database(
    kind: str, request: pytest.FixtureRequest, factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    if kind == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        url = server.createdb()
    else:
        url = f"sqlite:///{factory.mktemp('database')}/storyboard.sqlite"
    engine = make_tables(build_engine(url))
    yield engine
    engine.dispose()


@pytest.fixture(scope="module", params=DATABASES)
def module_engine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    """A database that the tests of a module share; each undoes what it has done."""
    yield from new_database(request.param, request, tmp_path_factory)


@pytest.fixture(params=DATABASES)
def fresh_engine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    """A database of the test's own, for what has to be committed."""
    yield from new_database(request.param, request, tmp_path_factory)
