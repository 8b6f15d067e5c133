"""Databases with StoryBoard's tables and eventworker's inbox, and a configuration."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from oslo_config import cfg
from sqlalchemy import Engine, delete
from sqlalchemy.orm import Session
from storyboard.db import models

from eventworker import config
from eventworker.db import build_engine, metadata
from eventworker.inbox import claims
from tests.servers import MariaServer, PostgresServer

#: What the subscription handler is tested on: SQLite, and the servers of the session.
DATABASES = ["sqlite", "postgres", "maria"]


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


@pytest.fixture(scope="session")
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Engine]]:
    """The session's database of each kind, which is made for the first test that asks for it."""

    @cache
    def make(kind: str) -> Engine:
        if kind == "sqlite":
            url = f"sqlite:///{tmp_path_factory.mktemp('database')}/storyboard.sqlite"
        else:
            server: PostgresServer | MariaServer = request.getfixturevalue(f"{kind}_server")
            url = server.createdb()
        built.append(make_tables(build_engine(url)))
        return built[-1]

    built: list[Engine] = []
    yield make
    for engine in built:
        engine.dispose()


@pytest.fixture(scope="module", params=DATABASES)
def module_engine(
    request: pytest.FixtureRequest, made: Callable[[str], Engine]
) -> Iterator[Engine]:
    """An empty database for the tests of a module; each undoes what it has done."""
    engine = made(request.param)
    yield engine
    empty_tables(engine)


@pytest.fixture
def fresh_engine(module_engine: Engine) -> Iterator[Engine]:
    """The same for a test that commits."""
    yield module_engine
    empty_tables(module_engine)


def empty_tables(engine: Engine) -> None:
    """All but the row that `make_tables` writes."""
    kept = models.StoryType.__table__
    with engine.begin() as connection:
        connection.execute(delete(claims.inbox_table))
        for table in reversed(models.Base.metadata.sorted_tables):
            if table is not kept:
                connection.execute(delete(table))
