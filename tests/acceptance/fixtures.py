"""One installation for all tests; a site of its own for each."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.acceptance import installation as sources
from tests.acceptance.installation import Installation, build_wheels
from tests.acceptance.probe import TABLE, Probe
from tests.acceptance.site import Site, declare_queue
from tests.servers import MariaServer, PostgresServer, Vhost

SITES = pytest.StashKey[list[Site]]()
TEMPLATE = "acceptance_template"
VERSION = "eventworker_alembic_version"


@pytest.fixture(scope="session")
def wheels(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> dict[str, Path]:
    """A wheel of eventworker, of everything under plugins/, and of the tests' own plugins.

    Of several processes of one run the first to come builds them.
    """
    mutant = pytestconfig.getoption("--mutant", None)
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return _build_wheels(tmp_path_factory.mktemp("wheels"), mutant)
    workshop = tmp_path_factory.getbasetemp().parent / "wheels"
    finished = workshop / "finished.json"
    with workshop.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not finished.exists():
            shutil.rmtree(workshop, ignore_errors=True)
            workshop.mkdir()
            built = _build_wheels(workshop, mutant)
            finished.write_text(json.dumps({name: str(path) for name, path in built.items()}))
        return {name: Path(path) for name, path in json.loads(finished.read_text()).items()}


def _build_wheels(workshop: Path, mutant: str | None) -> dict[str, Path]:
    copy = sources.copy_of_eventworker(workshop / "eventworker-source")
    if mutant:
        sources.patched(copy, Path(mutant))
    trees = {
        "eventworker": copy,
        **sources.plugin_sources(),
        "my-storyboard-plugin": sources.SAMPLE_PLUGIN,
        "eventworker-probes": sources.PROBES,
        "eventworker-twin": sources.TWIN,
    }
    return build_wheels(trees, workshop)


@pytest.fixture(scope="session")
def installation(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """An environment with all of them but the twin, which nobody can live with."""
    made = Installation(tmp_path_factory.mktemp("installation") / "venv")
    made.link_dependencies()
    wanted = [wheel for name, wheel in wheels.items() if name != "eventworker-twin"]
    made.install("--no-deps", *wanted)
    return made


def make_tables(installation: Installation, url: str, folder: Path) -> None:
    """eventworker's tables, made as an operator makes them, and the one for effects."""
    site = Site(installation, folder, url)
    site.command("db", "upgrade")
    site.probe.execute(TABLE)
    site.close()


@pytest.fixture(scope="session")
def template_database(
    postgres_server: PostgresServer,
    installation: Installation,
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """The name of a database that the others are copies of."""
    url = postgres_server.createdb(TEMPLATE)
    make_tables(installation, url, tmp_path_factory.mktemp("template"))
    return TEMPLATE


@pytest.fixture
def database(postgres_server: PostgresServer, template_database: str) -> Iterator[str]:
    """The URL of a fresh PostgreSQL database with all tables."""
    url = postgres_server.createdb(template=template_database)
    yield url
    postgres_server.dropdb(url.rpartition("/")[2])


@pytest.fixture(scope="session")
def template_file(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same in SQLite."""
    folder = tmp_path_factory.mktemp("template")
    make_tables(installation, f"sqlite:///{folder}/site.sqlite", folder)
    return folder / "site.sqlite"


@pytest.fixture
def sqlite_database(template_file: Path, tmp_path: Path) -> str:
    """The URL of a fresh SQLite database with all tables."""
    copy = shutil.copy(template_file, tmp_path)
    return f"sqlite:///{copy}"


@pytest.fixture(scope="session")
def template_schema(
    maria_server: MariaServer, installation: Installation, tmp_path_factory: pytest.TempPathFactory
) -> list[str]:
    """The same in MariaDB, as the statements that make a copy of it."""
    url = maria_server.createdb(TEMPLATE)
    make_tables(installation, url, tmp_path_factory.mktemp("template"))
    with closing(Probe(url, tmp_path_factory.mktemp("probe"))) as probe:
        names = [name for (name,) in probe.rows("SHOW TABLES")]
        made = [probe.rows(f"SHOW CREATE TABLE {name}")[0][1] for name in names]
    filled = f"INSERT INTO {VERSION} SELECT * FROM {TEMPLATE}.{VERSION}"
    return [*made, filled]


@pytest.fixture
def maria_database(maria_url: str, template_schema: list[str], tmp_path: Path) -> str:
    """The URL of a fresh MariaDB database with all tables."""
    with closing(Probe(maria_url, tmp_path / "probe")) as probe:
        probe.execute(*template_schema)
    return maria_url


@pytest.fixture
def make_site(
    request: pytest.FixtureRequest, installation: Installation, tmp_path: Path
) -> Iterator[Callable[..., Site]]:
    """Makes sites whose daemons end with the test; a failing test shows their logs."""
    sites: list[Site] = request.node.stash.setdefault(SITES, [])

    def make(url: str, vhost: Vhost | None = None) -> Site:
        if vhost:
            declare_queue(vhost)
        sites.append(Site(installation, tmp_path, url, vhost))
        return sites[-1]

    yield make
    for site in sites:
        site.close()


@pytest.fixture
def site(make_site: Callable[..., Site], database: str, vhost: Vhost) -> Site:
    """A site on RabbitMQ and PostgreSQL."""
    return make_site(database, vhost)


@pytest.fixture(params=["database", "sqlite_database", "maria_database"])
def sql_site(request: pytest.FixtureRequest, make_site: Callable[..., Site]) -> Site:
    """A site without a broker, on PostgreSQL, on SQLite and on MariaDB."""
    return make_site(request.getfixturevalue(request.param))


@pytest.fixture
def probe(site: Site) -> Probe:
    return site.probe


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    if report.failed:
        for site in item.stash.get(SITES, []):
            for daemon in site.daemons:
                report.sections.append((daemon.log.name, daemon.tail()))
    return report
