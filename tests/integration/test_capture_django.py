"""An event through Django's own connection: with the change, or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import django
import psycopg
import pytest
from django.conf import settings
from django.db import DatabaseError, connections, transaction
from sqlalchemy import Engine

from eventworker.capture import request_facts
from eventworker.capture.django import record
from eventworker.errors import EncodeError
from eventworker.event import MAX_BODY_BYTES
from eventworker.outbox.queue import claim
from tests.helpers.databases import effects
from tests.helpers.events import make_event
from tests.helpers.stories import count_of, events_in

# Once in a process; the databases come and go with the tests.
settings.configure(USE_TZ=True, LOGGING_CONFIG=None)
django.setup()


def settings_of(engine: Engine) -> dict[str, Any]:
    """The same database as Django names it."""
    url = engine.url
    if engine.dialect.name == "sqlite":
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": url.database}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": url.database,
        "USER": url.username,
        "PASSWORD": url.password,
        "HOST": url.host or url.query["host"],
        "PORT": url.port or url.query.get("port"),
    }


@contextmanager
def django_at(engine: Engine) -> Iterator[Any]:
    """Django's connection to a database, its only one."""
    connections.settings = connections.configure_settings({"default": settings_of(engine)})
    try:
        yield connections["default"]
    finally:
        connections["default"].close()
        del connections["default"]


@pytest.fixture(params=["sqlite_engine", "postgres_engine"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """The databases that ``record()`` knows."""
    made: Engine = request.getfixturevalue(request.param)
    return made


@pytest.fixture
def connection(engine: Engine) -> Iterator[Any]:
    with django_at(engine) as made:
        yield made


def change(connection: Any, what: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO effect (event_id, what) VALUES (%s, %s)", ["", what])


def change_and_fail(connection: Any) -> None:
    """Both are written, and the block ends with an error."""
    with transaction.atomic():
        change(connection, "lost")
        record(make_event(resource_id=2))
        raise LookupError


def test_change_and_event_are_committed_together(connection: Any, engine: Engine) -> None:
    event = make_event(resource_after={"title": "100 % Příběh"}, source="notes")
    with transaction.atomic():
        change(connection, "a")
        assert record(event) is event
        assert count_of(engine) == 0
    assert (effects(engine), events_in(engine)) == (["a"], [event])
    with engine.begin() as ours:
        (row,) = claim(ours, 10, 30.0, "me")
    assert (row.id, row.time, row.body) == (event.id, event.time, event.encode())


def place_and_fail() -> None:
    with transaction.atomic():
        record(make_event(resource_id=1), ordered=True)
        raise LookupError


def test_places_are_taken_in_the_transaction(connection: Any, engine: Engine) -> None:
    with transaction.atomic():
        first = record(make_event(resource_id=1), ordered=True)
        with pytest.raises(LookupError):
            place_and_fail()
        second = record(make_event(resource_id=1), ordered=True)
        with pytest.raises(ValueError, match="no resource_id"):
            record(make_event(resource_id=None), ordered=True)
    assert (first.seq, second.seq) == (1, 2)
    with engine.begin() as ours:
        assert [(row.stream, row.seq) for row in claim(ours, 10, 30.0, "me")] == [
            ("story/1", 1),
            ("story/1", 2),
        ]


def test_a_rollback_takes_both(connection: Any, engine: Engine) -> None:
    with pytest.raises(LookupError):
        change_and_fail(connection)
    assert (effects(engine), count_of(engine)) == ([], 0)


def test_a_savepoint_rolled_back_takes_its_own(connection: Any, engine: Engine) -> None:
    with transaction.atomic():
        change(connection, "kept")
        record(make_event(resource_id=1))
        with pytest.raises(LookupError):
            change_and_fail(connection)
    assert effects(engine) == ["kept"]
    assert [found.resource_id for found in events_in(engine)] == [1]


def test_a_statement_that_fails_takes_the_event_along(connection: Any, engine: Engine) -> None:
    def break_rule() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            record(make_event())
            cursor.execute("INSERT INTO strict (number) VALUES (NULL)")

    with pytest.raises(DatabaseError):
        break_rule()
    assert count_of(engine) == 0


def test_outside_of_a_transaction_it_refuses(connection: Any, engine: Engine) -> None:
    with pytest.raises(transaction.TransactionManagementError, match="atomic"):
        record(make_event())
    assert count_of(engine) == 0


def test_what_cannot_be_put_on_the_wire_is_refused_and_the_transaction_goes_on(
    connection: Any, engine: Engine
) -> None:
    with transaction.atomic():
        with pytest.raises(EncodeError):
            record(make_event(resource_after={"text": "x" * MAX_BODY_BYTES}))
        change(connection, "a")
    assert (effects(engine), count_of(engine)) == (["a"], 0)


def test_the_middleware_is_told_once_the_event_is_committed(
    connection: Any, engine: Engine
) -> None:
    with request_facts("PUT", "/v1/stories/1") as facts:
        with pytest.raises(LookupError):
            change_and_fail(connection)
        assert facts.recorded == set()
        with transaction.atomic():
            record(make_event())
            assert facts.recorded == set()
        assert facts.recorded == {"story"}


def test_a_commit_wakes_those_who_wait(postgres_engine: Engine) -> None:
    listener = psycopg.connect(
        postgres_engine.url.set(drivername="postgresql").render_as_string(hide_password=False),
        autocommit=True,
    )
    with listener, django_at(postgres_engine):
        listener.execute("LISTEN eventworker_outbox")
        with transaction.atomic():
            record(make_event())
        found = [note.channel for note in listener.notifies(timeout=10, stop_after=1)]
    assert found == ["eventworker_outbox"]
