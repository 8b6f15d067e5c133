"""A call whose database says not now: it is redone, and no attempt is spent on it."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import Engine, text

from eventworker.errors import DatabaseUnavailable
from eventworker.inbox.claims import Outcome
from tests.helpers.databases import deliveries, effects, make_tables, outcomes, write
from tests.helpers.events import make_event
from tests.helpers.plugins import Plugin, Workshop, loaded, time_limits
from tests.servers import MariaServer, PostgresServer


@pytest.fixture(autouse=True)
def _limits() -> Iterator[None]:
    with time_limits():
        yield


def ends(engine: Engine) -> dict[int, Outcome]:
    return {plugin: outcome for (_, plugin), outcome in outcomes(engine).items()}


SUICIDE = {
    "postgresql": "SELECT pg_terminate_backend(pg_backend_pid())",
    "mariadb": "EXECUTE IMMEDIATE CONCAT('KILL ', CONNECTION_ID())",
}


@pytest.mark.parametrize("engine", ["postgres", "maria"], indirect=True)
def test_a_call_whose_connection_was_killed_is_redone_without_an_attempt_spent(
    engine: Engine,
) -> None:
    def body(session: Any, _event: Any) -> None:
        if plugin.calls == 1:
            cursor = session.connection().connection.driver_connection.cursor()
            with cursor, suppress(Exception):
                cursor.execute(SUICIDE[engine.dialect.name])
            session.execute(text("SELECT 1"))

    plugin = Plugin("a", body)
    Workshop(engine, loaded(plugin)).dispatch(make_event())
    assert plugin.calls == 2
    assert effects(engine) == ["a"]
    assert ends(engine) == {1: Outcome.DONE}


@pytest.fixture
def conflict(postgres_engine: Engine) -> Iterator[str]:
    """The name of a function that raises the SQLSTATE that it is given."""
    body = "BEGIN RAISE EXCEPTION 'a conflict' USING ERRCODE = state; END"
    with postgres_engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE OR REPLACE FUNCTION conflict(state text) RETURNS void LANGUAGE plpgsql "
            f"AS $${body}$$"
        )
    yield "SELECT conflict(:state)"
    with postgres_engine.begin() as connection:
        connection.execute(text("DROP FUNCTION conflict(text)"))


@pytest.mark.parametrize("state", ["40P01", "40001", "55P03"])
def test_a_conflict_is_redone_without_an_attempt_spent(
    postgres_engine: Engine, conflict: str, state: str
) -> None:
    def body(session: Any, _event: Any) -> None:
        if plugin.calls < 3:
            session.execute(text(conflict), {"state": state})

    plugin = Plugin("a", body)
    Workshop(postgres_engine, loaded(plugin)).dispatch(make_event())
    assert plugin.calls == 3
    assert effects(postgres_engine) == ["a"]


def test_a_conflict_that_does_not_end_is_postponed_without_an_attempt_spent(
    postgres_engine: Engine, conflict: str
) -> None:
    plugin = Plugin("a", lambda session, _: session.execute(text(conflict), {"state": "40001"}))
    Workshop(postgres_engine, loaded(plugin)).dispatch(make_event())
    (row,) = deliveries(postgres_engine)
    assert (row.state, row.attempts) == ("pending", 0)


@pytest.mark.parametrize("kind", ["own_postgres_server", "own_maria_server"])
def test_while_the_database_is_away_nothing_is_acked_or_counted(
    kind: str, request: pytest.FixtureRequest, new_engine: Any
) -> None:
    server: PostgresServer | MariaServer = request.getfixturevalue(kind)()
    engine = make_tables(new_engine(server.createdb()))
    in_call = Plugin("a", lambda *_: server.kill() if in_call.calls == 1 else None)
    shop = Workshop(engine, loaded(in_call))
    event = make_event()
    with pytest.raises(DatabaseUnavailable):
        shop.dispatch(event)
    with pytest.raises(DatabaseUnavailable):
        shop.dispatch(event)
    server.start()
    shop.dispatch(event)
    assert effects(engine) == ["a"]
    assert ends(engine) == {1: Outcome.DONE}
    assert deliveries(engine) == []


def test_a_read_then_write_plugin_on_sqlite_is_redone_with_the_lock(
    sqlite_engine: Engine, new_engine: Any
) -> None:
    other = new_engine(str(sqlite_engine.url))

    class ReadThenWrite(Plugin):
        def handle(self, session: Any, event: Any) -> None:
            session.execute(text("SELECT count(*) FROM effect"))
            self.calls += 1
            if self.calls == 1:
                with other.begin() as connection:
                    write(connection, "of somebody else")
            write(session, "a")

    plugin = ReadThenWrite("a")
    Workshop(sqlite_engine, loaded(plugin)).dispatch(make_event())
    assert plugin.calls == 2
    assert effects(sqlite_engine) == ["a", "of somebody else"]
    assert ends(sqlite_engine) == {1: Outcome.DONE}
