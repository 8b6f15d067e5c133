"""The revisions make exactly the tables that the code declares, however they are started."""

import importlib
import sqlite3
import subprocess
import sys
from collections.abc import Callable

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Column, Engine, Integer, MetaData, Table, func, insert, inspect, select, text
from sqlalchemy.engine import make_url

from eventworker import migrations
from eventworker.db import metadata, short_transaction
from eventworker.errors import DatabaseUnavailable, SchemaError
from eventworker.inbox import registry
from eventworker.outbox import queue
from eventworker.outbox.table import outbox_table, row_of
from tests.helpers.events import make_message
from tests.servers import MariaServer, wait_until

OWNERS = (
    "eventworker.inbox.registry",
    "eventworker.inbox.claims",
    "eventworker.inbox.backlog",
    "eventworker.inbox.quarantine",
    "eventworker.inbox.anonymous",
    "eventworker.inbox.cursor",
    "eventworker.outbox.table",
    "eventworker.effects.table",
    "eventworker.outbox.stream",
    "eventworker.workers.subscription.tables",
    "eventworker.pubsub.tables",
    "eventworker.pubsub.hooks.table",
)
READY_INDEX = "ix_eventworker_outbox_ready"
UPGRADE = """
import sys
from eventworker import migrations
from eventworker.db import build_engine
migrations.upgrade(build_engine(sys.argv[1]))
"""


@pytest.fixture
def engine(database_url: str, new_engine: Callable[[str], Engine]) -> Engine:
    """A database without any table."""
    return new_engine(database_url)


def differences(engine: Engine) -> list[object]:
    for owner in OWNERS:
        importlib.import_module(owner)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "version_table": migrations.VERSION_TABLE,
                "include_name": migrations.is_ours,
                "compare_type": True,
                "target_metadata": metadata,
                # Where no index is partial, this one has other columns; it has a test of its own.
                "include_object": lambda _object, name, *_rest: (
                    engine.dialect.name != "mariadb" or name != READY_INDEX
                ),
            },
        )
        return compare_metadata(context, metadata)


def test_an_upgrade_makes_the_tables_that_the_code_declares(engine: Engine) -> None:
    migrations.upgrade(engine)

    assert differences(engine) == []


def test_the_index_of_ready_rows_passes_over_the_others(engine: Engine) -> None:
    migrations.upgrade(engine)

    if engine.dialect.name == "mariadb":
        indexes = inspect(engine).get_indexes("eventworker_outbox")
        columns = {index["name"]: index["column_names"] for index in indexes}
        assert columns[READY_INDEX] == ["state", "id"]
        return
    catalogue = "sqlite_master" if engine.dialect.name == "sqlite" else "pg_indexes"
    columns = ("sql", "name") if engine.dialect.name == "sqlite" else ("indexdef", "indexname")
    with engine.connect() as connection:
        made = connection.scalar(
            text(f"SELECT {columns[0]} FROM {catalogue} WHERE {columns[1]} = :name"),
            {"name": READY_INDEX},
        )
    assert "WHERE" in made


def test_a_second_upgrade_changes_nothing(engine: Engine) -> None:
    migrations.upgrade(engine)
    migrations.upgrade(engine)

    assert migrations.current(engine) == migrations.head()
    migrations.check(engine)


def test_plugins_that_are_registered_stay_registered_and_are_not_paused(engine: Engine) -> None:
    with short_transaction(engine) as connection:
        config = migrations._config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(
            text("INSERT INTO eventworker_plugin VALUES (1, 'a', 'A', 'on', '2026-11-21 07:00:00')")
        )

    migrations.upgrade(engine)

    with engine.connect() as connection:
        (found,) = registry.read(connection)
    assert (found.number, found.name, found.state, found.is_paused) == (1, "A", "on", False)


def test_the_applications_own_tables_are_neither_seen_nor_touched(engine: Engine) -> None:
    theirs = MetaData()
    Table("stories", theirs, Column("id", Integer, primary_key=True))
    Table("alembic_version", theirs, Column("version_num", Integer, primary_key=True))
    theirs.create_all(engine)

    migrations.upgrade(engine)

    assert differences(engine) == []
    assert {"stories", "alembic_version"} <= set(inspect(engine).get_table_names())


