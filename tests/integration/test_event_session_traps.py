"""What would tear a plugin's effect from its inbox row is refused, or found out before COMMIT."""

from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from eventworker.errors import DatabaseError, TransactionLost
from tests.helpers.calls import Handled
from tests.helpers.databases import Author, break_rule, effects, outcomes, write

CONTROL = [
    "COMMIT",
    "commit",
    "  \n\tCommit ;",
    "ROLLBACK",
    "rollback work",
    "ABORT",
    "END",
    "BEGIN",
    "START TRANSACTION",
    "-- a comment\nCOMMIT",
    "/* a comment */ COMMIT",
    "/* a /* nested */ comment */ COMMIT",
    "SELECT 1; COMMIT",
    "SELECT 1;/**/ROLLBACK",
    "SELECT 1; -- so\n  ROLLBACK",
    "PREPARE TRANSACTION 'x'",
    "CREATE TABLE extra (id integer)",
    "DROP TABLE effect",
    "ALTER TABLE effect ADD COLUMN more integer",
    "TRUNCATE effect",
]
HARMLESS = [
    "SELECT 1 AS committed, 2 AS ended",
    "SELECT 'COMMIT'",
    "SAVEPOINT mine",
    "SAVEPOINT mine; ROLLBACK TO SAVEPOINT mine",
    "/* COMMIT */ SELECT 1",
    "WITH begin_here AS (SELECT 1) SELECT * FROM begin_here",
]


@pytest.fixture
def handled(engine: Engine) -> Handled:
    return Handled(engine)


@pytest.fixture
def on_postgres(postgres_engine: Engine) -> Handled:
    return Handled(postgres_engine)


@pytest.fixture
def on_sqlite(sqlite_engine: Engine) -> Handled:
    return Handled(sqlite_engine)


def driver_of(session: Any) -> Any:
    return session.connection().connection.driver_connection


@pytest.mark.parametrize("statement", CONTROL)
def test_a_statement_that_ends_the_transaction_is_refused(handled: Handled, statement: str) -> None:
    def call(session: Any) -> None:
        write(session, "a")
        session.execute(text(statement))

    with pytest.raises(DatabaseError, match="refused inside handle"):
        handled.by(call)
    assert handled.left_nothing


@pytest.mark.parametrize("statement", ["COMMIT", "ROLLBACK", "DROP TABLE effect"])
def test_a_refusal_that_is_swallowed_has_changed_nothing(handled: Handled, statement: str) -> None:
    def call(session: Any) -> None:
        write(session, "a")
        with suppress(DatabaseError):
            session.execute(text(statement))
        with suppress(DatabaseError):
            session.connection().exec_driver_sql(statement)
        write(session, "b")

    assert handled.by(call)
    assert handled.effects == ["a", "b"]
    assert handled.is_done


@pytest.mark.parametrize("statement", HARMLESS)
def test_words_that_only_look_like_it_are_let_through(handled: Handled, statement: str) -> None:
    def call(session: Any) -> None:
        for part in statement.split("; "):
            session.execute(text(part))
        write(session, "; COMMIT")

    assert handled.by(call)
    assert handled.effects == ["; COMMIT"]


def test_the_guard_ends_with_the_call(handled: Handled) -> None:
    handled.by(lambda session: write(session, "a"))
    for statement in ("CREATE TABLE extra (id integer)", "DROP TABLE extra"):
        with handled.engine.begin() as connection:
            connection.execute(text(statement))


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_the_connections_own_end_is_no_end(handled: Handled, end: str) -> None:
    def call(session: Any) -> None:
        write(session, "a")
        getattr(session.connection(), end)()

    with pytest.raises(DatabaseError):
        handled.by(call)
    assert handled.left_nothing


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_the_connections_own_end_fails_the_call_even_if_the_plugin_carries_on(
    handled: Handled, end: str
) -> None:
    def call(session: Any) -> None:
        write(session, "a")
        with suppress(Exception):
            getattr(session.connection(), end)()
        with suppress(Exception):
            write(session, "b")

    with pytest.raises(TransactionLost):
        handled.by(call)
    assert handled.left_nothing
    assert handled.by(lambda session: write(session, "second try"))
    assert handled.effects == ["second try"]


