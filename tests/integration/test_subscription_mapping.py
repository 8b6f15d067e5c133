"""The subscription plugin on an application's own tables."""

import enum
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import (
    JSON,
    Column,
    DateTime,
    Engine,
    Enum,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    Uuid,
    insert,
    select,
    text,
)
from sqlalchemy.orm import Session

from eventworker.errors import ConfigError
from tests.helpers.events import make_event
from tests.helpers.subscriptions import handle, worker


class Kind(enum.Enum):
    story = "story"
    task = "task"


@pytest.fixture
def database(database_url: str, new_engine: Callable[[str], Engine]) -> Engine:
    """A database without eventworker's tables."""
    return new_engine(database_url)


def made(engine: Engine, name: str, *columns: Column[Any]) -> Table:
    table = Table(name, MetaData(), *columns)
    table.create(engine)
    return table


def add(engine: Engine, table: Table, *rows: dict[str, Any]) -> None:
    with engine.begin() as connection:
        connection.execute(insert(table), list(rows))


def rows_of(engine: Engine, table: Table) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(select(table)).mappings()]


def watchers(engine: Engine) -> Table:
    return made(
        engine,
        "watcher",
        Column("id", Integer, primary_key=True),
        Column("person", Integer),
        Column("kind", String(20)),
        Column("target_id", Integer),
    )


MAPPED = {
    "subscription_table": "watcher",
    "subscription_columns": {"user_id": "person", "target_type": "kind"},
    "notification_table": "message",
}


def test_columns_of_other_names_and_types(database: Engine) -> None:
    watcher = watchers(database)
    message = made(
        database,
        "message",
        Column("number", Integer, primary_key=True),
        Column("recipient", Integer, nullable=False),
        Column("event", Uuid, index=True),
        Column("author_id", Integer),
        Column("what", String(10)),
        Column("resource_id", Integer),
        Column("info", JSON),
        Column("created_at", DateTime),
        Column("read", String(5), server_default="no", nullable=False),
    )
    add(
        database,
        watcher,
        {"person": 1, "kind": "story", "target_id": 7},
        {"person": 2, "kind": "task", "target_id": 7},
        {"person": None, "kind": "story", "target_id": 7},
    )
    plugin = worker(
        **MAPPED,
        notification_columns={"subscriber_id": "recipient", "event_id": "event"}
        | {"event_type": "what"},
    )
    event = make_event(author_id=5, resource_after={"title": "A"})
    handle(plugin, database, event, event)
    (found,) = rows_of(database, message)
    age = datetime.now(UTC).replace(tzinfo=None) - found.pop("created_at")
    assert abs(age) < timedelta(minutes=1)
    assert found == {
        "number": 1,
        "recipient": 1,
        "event": event.id,
        "author_id": 5,
        "what": "story_crea",
        "resource_id": 7,
        "info": {"title": "A"},
        "read": "no",
    }


def test_users_and_targets_that_are_uuids(database: Engine) -> None:
    user, story = uuid4(), uuid4()
    watcher = made(
        database,
        "watcher",
        Column("person", Uuid),
        Column("kind", String(20)),
        Column("target_id", Uuid),
    )
    message = made(
        database,
        "message",
        Column("subscriber_id", Uuid, primary_key=True),
        Column("event_id", Uuid, primary_key=True),
        Column("resource_id", Uuid),
        Column("info", Text),
    )
    add(database, watcher, {"person": user, "kind": "story", "target_id": story})
    add(database, watcher, {"person": uuid4(), "kind": "story", "target_id": uuid4()})
    event = make_event(resource_id=str(story), author_id=str(uuid4()))
    handle(worker(**MAPPED), database, event, event, make_event(resource_id=7))
    (found,) = rows_of(database, message)
    assert (found["subscriber_id"], found["resource_id"]) == (user, story)
    assert found["event_id"] == event.id
    gone = make_event(method="DELETE", resource_id=str(story), author_id=str(user))
    handle(worker(**MAPPED), database, gone)
    assert len(rows_of(database, message)) == 1
    assert len(rows_of(database, watcher)) == 1


def test_kinds_that_are_an_enumeration_of_the_database(database: Engine) -> None:
    watcher = made(
        database,
        "watcher",
        Column("person", Integer),
        Column("kind", Enum(Kind, name="kind")),
        Column("target_id", Integer),
    )
    message = made(database, "message", Column("subscriber_id", String(20)))
    add(database, watcher, {"person": 1, "kind": Kind.story, "target_id": 7})
    # 'release' is no member, so PostgreSQL would refuse to compare with it.
    for resource in ("story", "release"):
        handle(worker(**MAPPED), database, make_event(resource=resource, method="DELETE"))
    assert rows_of(database, message) == [{"subscriber_id": "1"}]
    assert rows_of(database, watcher) == []


