"""Daemon, application and operator with just the rights that the documentation prints."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psycopg
import pytest
from sqlalchemy import NullPool, create_engine, exc, text
from sqlalchemy.orm import Session

from eventworker import outbox
from eventworker.db import metadata
from eventworker.inbox import registry
from eventworker.pubsub import tables as _pubsub_tables  # noqa: F401 - for metadata
from eventworker.pubsub.hooks.table import audit_table
from tests.acceptance.installation import Installation
from tests.acceptance.pages.page import ROOT
from tests.acceptance.probe import TABLE
from tests.acceptance.site import Site, declare_queue
from tests.helpers.events import make_event
from tests.servers import MariaServer, PostgresServer, RabbitServer, Vhost

PAGES = ROOT / "docs" / "howto"
#: Where the statements that need the tables begin.
TABLES_ARE_THERE = re.compile(r"^-- After .*$", re.MULTILINE)
#: MariaDB's word, and PostgreSQL's two.
DENIED = re.compile("command denied|permission denied|must be owner")
PASSWORD = "a-password-of-its-own"


def statements(name: str, host: str) -> tuple[list[str], list[str]]:
    """Those before the tables are made, and those after."""
    page = (PAGES / name).read_text().replace("PASSWORD 'PASSWORD'", f"PASSWORD '{PASSWORD}'")
    page = page.replace("BY 'PASSWORD'", f"BY '{PASSWORD}'").replace("'HOST'", f"'{host}'")
    before, after = TABLES_ARE_THERE.split(page)
    return _split(before), _split(after)


def _split(part: str) -> list[str]:
    lines = [line for line in part.splitlines() if not line.startswith("--")]
    return [each.strip() for each in "\n".join(lines).split(";") if each.strip()]


@dataclass
class Database:
    """A database of which each user may do only what the page gives."""

    url: str
    execute: Callable[[str], object]
    after: list[str]

    def of(self, user: str) -> str:
        """The URL for one of the page's users."""
        return re.sub(r"//\w+@", f"//{user}:{PASSWORD}@", self.url)


@pytest.fixture(scope="module")
def postgres() -> Iterator[Database]:
    with PostgresServer() as server:
        url = server.createdb("tracker")

        def execute(statement: str) -> None:
            address = {"host": server.host, "port": server.port, "user": server.user}
            with psycopg.connect(dbname="tracker", autocommit=True, **address) as connection:  # type: ignore[arg-type]
                connection.execute(statement.encode())

        execute(f"CREATE ROLE tracker_web LOGIN PASSWORD '{PASSWORD}'")
        # As from PostgreSQL 15 on by itself.
        execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        before, after = statements("roles-postgresql.sql", server.host)
        for statement in before:
            execute(statement)
        yield Database(url, execute, after)


@pytest.fixture(scope="module")
def maria() -> Iterator[Database]:
    with MariaServer() as server:
        url = server.createdb("tracker")
        server.execute(f"CREATE USER tracker_web@'{server.host}' IDENTIFIED BY '{PASSWORD}'")
        before, after = statements("roles-mariadb.sql", server.host)
        for statement in before:
            server.execute(statement)
        yield Database(url, server.execute, after)


@pytest.fixture(scope="module", params=["postgres", "maria"])
def database(
    request: pytest.FixtureRequest,
    installation: Installation,
    tmp_path_factory: pytest.TempPathFactory,
) -> Database:
    """With its tables, made by the owner."""
    found: Database = request.getfixturevalue(request.param)
    site = Site(installation, tmp_path_factory.mktemp("owner"), found.of("eventworker_owner"))
    site.command("db", "upgrade")
    site.probe.execute(TABLE)
    site.close()
    for statement in found.after:
        found.execute(statement)
    if request.param == "maria":  # the plugin's own table, for which the page cannot speak
        found.execute("GRANT INSERT ON tracker.probe_effect TO eventworker_daemon@'127.0.0.1'")
    return found