def test_a_refused_commit_can_be_followed_by_a_rollback(handled: Handled) -> None:
    def call(session: Any) -> None:
        write(session, "undone")
        try:
            session.connection().commit()
        except DatabaseError:
            session.rollback()
        write(session, "kept")

    assert handled.by(call)
    assert handled.effects == ["kept"]
    assert handled.is_done


def test_nothing_of_a_refused_commit_stays_in_a_pooled_connection(handled: Handled) -> None:
    def call(session: Any) -> None:
        write(session, "a")
        session.connection().commit()

    with pytest.raises(DatabaseError):
        handled.by(call)
    with handled.engine.begin() as connection:
        write(connection, "of somebody else")
    assert handled.effects == ["of somebody else"]
    assert not outcomes(handled.engine)


def test_a_swallowed_error_on_postgresql_fails_the_call(on_postgres: Handled) -> None:
    def call(session: Any) -> None:
        write(session, "before")
        with suppress(IntegrityError):
            break_rule(session)

    with pytest.raises(TransactionLost):
        on_postgres.by(call)
    assert on_postgres.left_nothing


def test_a_swallowed_error_on_sqlite_dooms_nothing(on_sqlite: Handled) -> None:
    def call(session: Any) -> None:
        write(session, "before")
        with suppress(IntegrityError):
            break_rule(session)
        write(session, "after")

    assert on_sqlite.by(call)
    assert on_sqlite.effects == ["after", "before"]
    assert on_sqlite.is_done


def test_a_swallowed_error_of_a_flush_fails_the_call(handled: Handled) -> None:
    def call(session: Any) -> None:
        write(session, "before")
        session.add_all([Author(id=1, name="one"), Author(id=2, name="one")])
        with suppress(IntegrityError):
            session.flush()

    with pytest.raises(TransactionLost):
        handled.by(call)
    assert handled.left_nothing


def test_an_error_followed_by_a_rollback_is_no_error(handled: Handled) -> None:
    def call(session: Any) -> None:
        write(session, "undone")
        session.add(Author(id=1, name="one"))
        with pytest.raises(IntegrityError):
            break_rule(session)
        session.rollback()
        write(session, "kept")
        session.commit()
        with pytest.raises(IntegrityError):
            break_rule(session)
        session.rollback()
        with pytest.raises(IntegrityError), session.begin_nested():
            break_rule(session)
        write(session, "last")

    assert handled.by(call)
    assert handled.effects == ["kept", "last"]
    assert handled.is_done


def test_a_commit_after_a_swallowed_error_does_not_hide_it(on_postgres: Handled) -> None:
    def call(session: Any) -> None:
        write(session, "before")
        with suppress(IntegrityError):
            break_rule(session)
        with suppress(Exception):
            session.commit()

    with pytest.raises(Exception, match="aborted"):
        on_postgres.by(call)
    assert on_postgres.left_nothing


def test_the_drivers_rollback_is_found_out(handled: Handled) -> None:
    def call(session: Any) -> None:
        write(session, "a")
        driver_of(session).rollback()

    with pytest.raises(TransactionLost):
        handled.by(call)
    assert handled.left_nothing


def test_the_drivers_commit_is_found_out(handled: Handled) -> None:
    def call(session: Any) -> None:
        write(session, "a")
        driver_of(session).commit()

    with pytest.raises(TransactionLost):
        handled.by(call)


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_what_follows_the_drivers_own_end_on_postgresql_does_not_stand(
    on_postgres: Handled, end: str
) -> None:
    def call(session: Any) -> None:
        write(session, "a")
        getattr(driver_of(session), end)()
        write(session, "b")

    with pytest.raises(TransactionLost):
        on_postgres.by(call)
    assert "b" not in effects(on_postgres.engine)
    # What the plugin forced through has its inbox row, so it will not be done again.
    assert bool(on_postgres.effects) == bool(outcomes(on_postgres.engine)) == (end == "commit")


def test_a_text_commit_through_the_drivers_cursor_is_found_out(on_postgres: Handled) -> None:
    def call(session: Any) -> None:
        write(session, "a")
        driver_of(session).execute("COMMIT")
        write(session, "b")

    with pytest.raises(TransactionLost):
        on_postgres.by(call)
    assert on_postgres.effects == ["a"]
    assert on_postgres.is_done
