"""MariaDB goes on after what ends a transaction; before COMMIT, that is found out."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from sqlalchemy import Engine, event, exc, insert, text, update

from eventworker.errors import DatabaseError, DatabaseUnavailable, TransactionLost
from eventworker.inbox.claims import Outcome
from tests.helpers.calls import Handled
from tests.helpers.databases import (
    deliveries,
    effect_table,
    effects,
    outcomes,
    someone_waits,
    strict_table,
    upgrade_and_make_tables,
    write,
)
from tests.helpers.events import make_event
from tests.helpers.plugins import Plugin, Workshop, loaded, time_limits
from tests.servers import MariaServer, wait_until

CONTROL = [
    "SET autocommit = 1",
    "SET SESSION autocommit=0",
    "set @a = 1, @@session.autocommit := 1",
    "LOCK TABLES effect WRITE",
    "UNLOCK TABLES",
    "/*! COMMIT */",
    "/*M!100100 COMMIT */",
    "/*!50000 SET */ autocommit = 1",
    "# a comment\nCOMMIT",
    "RENAME TABLE effect TO gone",
    "XA START 'x'",
    "EXECUTE IMMEDIATE 'COMMIT'",
    "PREPARE hidden FROM 'COMMIT'",
    "EXECUTE hidden",
    "ANALYZE TABLE effect",
    "BEGIN NOT ATOMIC COMMIT; END",
    "COMMIT AND CHAIN",
]
HARMLESS = ["SET @a = 1", "SELECT 1 # COMMIT", "SELECT /*! 1 */", "SET @set = 'to commit'"]


@pytest.fixture
def handled(maria_engine: Engine) -> Handled:
    return Handled(maria_engine)


@pytest.fixture(autouse=True)
def _limits() -> Iterator[None]:
    with time_limits():
        yield


def driver_of(session: Any) -> Any:
    return session.connection().connection.driver_connection


def raw(session: Any, statement: str) -> None:
    """Past SQLAlchemy, where nothing is refused."""
    with driver_of(session).cursor() as cursor:
        cursor.execute(statement)


def kill_connection(session: Any) -> None:
    """As an administrator would."""
    number = driver_of(session).thread_id()
    with session.get_bind().engine.connect() as other:
        other.exec_driver_sql(f"KILL {number}")


def rename(session: Any, old: str, new: str) -> None:
    column = effect_table.c.what
    session.execute(update(effect_table).where(column == old).values(what=new))


@contextmanager
def deadlock_with(engine: Engine) -> Iterator[Callable[[Any], None]]:
    """What a plugin does to become the victim of a deadlock: the other one has written more.

    That other one commits and leaves the effects "one" and "two".
    """
    with engine.begin() as connection:
        connection.execute(insert(effect_table), [{"what": "one"}, {"what": "two"}])
    with ThreadPoolExecutor(1) as pool, engine.connect() as other:
        ended: list[Future[Any]] = []

        def step_in(session: Any) -> None:
            rename(session, "one", "one")
            other.execute(insert(strict_table), [{"number": number} for number in range(50)])
            rename(other, "two", "two")
            ended.append(pool.submit(rename, other, "one", "one"))
            wait_until(lambda: someone_waits(engine))
            rename(session, "two", "two")

        yield step_in
        for each in ended:
            each.result(10)
        other.commit()


@pytest.mark.parametrize("statement", CONTROL)
def test_a_statement_that_ends_the_transaction_is_refused(handled: Handled, statement: str) -> None:
    def call(session: Any) -> None:
        write(session, "a")
        session.connection().exec_driver_sql(statement)

    with pytest.raises(DatabaseError, match="refused inside handle"):
        handled.by(call)
    assert handled.left_nothing


@pytest.mark.parametrize("statement", HARMLESS)
def test_words_that_only_look_like_it_are_let_through(handled: Handled, statement: str) -> None:
    assert handled.by(lambda session: session.connection().exec_driver_sql(statement))
    assert handled.is_done


def test_a_swallowed_deadlock_fails_the_call_and_leaves_nothing(handled: Handled) -> None:
    def call(session: Any) -> None:
        write(session, "before")
        with suppress(exc.OperationalError):
            step_in(session)
        write(session, "after")

    deadlocked = pytest.raises(exc.OperationalError, match="1213")
    with deadlock_with(handled.engine) as step_in, deadlocked:
        handled.by(call)
    assert handled.effects == ["one", "two"]
    assert not outcomes(handled.engine)


def test_a_deadlock_swallowed_beneath_sqlalchemy_is_found_out(handled: Handled) -> None:
    """It took the savepoint along, which says so, whoever saw the error."""

    def call(session: Any) -> None:
        write(session, "before")
        raw(session, "ROLLBACK")  # what the server does in a deadlock
        write(session, "after")

    with pytest.raises(TransactionLost):
        handled.by(call)
    assert handled.left_nothing


def test_a_deadlock_followed_by_a_rollback_is_no_error(handled: Handled) -> None:
    def call(session: Any) -> None:
        write(session, "undone")
        with pytest.raises(exc.OperationalError):
            step_in(session)
        session.rollback()
        write(session, "kept")

    with deadlock_with(handled.engine) as step_in:
        assert handled.by(call)
    assert handled.effects == ["kept", "one", "two"]
    assert handled.is_done


def test_a_deadlock_after_the_plugins_commit_cannot_be_undone_to_there(handled: Handled) -> None:
    def call(session: Any) -> None:
        write(session, "of the first part")
        session.commit()
        with suppress(exc.OperationalError):
            step_in(session)
        with suppress(exc.SQLAlchemyError):
            session.rollback()
        with suppress(exc.SQLAlchemyError):
            write(session, "after")

    deadlocked = pytest.raises(exc.OperationalError, match="1213")
    with deadlock_with(handled.engine) as step_in, deadlocked:
        handled.by(call)
    assert handled.effects == ["one", "two"]
    assert not outcomes(handled.engine)


def test_a_deadlock_is_redone_without_an_attempt_spent(maria_engine: Engine) -> None:
    with deadlock_with(maria_engine) as step_in:
        plugin = Plugin("a", lambda session, _: step_in(session) if plugin.calls == 1 else None)
        Workshop(maria_engine, loaded(plugin)).dispatch(make_event())
    assert plugin.calls == 2
    assert effects(maria_engine) == ["a", "one", "two"]
    assert list(outcomes(maria_engine).values()) == [Outcome.DONE]
    assert deliveries(maria_engine) == []


def wait_in_vain(engine: Engine, session: Any) -> None:
    """Run into a lock timeout, and swallow it."""
    with engine.connect() as other:
        write(other, "theirs")
        other.commit()
        rename(other, "theirs", "theirs")
        session.execute(text("SET SESSION innodb_lock_wait_timeout = 1"))
        with pytest.raises(exc.OperationalError, match="1205"):
            rename(session, "theirs", "mine")


def test_a_lock_timeout_undoes_its_statement_alone(handled: Handled) -> None:
    def call(session: Any) -> None:
        write(session, "before")
        wait_in_vain(handled.engine, session)
        write(session, "after")

    assert handled.by(call)
    assert handled.effects == ["after", "before", "theirs"]
    assert handled.is_done


def test_a_lock_timeout_that_undoes_everything_is_found_out(
    own_maria_server: Callable[..., MariaServer], new_engine: Callable[[str], Engine]
) -> None:
    server = own_maria_server({"innodb-rollback-on-timeout": "ON"})
    handled = Handled(new_engine(upgrade_and_make_tables(server.createdb())))

    def call(session: Any) -> None:
        write(session, "before")
        wait_in_vain(handled.engine, session)
        write(session, "after")

    with pytest.raises(TransactionLost):
        handled.by(call)
    assert handled.effects == ["theirs"]
    assert not outcomes(handled.engine)


@pytest.fixture
def procedure(maria_engine: Engine) -> Iterator[str]:
    """A procedure that commits."""
    with maria_engine.begin() as connection:
        connection.exec_driver_sql("CREATE PROCEDURE hidden_end() BEGIN COMMIT; END")
    yield "CALL hidden_end()"
    with maria_engine.begin() as connection:
        connection.exec_driver_sql("DROP PROCEDURE hidden_end")


def test_a_commit_hidden_in_a_procedure_is_found_out(handled: Handled, procedure: str) -> None:
    def call(session: Any) -> None:
        write(session, "a")
        session.execute(text(procedure))
        write(session, "b")

    with pytest.raises(TransactionLost):
        handled.by(call)
    assert handled.effects == ["a"]
    # What the plugin forced through has its inbox row, so it will not be done again.
    assert handled.is_done


@pytest.mark.parametrize(
    "statement",
    [
        "COMMIT",
        "ROLLBACK",
        "COMMIT AND CHAIN",
        "START TRANSACTION",
        "CREATE TABLE IF NOT EXISTS effect (what text)",
        "ANALYZE TABLE effect",
        "SET autocommit = 1",
        "BEGIN NOT ATOMIC COMMIT; START TRANSACTION; END",
        "EXECUTE IMMEDIATE 'ALTER TABLE strict COMMENT = \\'changed\\''",
    ],
)
def test_what_the_drivers_cursor_did_to_the_transaction_is_found_out(
    handled: Handled, statement: str
) -> None:
    def call(session: Any) -> None:
        write(session, "a")
        raw(session, statement)

    with pytest.raises(TransactionLost):
        handled.by(call)
    # The effect and its inbox row together, or neither.
    assert bool(handled.effects) == bool(outcomes(handled.engine)) == (statement != "ROLLBACK")


def test_what_follows_the_drivers_own_end_does_not_stand(handled: Handled) -> None:
    def call(session: Any) -> None:
        write(session, "a")
        driver_of(session).commit()
        write(session, "b")

    with pytest.raises(TransactionLost):
        handled.by(call)
    assert handled.effects == ["a"]
    assert handled.is_done


def test_autocommit_left_behind_by_a_failing_plugin_does_not_reach_the_next(
    handled: Handled,
) -> None:
    def leave(session: Any) -> None:
        driver_of(session).autocommit(True)
        raise ValueError("left")

    def fail(session: Any) -> None:
        write(session, "a")
        raise ValueError("left")

    for call in (leave, fail):
        with pytest.raises(ValueError, match="left"):
            Handled(handled.engine).by(call)
    assert handled.effects == []
    assert handled.by(lambda session: write(session, "a"))
    assert handled.effects == ["a"]


def test_a_savepoint_that_vanished_is_found_out(handled: Handled) -> None:
    def call(session: Any) -> None:
        write(session, "a")
        session.commit()
        driver_of(session).rollback()
        with suppress(exc.SQLAlchemyError):
            session.rollback()
        with suppress(exc.SQLAlchemyError):
            write(session, "b")

    with pytest.raises(TransactionLost):
        handled.by(call)
    assert handled.left_nothing


def test_a_connection_lost_in_the_call_is_not_replaced_behind_its_back(handled: Handled) -> None:
    def call(session: Any) -> None:
        write(session, "a")
        kill_connection(session)
        for _ in range(2):
            with suppress(exc.SQLAlchemyError):
                write(session, "b")

    with pytest.raises(DatabaseUnavailable):
        handled.by(call)
    assert handled.left_nothing
    assert handled.by(lambda session: write(session, "second try"))
    assert handled.effects == ["second try"]


def test_a_drivers_own_reconnection_is_found_out(handled: Handled) -> None:
    def call(session: Any) -> None:
        write(session, "a")
        kill_connection(session)
        driver_of(session)._force_close()
        driver_of(session).connect()
        write(session, "b")

    with pytest.raises(TransactionLost):
        handled.by(call)
    assert handled.left_nothing


def test_a_connection_lost_before_the_commit_is_redone(maria_engine: Engine) -> None:
    killed: list[int] = []

    @event.listens_for(maria_engine, "commit")
    def kill(connection: Any) -> None:
        statement = "SELECT count(*) FROM effect WHERE what = 'a'"
        if not killed and connection.exec_driver_sql(statement).scalar():
            killed.append(connection.connection.driver_connection.thread_id())
            with maria_engine.connect() as other:
                other.exec_driver_sql(f"KILL {killed[0]}")

    plugin = Plugin("a")
    Workshop(maria_engine, loaded(plugin)).dispatch(make_event())
    assert len(killed) == 1
    assert plugin.calls == 2
    assert effects(maria_engine) == ["a"]
    assert list(outcomes(maria_engine).values()) == [Outcome.DONE]
    assert deliveries(maria_engine) == []
