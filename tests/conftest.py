"""Fixtures for all tests. Servers start when the first test asks for one; see `servers`."""

import random
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from oslo_config import cfg
from sqlalchemy import Engine

from eventworker import secret
from eventworker.db import build_engine
from eventworker.outbox import wakeup
from tests.helpers.configuration import configuration
from tests.helpers.databases import empty_tables, start_over, upgrade_and_make_tables
from tests.helpers.examples import take_time
from tests.servers import MariaServer, PostgresServer
from tests.servers.memory import use_memory_for_files

take_time()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faults")
    seed = random.SystemRandom().randrange(2**31)
    group.addoption("--seed", type=int, default=seed, help="of what the faults choose by chance")
    group.addoption("--soak", type=float, default=60, help="seconds of mixed faults, one by one")
    group.addoption("--faults-csv", metavar="FILE", help="write the table of faults there, too")
    group.addoption("--kills", type=int, default=200, help="of a storm of SIGKILLs")
    group.addoption("--events", type=int, default=5000, help="of a storm of SIGKILLs")
    group.addoption("--mutant", metavar="PATCH", help="try the installed package with this patch")


def pytest_configure() -> None:
    use_memory_for_files()


pytest_plugins = ["tests.servers.fixtures", "tests.acceptance.fixtures"]


@pytest.fixture(autouse=True)
def _no_secrets_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process hides what it has once read as a secret; each test is a process of its own."""
    monkeypatch.setattr(secret, "_known", set())
    monkeypatch.setattr(secret, "_pattern", None)


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, once on each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/events.sqlite"
    name = "postgres_url" if request.param == "postgresql" else "maria_url"
    url: str = request.getfixturevalue(name)
    return url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of an empty SQLite database, for what concerns SQLite alone."""
    return f"sqlite:///{tmp_path}/events.sqlite"


@pytest.fixture
def new_engine() -> Iterator[Callable[[str], Engine]]:
    """Builds engines that are disposed of at the end: a second one is like a second process."""
    built: list[Engine] = []

    def build(url: str) -> Engine:
        built.append(build_engine(url, pool_size=5))
        return built[-1]

    yield build
    for engine in built:
        if (bell := wakeup._bells.pop(id(engine), None)) is not None:
            bell.close()
        engine.dispose()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with all tables: copying it is faster than making them for every test."""
    path = tmp_path_factory.mktemp("template") / "events.sqlite"
    upgrade_and_make_tables(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def shared_postgres_url(postgres_server: PostgresServer) -> str:
    """A database with all tables, emptied by `postgres_engine` and used by nobody else."""
    return upgrade_and_make_tables(postgres_server.createdb("shared"))


@pytest.fixture
def sqlite_engine(
    sqlite_url: str, sqlite_template: Path, new_engine: Callable[[str], Engine]
) -> Engine:
    """A SQLite database with eventworker's tables and those of `tests.helpers.databases`."""
    engine = new_engine(sqlite_url)
    shutil.copyfile(sqlite_template, str(engine.url.database))
    return engine


@pytest.fixture
def postgres_engine(shared_postgres_url: str, new_engine: Callable[[str], Engine]) -> Engine:
    """The same on PostgreSQL."""
    engine = new_engine(shared_postgres_url)
    empty_tables(engine)
    return engine


@pytest.fixture(scope="session")
def shared_maria_url(maria_server: MariaServer) -> str:
    """The same on MariaDB."""
    return upgrade_and_make_tables(maria_server.createdb("shared"))


@pytest.fixture
def maria_engine(shared_maria_url: str, new_engine: Callable[[str], Engine]) -> Engine:
    """The same on MariaDB."""
    engine = new_engine(shared_maria_url)
    empty_tables(engine)
    return engine


@pytest.fixture(params=["sqlite", "postgres", "maria"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """A database with all tables, once on each kind."""
    made: Engine = request.getfixturevalue(f"{request.param}_engine")
    return made


@pytest.fixture(scope="session")
def shared_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, str], str]:
    """The URL of a database of the session, by kind and name."""

    @cache
    def url(kind: str, name: str) -> str:
        if kind == "sqlite":
            return f"sqlite:///{tmp_path_factory.mktemp(name)}/shared.sqlite"
        server: PostgresServer | MariaServer = request.getfixturevalue(f"{kind}_server")
        return server.createdb(name)

    return url


@pytest.fixture(params=["sqlite", "postgres", "maria"])
def shared_engine(
    request: pytest.FixtureRequest,
    shared_url: Callable[[str, str], str],
    new_engine: Callable[[str], Engine],
) -> Callable[..., Engine]:
    """Opens a named database of the session with the tables of some MetaData, which are empty."""
    return lambda name, *tables: start_over(new_engine(shared_url(request.param, name)), *tables)


@pytest.fixture
def conf() -> cfg.ConfigOpts:
    """A configuration with every option at its default, of no file."""
    return configuration()