def test_an_application_may_take_over_one_table_and_leave_the_other(database: Engine) -> None:
    from eventworker.db import metadata

    metadata.create_all(database)
    watcher = watchers(database)
    add(database, watcher, {"person": 1, "kind": "story", "target_id": 7})
    handle(
        worker(**{name: MAPPED[name] for name in ("subscription_table", "subscription_columns")}),
        database,
        make_event(),
    )
    own = metadata.tables["eventworker_notification"]
    assert [row["subscriber_id"] for row in rows_of(database, own)] == ["1"]


def test_a_unique_key_of_the_application_is_respected(database: Engine) -> None:
    """Event ids are compared as the database keeps them, whatever it calls a UUID."""
    watcher = watchers(database)
    message = made(
        database,
        "message",
        Column("subscriber_id", Integer, primary_key=True),
        Column("event_id", String(36), primary_key=True),
    )
    add(database, watcher, *({"person": n, "kind": "story", "target_id": 7} for n in (1, 1, 2)))
    event = make_event(id=UUID(int=5))
    handle(worker(**MAPPED), database, event, event)
    assert [row["event_id"] for row in rows_of(database, message)] == [str(event.id)] * 2


MESSAGE = "subscriber_id integer"


def create_message(engine: Engine, columns: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(f"CREATE TABLE message ({columns})"))


@pytest.mark.parametrize(
    ("columns", "options", "sentence"),
    [
        (
            MESSAGE,
            {"subscription_table": "missing"},
            r"\[plugin:subscription\] subscription_table: there is no table missing in the data",
        ),
        (
            MESSAGE,
            {"notification_table": "nowhere.missing"},
            "notification_table: there is no schema nowhere in the database",
        ),
        (
            MESSAGE,
            {"subscription_columns": {"user_id": "person"}},
            "subscription_columns: table watcher has no column target_type; "
            "write target_type:ITS_COLUMN",
        ),
        (
            MESSAGE,
            {"subscription_columns": {"user": "person"}},
            "subscription_columns: user is not one of user_id, target_type, target_id",
        ),
        (
            MESSAGE,
            {"notification_columns": {"info": "details"}},
            "notification_columns: table message has no column details",
        ),
        (
            "who integer",
            {},
            "notification_columns: table message has no column subscriber_id",
        ),
        (
            MESSAGE + ", words varchar(5) NOT NULL",
            {},
            "column words of table message must be filled, but is mapped to nothing",
        ),
        (
            MESSAGE + ", code varchar(5) NOT NULL PRIMARY KEY",
            {},
            "column code of table message must be filled",
        ),
        (
            MESSAGE,
            {"belongs_to": ["story:missing(a,b):project"]},
            "belongs_to: there is no table missing",
        ),
        (
            MESSAGE,
            {"belongs_to": ["story:watcher(person,b):project"]},
            "belongs_to: table watcher has no column b",
        ),
        (
            MESSAGE,
            {"private": ["story:message(subscriber_id,subscriber_id=secret)"]},
            "private: column subscriber_id of table message can never hold 'secret'",
        ),
        (
            MESSAGE,
            {"part_of": ["story:message(subscriber_id,subscriber_id,subscriber_id=x):project"]},
            "part_of: column subscriber_id of table message can never hold 'x'",
        ),
    ],
)
def test_a_mapping_that_does_not_fit_is_one_sentence(
    database: Engine, columns: str, options: dict[str, Any], sentence: str
) -> None:
    watchers(database)
    create_message(database, columns)
    with Session(database) as session, pytest.raises(ConfigError, match=sentence):
        worker(**{**MAPPED, **options}).handle(session=session, event=make_event())


def test_a_mapping_that_was_put_right_is_found_without_a_restart(database: Engine) -> None:
    watcher = watchers(database)
    plugin = worker(**MAPPED)
    with pytest.raises(ConfigError):
        handle(plugin, database, make_event())
    create_message(database, MESSAGE)
    add(database, watcher, {"person": 1, "kind": "story", "target_id": 7})
    handle(plugin, database, make_event())
    with database.connect() as connection:
        assert connection.scalars(text("SELECT subscriber_id FROM message")).all() == [1]
