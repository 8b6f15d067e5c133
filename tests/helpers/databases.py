"""Tables for effects, and a look at eventworker's own."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    delete,
    func,
    insert,
    inspect,
    select,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from eventworker import migrations
from eventworker.db import build_engine, metadata
from eventworker.effects.table import shared_table  # noqa: F401 - its tables
from eventworker.inbox import anonymous, cursor, quarantine, registry  # noqa: F401 - their tables
from eventworker.inbox.backlog import delivery_table
from eventworker.inbox.claims import Outcome, inbox_table
from eventworker.outbox.table import outbox_table


class Base(DeclarativeBase):
    pass


class Author(Base):
    """What `[plugins] resource_classes` calls a user; the name is unique and must be there."""

    __tablename__ = "author"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50), unique=True)


#: Effects are counted here, so nothing in it may make a second one impossible.
effect_table = Table(
    "effect",
    MetaData(),
    Column("event_id", String(36)),
    Column("what", String(200), index=True),
)
#: A row without `number` is refused.
strict_table = Table("strict", effect_table.metadata, Column("number", Integer, nullable=False))
METADATA = (metadata, effect_table.metadata, Base.metadata)


def make_tables(engine: Engine) -> Engine:
    for each in METADATA:
        each.create_all(engine)
    return engine


def upgrade_and_make_tables(url: str) -> str:
    """eventworker's tables as its migrations make them, and those of the tests."""
    engine = build_engine(url)
    migrations.upgrade(engine)
    make_tables(engine).dispose()
    return url


def empty_tables(engine: Engine) -> None:
    """Those that are there: a module with tables may have been imported since they were made."""
    with engine.begin() as connection:
        there = set(inspect(connection).get_table_names())
        each = [table for kept in METADATA for table in kept.tables.values()]
        _delete_all(connection, [table for table in each if table.name in there])


def start_over(engine: Engine, *kept: MetaData) -> Engine:
    """Leave the database with these tables, empty and counting from 1, and without any others.

    Several times faster than a new database, above all on MariaDB.
    """
    wanted = {table.name: table for each in kept for table in each.sorted_tables}
    with engine.begin() as connection:
        there = set(inspect(connection).get_table_names())
        if others := ", ".join(sorted(there - set(wanted))):
            _drop_all(connection, others)
        empty = _EMPTY[engine.dialect.name]
        empty(connection, [table for name, table in wanted.items() if name in there])
    if set(wanted) - there:
        for each in kept:
            each.create_all(engine)
    return engine


def _drop_all(connection: Connection, names: str) -> None:
    if connection.dialect.name == "sqlite":
        for name in names.split(", "):
            connection.exec_driver_sql(f"DROP TABLE {name}")
    else:
        cascade = " CASCADE" if connection.dialect.name == "postgresql" else ""
        connection.exec_driver_sql(f"DROP TABLE {names}{cascade}")


def _delete_all(connection: Connection, tables: Sequence[Table]) -> None:
    """Most of them are empty, and one question finds out which."""
    if not tables:
        return
    has_rows = ", ".join(f"EXISTS (SELECT 1 FROM {table.name})" for table in tables)
    answers = connection.exec_driver_sql(f"SELECT {has_rows}").one()
    for table, filled in reversed(list(zip(tables, answers, strict=True))):
        if filled:
            connection.execute(delete(table))


def _delete_and_rewind(connection: Connection, tables: Sequence[Table]) -> None:
    """TRUNCATE makes the files of each table and index anew: it takes up to 100 times as long."""
    _delete_all(connection, tables)
    connection.exec_driver_sql(
        "SELECT setval(sequencename::regclass, start_value, false) FROM pg_sequences"
        " WHERE schemaname = current_schema AND last_value IS NOT NULL"
    )


def _delete_and_rewind_maria(connection: Connection, tables: Sequence[Table]) -> None:
    """The same, for which MariaDB wants a statement per table that has ever given a number."""
    connection.exec_driver_sql("SET foreign_key_checks = 0")
    _delete_all(connection, tables)
    here = "WHERE table_schema = database() AND auto_increment > 1"
    counted = set(
        connection.exec_driver_sql(
            f"SELECT table_name FROM information_schema.tables {here}"
        ).scalars()
    )
    for table in tables:
        if table.name in counted:
            connection.exec_driver_sql(f"ALTER TABLE {table.name} AUTO_INCREMENT = 1")
    connection.exec_driver_sql("SET foreign_key_checks = 1")


_EMPTY = {
    "sqlite": _delete_all,
    "postgresql": _delete_and_rewind,
    "mariadb": _delete_and_rewind_maria,
}


def restart_numbers(engine: Engine, *tables: Table) -> None:
    """Let the next row of each, which is empty, be number 1 again."""
    forms = {
        "postgresql": "ALTER SEQUENCE {}_id_seq RESTART",
        "mariadb": "ALTER TABLE {} AUTO_INCREMENT = 1",
    }
    if form := forms.get(engine.dialect.name):
        with engine.begin() as connection:
            for table in tables:
                connection.exec_driver_sql(form.format(table.name))


_LOCK_WAITS = {
    "postgresql": "SELECT count(*) FROM pg_locks WHERE NOT granted",
    # Not innodb_lock_waits: InnoDB renews its copy only when nobody has read it for 0.1 s.
    "mariadb": "SELECT CAST(variable_value AS INT) FROM information_schema.global_status "
    "WHERE variable_name = 'INNODB_ROW_LOCK_CURRENT_WAITS'",
}


def someone_waits(engine: Engine) -> bool:
    """Whether a transaction waits for a lock."""
    with engine.connect() as connection:
        return bool(connection.scalar(text(_LOCK_WAITS[engine.dialect.name])))


def write(session: Any, what: str, event_id: object = "") -> None:
    """One effect."""
    session.execute(insert(effect_table).values(event_id=str(event_id), what=what))


def break_rule(session: Session) -> None:
    """A statement that every database refuses."""
    session.execute(insert(strict_table).values(number=None))


def effects(engine: Engine) -> list[str]:
    """What was written and committed, sorted."""
    with engine.connect() as connection:
        return sorted(connection.scalars(select(effect_table.c.what)))


def rows(engine: Engine, table: Table) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(select(table).order_by(*table.primary_key.columns)))


def count(engine: Engine, table: Table) -> int:
    with engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(table)) or 0


def outcomes(engine: Engine) -> dict[tuple[UUID, int], Outcome]:
    """The inbox: (event, plugin) to outcome."""
    return {(row.event_id, row.plugin): Outcome(row.outcome) for row in rows(engine, inbox_table)}


def deliveries(engine: Engine) -> list[Any]:
    return rows(engine, delivery_table)


def outbox_states(engine: Engine) -> list[int]:
    return [row.state for row in rows(engine, outbox_table)]
