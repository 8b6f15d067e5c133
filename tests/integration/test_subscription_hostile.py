"""Names from the configuration that would be SQL, if anybody pasted them into a statement."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import (
    Column,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    insert,
    inspect,
    select,
)

from eventworker.errors import ConfigError
from tests.helpers.events import make_event
from tests.helpers.subscriptions import handle, worker

#: Names that a database takes when they are quoted, and that do something else when they are not.
HOSTILE = [
    "order",
    "per son",
    'x" FROM victim; DROP TABLE victim; --',
    "x` FROM victim; DROP TABLE victim; --",
    "x'; DROP TABLE victim; --",
    "x); DROP TABLE victim; --",
    "%s",
    "%(x)s",
    ":x",
    "?",
    "x --",
    "x/*",
    "x\\",
]


@pytest.fixture
def database(database_url: str, new_engine: Callable[[str], Engine]) -> Engine:
    """A database with a table that somebody would like to see gone."""
    engine = new_engine(database_url)
    Table("victim", MetaData(), Column("id", Integer)).create(engine)
    return engine


@contextmanager
def made(engine: Engine, name: str, *columns: Column[Any]) -> Iterator[Table]:
    table = Table(name, MetaData(), Column("id", Integer, primary_key=True), *columns)
    table.create(engine)
    try:
        yield table
    finally:
        table.drop(engine)


@contextmanager
def tables(engine: Engine, user: str, ids: Any, kind: str, own_id: Any) -> Iterator[Table]:
    """One follower of one thing, the users' column called so; yields the table of messages."""
    with (
        made(
            engine,
            "watcher",
            Column(user, Integer),
            Column("target_type", String(60)),
            Column("target_id", ids),
        ) as watcher,
        made(engine, "message", Column(user, Integer)) as message,
    ):
        with engine.begin() as connection:
            row = {"id": 1, user: 1, "target_type": kind, "target_id": own_id}
            connection.execute(insert(watcher), [row])
        yield message


TABLES = {"subscription_table": "watcher", "notification_table": "message"}


def numbers(engine: Engine, table: Table, column: str) -> list[int]:
    with engine.connect() as connection:
        return list(connection.scalars(select(table.columns[column])))


def test_a_hostile_name_is_a_name_and_nothing_else(database: Engine) -> None:
    for name in HOSTILE:
        if database.dialect.name == "mariadb" and "`" in name:
            continue  # SQLAlchemy reflects it with two, so the plugin refuses it: no such column
        with tables(database, name, Integer, "story", 7) as message:
            plugin = worker(
                **TABLES,
                subscription_columns={"user_id": name},
                notification_columns={"subscriber_id": name},
            )
            handle(plugin, database, make_event(resource_id=7))
            assert numbers(database, message, name) == [1], name
    assert inspect(database).has_table("victim")


@pytest.mark.parametrize(
    "option", ["subscription_table", "notification_table", "subscription_columns", "private"]
)
def test_a_name_that_is_not_there_is_refused_by_its_option(database: Engine, option: str) -> None:
    with tables(database, "user_id", Integer, "story", 7):
        for name in HOSTILE:
            mapped = {"subscription_columns": {"user_id": name}}
            rules = {"private": [f"story:watcher(id,{name}=1)"]}
            options = {
                **TABLES,
                "notification_columns": {"subscriber_id": "user_id"},
                **{option: {**mapped, **rules}.get(option, name)},
            }
            with pytest.raises(ConfigError, match=option):
                handle(worker(**options), database, make_event(resource_id=7))
    assert inspect(database).has_table("victim")


def test_hostile_values_of_an_event_are_values(database: Engine) -> None:
    for value in HOSTILE:
        with tables(database, "user_id", String(60), value, value) as message:
            plugin = worker(**TABLES, notification_columns={"subscriber_id": "user_id"})
            handle(plugin, database, make_event(method="PUT", resource=value, resource_id=value))
            assert numbers(database, message, "user_id") == [1], value
            handle(plugin, database, make_event(method="DELETE", resource=value, resource_id=value))
            # Of what is gone nobody is a follower any more.
            handle(plugin, database, make_event(method="PUT", resource=value, resource_id=value))
            assert len(numbers(database, message, "user_id")) == 2, value
    assert inspect(database).has_table("victim")
