"""The real transaction around a plugin's call: the framework's alone to begin and to commit.

*A COMMIT that returned proves nothing.* PostgreSQL answers the COMMIT of an aborted transaction
with a rollback and no error, MariaDB begins another one where a deadlock ended ours, and a plugin
can reach the driver's own ``commit()``. So the end of an owned transaction proves that it is still
the one that was begun, or raises :class:`~eventworker.errors.TransactionLost`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, String, Transaction, event, exc
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from eventworker.db import mariadb, postgresql
from eventworker.db.control import control_word
from eventworker.db.failures import (
    first_line,
    has_rolled_back,
    is_cancelled,
    is_stale_snapshot,
    is_transient,
    is_unavailable,
    translated,
)
from eventworker.errors import DatabaseError, DatabaseUnavailable, TransactionLost
from eventworker.failpoints import reached

_OWNER = "eventworker.owner"


class transaction_identity(FunctionElement[str]):  # noqa: N801 - used like a SQL function
    """SQL expression: what tells this transaction from every other one, where that can be asked."""

    type = String()
    inherit_cache = True
    name = "eventworker_transaction_identity"


@compiles(transaction_identity)
def _no_identity(_element: transaction_identity, _compiler: Any, **_kw: Any) -> str:
    return "''"


@compiles(transaction_identity, "postgresql")
def _postgresql_identity(_element: transaction_identity, _compiler: Any, **_kw: Any) -> str:
    return "pg_current_xact_id()::text"


class Superseded(BaseException):
    """While a plugin rolled back, another process finished the same event; stop the call."""


class OwnedTransaction:
    """One real transaction on ``connection``, begun here and committed here or not at all.

    :param claim: called with the connection, inside the transaction; writes the row that makes this
        work ours and returns :class:`transaction_identity`'s value, or None when the work has been
        claimed by somebody else.

    The claim comes first, so that a concurrent duplicate waits on it instead of working in vain; a
    plugin's rollback to the very start takes the claim with it, and :meth:`restart` makes it anew.
    On SQLite it comes last: there a first write would hold the only write lock for as long as the
    plugin runs.
    """

    def __init__(self, connection: Connection, claim: Callable[[Connection], str | None]) -> None:
        self.connection = connection
        self._claim = claim
        self._dialect = connection.dialect.name
        self._claim_last = self._dialect == "sqlite"
        self._mark = ""
        self._changes_before = 0
        self._ending = False
        self._dangling = False
        self._lost: str | None = None
        self._doomed: BaseException | None = None
        self._transaction: Transaction | None = None
        self._identity: str | None = None

    def begin(self) -> bool:
        """BEGIN and claim; False when the claim belongs to somebody else."""
        self.connection.info.pop(_OWNER, None)  # our own BEGIN is not to be refused
        self._end_dangling()
        self._transaction = self.connection.begin()
        self.connection.info[_OWNER] = self
        self._lost = self._doomed = None
        if self._claim_last:
            self._changes_before = self._driver.total_changes
            return True
        if self._dialect == "mariadb":
            self._mark = mariadb.set_mark(self.connection)
        self._identity = self._claimed()
        return self._identity is not None

    def _claimed(self) -> str | None:
        try:
            return self._claim(self.connection)
        except Exception as error:
            # Not all of them come by way of SQLAlchemy, which would notice.
            if not isinstance(error, exc.SQLAlchemyError) and is_unavailable(error):
                self.connection.invalidate()
                raise translated(error) from error
            raise

    def restart(self) -> None:
        """Begin again after a rollback to the start.

        :raises Superseded: when the claim went to somebody else in between.
        """
        if self._transaction is not None and self._transaction.is_active:
            return  # nothing was sent through the session yet, so nothing was rolled back
        if not self.begin():
            raise Superseded()

    def commit(self) -> None:
        """COMMIT, with proof.

        An error that took the transaction with it is raised again here if the plugin swallowed it.

        :raises DatabaseUnavailable: when the connection was lost.
        :raises TransactionLost: when this is not, or not only, the transaction that was begun.
        :raises Superseded: when somebody else finished the same work meanwhile.
        """
        if self._doomed is not None:
            raise self._doomed
        if self.connection.invalidated:
            raise DatabaseUnavailable("the connection was lost during the call")
        if self._lost or self._transaction is None or not self._transaction.is_active:
            raise TransactionLost(self._lost or "the plugin ended its transaction itself")
        if self._identity is None and not self._claim_last:
            raise Superseded()  # restart() has said so already, and the plugin swallowed it
        self._ending = True
        reached("commit.before")
        if self._claim_last:
            self._claim_now()
        elif self._dialect == "postgresql":
            self._prove_and_commit()
        elif self._dialect == "mariadb":
            mariadb.prove_mark(self.connection, self._mark)
        self._transaction.commit()
        reached("commit.after")

    def release(self) -> None:
        """Roll back whatever is still open and give the connection back to its other users."""
        self._ending = True
        try:
            if self.connection.in_transaction():
                self.connection.rollback()
            self._end_dangling()
        except exc.DBAPIError:
            self.connection.invalidate()
        finally:
            # A lost connection took its note of the owner with it; asking would connect anew.
            if not self.connection.invalidated:
                self.connection.info.pop(_OWNER, None)

    def refuse(self, what: str) -> None:
        """Called for whatever would end the transaction; only :meth:`commit` may."""
        if not self._ending:
            raise DatabaseError(
                f"{what} is refused inside handle(): the plugin's effect and its inbox row must be "
                "committed together. Use session.commit() and session.rollback(), and make tables "
                "in a migration"
            )

    def refuse_commit(self) -> None:
        """Called for a commit of the connection; ours is the only one."""
        # SQLAlchemy closes its side of the transaction even so, and the database's side stays open.
        self._dangling = not self._ending
        self.refuse("the connection's own commit()")

    def _end_dangling(self) -> None:
        if self._dangling and not self.connection.invalidated:
            self._driver.rollback()
        self._dangling = False

    def note_rollback(self) -> None:
        if not self._ending:
            self._lost = "the plugin rolled the connection back underneath its session"

    def about_to_send(self) -> None:
        """Called before each statement of the transaction."""
        self.require_open()

    def require_open(self) -> None:
        """
        :raises TransactionLost: on SQLite, when the transaction has ended underneath the plugin's
            session: no other one begins by itself, so each statement would be final at once.
        """
        if self._claim_last and not self._ending and not self._driver.in_transaction:
            raise TransactionLost(_ENDED)

    def note_error(self, error: BaseException) -> None:
        if is_stale_snapshot(error) or has_rolled_back(error):
            self._doomed = error

    @property
    def _driver(self) -> Any:
        return self.connection.connection.driver_connection

    def _claim_now(self) -> None:
        """SQLite: the claim as the last write before COMMIT."""
        if not self._driver.in_transaction:
            # SQLite rolls back on its own after some errors (disk full, I/O, out of memory), and
            # the driver's commit() ends the transaction: a claim after either would stand alone.
            raise TransactionLost(_ENDED)
        if self._driver.total_changes == self._changes_before:
            # The plugin only read. Its snapshot may be too old to write to, and nothing is lost
            # by taking a new one.
            self.connection.rollback()
            self.connection.execution_options(eventworker_immediate=True)
            self._transaction = self.connection.begin()
        if self._claim(self.connection) is None:
            raise Superseded()

    def _prove_and_commit(self) -> None:
        """PostgreSQL: proof and COMMIT in one simple query, so one round trip.

        In an aborted transaction the SELECT fails, in another transaction than ours (or in one that
        has no id yet) it divides by zero, and neither reaches the COMMIT.
        """
        try:
            # A simple query binds nothing; the identity is a number that the server has said.
            ended = postgresql.simple_query(
                self.connection,
                "SELECT 1/(pg_current_xact_id_if_assigned()::text IS NOT DISTINCT FROM "  # noqa: S608
                f"'{self._identity}')::int; COMMIT",
            )
        except Exception as error:
            if is_unavailable(error):
                self.connection.invalidate()
                raise translated(error) from error
            if getattr(error, "sqlstate", None) in _NOT_OURS:
                raise TransactionLost(
                    "the transaction was aborted by an error that the plugin swallowed, "
                    "or replaced by a raw commit"
                ) from error
            raise
        answer = (ended.command_status or b"").decode()
        if answer != "COMMIT":
            raise TransactionLost(f"the database answered COMMIT with {answer}")


_ENDED = "SQLite ended the transaction after an error or a raw commit"
#: in_failed_sql_transaction, division_by_zero
_NOT_OURS = ("25P02", "22012")


def guard_owned_transactions(engine: Engine) -> None:
    """Refuse, on owned connections of ``engine``, whatever would end the transaction early."""

    @event.listens_for(engine, "before_cursor_execute")
    def refuse_control(connection: Connection, _cursor: Any, statement: str, *_rest: Any) -> None:
        owner = connection.info.get(_OWNER)
        if owner is None:
            return
        if word := control_word(statement, engine.dialect.name):
            owner.refuse(word)
        owner.about_to_send()

    @event.listens_for(engine, "handle_error")
    def note_error(context: Any) -> None:
        owner = context.connection.info.get(_OWNER) if context.connection is not None else None
        if owner is not None:
            owner.note_error(context.sqlalchemy_exception or context.original_exception)

    @event.listens_for(engine, "commit")
    def refuse_commit(connection: Connection) -> None:
        owner = connection.info.get(_OWNER)
        if owner is not None:
            owner.refuse_commit()

    @event.listens_for(engine, "rollback")
    def note_rollback(connection: Connection) -> None:
        # A lost connection rolls back in name only, and cannot be asked whose it was.
        owner = None if connection.invalidated else connection.info.get(_OWNER)
        if owner is not None:
            owner.note_rollback()


@contextmanager
def short_transaction(engine: Engine) -> Iterator[Connection]:
    """A transaction of the framework's own; on SQLite it takes the write lock at once.

    :raises DatabaseUnavailable: when the database is away, or asks to try again (a deadlock, a lock
        or a time that was not given): for the framework's own work that is the same.
    """
    try:
        with engine.connect() as connection:
            if engine.dialect.name == "sqlite":
                connection = connection.execution_options(eventworker_immediate=True)
            with connection.begin():
                yield connection
    except exc.DBAPIError as error:
        if is_transient(error) or is_cancelled(error):
            raise DatabaseUnavailable(f"the database says not now: {first_line(error)}") from error
        raise