@pytest.fixture
def broker_users(rabbit_server: RabbitServer, vhost: Vhost) -> Iterator[dict[str, str]]:
    """The page's name of a user to the user that it is here."""
    page = (PAGES / "broker-permissions.sh").read_text()
    users = {}
    for line in page.splitlines():
        if not line.startswith("rabbitmqctl set_permissions "):
            continue
        *_, name, configure, write, read = shlex.split(line)
        users[name] = f"{name}-{vhost.vhost}"
        rabbit_server.add_user(users[name], PASSWORD, vhost.vhost, configure, write, read)
    yield users
    for user in users.values():
        rabbit_server.delete_user(user)


def daemons_of(site: Site, users: dict[str, str], separately: bool) -> None:
    """Start one daemon that does both, or one for each end."""
    login = {"rabbit_password": PASSWORD}
    if not separately:
        site.configure(notifications={**login, "rabbit_userid": users["eventworker"]})
        site.start(workers=1)
        return
    site.configure(
        notifications={**login, "rabbit_userid": users["consumer"]}, outbox={"relay": False}
    )
    site.start(workers=1)
    site.configure(notifications={"rabbit_userid": users["relay"]}, outbox={"relay": True})
    # Its consumers may not read the queue, so that it does nothing but publish.
    site.start(workers=1, ready=False)


@pytest.mark.parametrize("separately", [False, True], ids=["one user", "two users"])
def test_an_event_goes_all_the_way_with_the_least_rights(
    make_site: Callable[..., Site],
    database: Database,
    vhost: Vhost,
    broker_users: dict[str, str],
    separately: bool,
) -> None:
    declare_queue(vhost)
    site = make_site(database.url, vhost)
    site.configure(database={"connection": database.of("eventworker_daemon")})
    daemons_of(site, broker_users, separately)
    web = create_engine(database.of("tracker_web"), poolclass=NullPool)
    with Session(web) as session:
        event = outbox.record(session, make_event())
        session.commit()
    web.dispose()
    site.wait_for([event], "alpha", "beta", timeout=30)
    site.probe.execute("DELETE FROM probe_effect")
    if not separately:
        site.stop_all()
        for daemon in site.daemons:
            assert "denied" not in daemon.output()


def may(url: str, statement: str) -> bool:
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            connection.execute(text(statement))
    except exc.DBAPIError as error:
        if not DENIED.search(str(error)):
            raise
        return False
    finally:
        engine.dispose()
    return True


@pytest.mark.parametrize("table", sorted(metadata.tables))
def test_the_application_can_neither_read_nor_change_anything(
    database: Database, table: str
) -> None:
    web = database.of("tracker_web")
    for verb in ("SELECT 1 FROM", "DELETE FROM", "DROP TABLE", "TRUNCATE TABLE"):
        assert not may(web, f"{verb} {table}")


@pytest.mark.parametrize("table", sorted(metadata.tables))
def test_the_daemon_has_the_rows_and_not_the_tables(database: Database, table: str) -> None:
    daemon = database.of("eventworker_daemon")
    assert may(daemon, f"SELECT 1 FROM {table}")
    assert may(daemon, f"DELETE FROM {table} WHERE 1 = 0") is (table != audit_table.name)
    assert not may(daemon, f"DROP TABLE {table}")
    assert not may(daemon, f"ALTER TABLE {table} ADD COLUMN more INTEGER")


def test_nobody_but_the_owner_changes_the_version(database: Database) -> None:
    for user in ("eventworker_daemon", "eventworker_operator", "tracker_web"):
        assert not may(database.of(user), "DELETE FROM eventworker_alembic_version")
    assert may(database.of("eventworker_owner"), "DELETE FROM eventworker_alembic_version")


def test_an_operator_looks_and_changes_nothing(
    make_site: Callable[..., Site], database: Database
) -> None:
    site = make_site(database.url)
    owner = create_engine(database.of("eventworker_owner"), poolclass=NullPool)
    with owner.begin() as connection:
        registry.sync(connection, ["alpha"], [])
    site.configure(database={"connection": database.of("eventworker_operator")})
    site.command("deliveries", "list")
    site.command("deliveries", "list", "--state", "quarantined")
    site.command("plugins", "list")
    done = site.installation.run(
        "eventworker", "--config-file", site.file, "plugins", "pause", "alpha", "--reason", "no"
    )
    assert done.returncode == 1
    assert "denied" in done.stderr