def test_check_names_the_command_when_the_tables_are_missing(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE theirs (id INTEGER)"))

    with pytest.raises(SchemaError, match=r"tables are missing; run: eventworker .* db upgrade$"):
        migrations.check(engine)


def test_check_names_both_revisions_when_the_tables_are_old(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrations.upgrade(engine)
    made = migrations.head()
    monkeypatch.setattr(migrations, "head", lambda: "0999")

    with pytest.raises(SchemaError, match=f"at revision {made}, this version needs 0999; run: "):
        migrations.check(engine)


def test_tables_of_a_newer_version_are_refused_by_check_and_upgrade(engine: Engine) -> None:
    migrations.upgrade(engine)
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {migrations.VERSION_TABLE} SET version_num = 'ffff'"))

    with pytest.raises(SchemaError, match="revision ffff, which this version"):
        migrations.check(engine)
    with pytest.raises(SchemaError, match="revision ffff, which this version"):
        migrations.upgrade(engine)


@pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
def test_a_failing_upgrade_leaves_nothing_behind(engine: Engine) -> None:
    with engine.begin() as connection:
        # The last table of the revision is in the way.
        connection.execute(text("CREATE TABLE eventworker_outbox (id INTEGER)"))

    with pytest.raises(Exception, match="already exists"):
        migrations.upgrade(engine)

    assert inspect(engine).get_table_names() == ["eventworker_outbox"]


def test_what_waited_in_the_outbox_before_the_trace_context_came_is_still_there(
    engine: Engine,
) -> None:
    message = make_message()
    row = row_of(message)
    for later in ("traceparent", "tracestate", "stream", "seq"):
        del row[later]
    with short_transaction(engine) as connection:
        config = migrations._config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(insert(outbox_table).values(row))

    migrations.upgrade(engine)

    with short_transaction(engine) as connection:
        (waiting,) = queue.claim(connection, 10, 60.0, "host/1/1")
    assert (waiting.id, waiting.body, waiting.traceparent) == (message.id, message.body, None)


@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
def test_a_failing_upgrade_on_mariadb_says_how_to_go_on_and_does(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE eventworker_outbox (id INTEGER)"))

    with pytest.raises(SchemaError, match=r"half-way.*'state'.*again: eventworker .*db upgrade"):
        migrations.upgrade(engine)

    assert "eventworker_inbox" in inspect(engine).get_table_names()
    assert migrations.current(engine) is None
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE eventworker_outbox"))
    migrations.upgrade(engine)
    migrations.check(engine)
    assert differences(engine) == []


@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
def test_an_upgrade_that_was_killed_between_two_columns_goes_on(engine: Engine) -> None:
    with engine.begin() as connection:
        config = migrations._config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(text("ALTER TABLE eventworker_outbox ADD traceparent VARCHAR(255)"))
        connection.execute(text("ALTER TABLE eventworker_plugin ADD paused_at DATETIME(6)"))

    migrations.upgrade(engine)

    assert differences(engine) == []


@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
def test_the_tables_on_mariadb_are_transactional_and_take_all_of_unicode(
    engine: Engine, maria_server: MariaServer
) -> None:
    maria_server.execute(f"ALTER DATABASE {engine.url.database} CHARACTER SET latin1")
    migrations.upgrade(engine)

    with engine.connect() as connection:
        kinds = connection.execute(
            text(
                "SELECT DISTINCT engine, table_collation FROM information_schema.tables "
                "WHERE table_schema = database() AND table_name <> :versions"
            ),
            {"versions": migrations.VERSION_TABLE},
        ).all()
    assert kinds == [("InnoDB", "utf8mb4_bin")]


def test_the_printed_sql_makes_the_same_tables(engine: Engine) -> None:
    sql = migrations.upgrade_sql(engine.dialect.name)

    driver = engine.raw_connection()
    try:
        if engine.dialect.name == "sqlite":
            driver.driver_connection.executescript(sql)
        elif engine.dialect.name == "mariadb":
            with driver.cursor() as cursor:
                for statement in filter(None, map(str.strip, sql.split(";"))):
                    cursor.execute(statement)
            driver.commit()
        else:
            driver.driver_connection.autocommit = True
            driver.driver_connection.execute(sql)
            driver.driver_connection.autocommit = False
    finally:
        driver.close()

    migrations.check(engine)
    assert differences(engine) == []


def test_the_printed_sql_from_the_head_is_empty_and_from_nowhere_is_refused() -> None:
    assert "CREATE" not in migrations.upgrade_sql("postgresql", migrations.head())
    with pytest.raises(SchemaError, match="revision nowhere"):
        migrations.upgrade_sql("postgresql", "nowhere")


def test_upgrades_that_start_at_once_wait_for_each_other(
    postgres_url: str, new_engine: Callable[[str], Engine]
) -> None:
    engine = new_engine(postgres_url)
    waiting = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    with engine.connect() as holder, engine.connect() as observer:
        # Holding the lock ourselves brings all four to the same point.
        holder.execute(select(func.pg_advisory_xact_lock(migrations._LOCK_NUMBER)))
        upgrades = [start_upgrade(postgres_url) for _ in range(4)]
        wait_until(lambda: observer.scalar(waiting) == 4, 60, "the upgrades do not come to wait")
        holder.rollback()
        outputs = [upgrade.communicate(timeout=60)[0] for upgrade in upgrades]

    assert [upgrade.returncode for upgrade in upgrades] == [0] * 4, outputs
    migrations.check(engine)


def test_upgrades_of_one_sqlite_file_that_start_at_once_all_succeed(
    sqlite_url: str, new_engine: Callable[[str], Engine]
) -> None:
    upgrades = [start_upgrade(sqlite_url) for _ in range(4)]
    outputs = [upgrade.communicate(timeout=60)[0] for upgrade in upgrades]

    assert [upgrade.returncode for upgrade in upgrades] == [0] * 4, outputs
    migrations.check(new_engine(sqlite_url))


def start_upgrade(url: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", UPGRADE, url],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_database_that_is_away_is_said_to_be_away(
    new_engine: Callable[[str], Engine],
) -> None:
    engine = new_engine("postgresql+psycopg://nobody@127.0.0.1:1/nothing")
    with pytest.raises(DatabaseUnavailable):
        migrations.check(engine)
    with pytest.raises(DatabaseUnavailable):
        migrations.upgrade(engine)


def test_the_newest_revision_is_the_one_that_alembic_finds() -> None:
    scripts = ScriptDirectory.from_config(migrations._config())
    assert migrations.head() == scripts.get_current_head()
    known = [script.revision for script in scripts.walk_revisions()]
    assert migrations._revisions() == known[::-1]


def test_what_the_daemon_imports_at_its_start_does_not_bring_alembic() -> None:
    code = "import sys, eventworker.cli.daemon; sys.exit('alembic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_first_connection_to_a_sqlite_file_waits_for_who_writes_to_it(
    sqlite_url: str, new_engine: Callable[[str], Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = sqlite3.connect(make_url(sqlite_url).database or "", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr("eventworker.db.engine.time.sleep", lambda _seconds: writer.rollback())
    with new_engine(sqlite_url).connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    writer.close()
