"""An inbox in another database, for a plugin whose effects are there.

Two databases cannot commit as one. So the plugin's effect is committed first, where it is, together
with a row of an inbox of its own; then the daemon commits in the main database. Whatever dies in
between, the event comes again, finds the row beside the effect, and does nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    and_,
    delete,
    exc,
    inspect,
    select,
)
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy.schema import CreateIndex, CreateTable, ExecutableDDLElement

from eventworker.db import (
    EventId,
    EventSession,
    Superseded,
    UTCDateTime,
    build_engine,
    clock,
    first_line,
    insert_new,
    is_transient,
    is_unavailable,
    short_transaction,
    transaction_identity,
)
from eventworker.errors import ConfigError, DatabaseUnavailable, PluginError, Retry
from eventworker.event import Event
from eventworker.inbox.claims import claimed_session

#: Of no concern to eventworker's migrations: the table is in a database that they never see.
metadata = MetaData()

elsewhere_table = Table(
    "eventworker_inbox_elsewhere",
    metadata,
    # Lower case, as in the registry of the main database. By name: numbers are that database's.
    Column("plugin", String(120), nullable=False),
    Column("event_id", EventId, nullable=False),
    Column("at", UTCDateTime, nullable=False, index=True),
    PrimaryKeyConstraint("plugin", "event_id"),
)
_elsewhere = elsewhere_table.c

#: Rows that :meth:`OtherDatabase.forget` deletes in one transaction.
_BITE = 2000


class OtherDatabase:
    """The other database of one plugin; made in the plugin's constructor, connects when it is used.

    ::

        def handle(self, event):
            with self.ledger.once(event) as session:
                if session is not None:
                    session.execute(...)

    :param url: a SQLAlchemy URL, of the databases that eventworker knows.
    :param plugin: the plugin's name; several plugins may share one database.
    :raises ConfigError: when the URL cannot be used.
    """

    def __init__(self, url: str | None, plugin: str) -> None:
        self._plugin = plugin.lower()
        self._error: BaseException | None = None
        try:
            self.engine = build_engine(url)
        except ConfigError as error:
            reason = str(error).removeprefix("[database] connection").lstrip(": ")
            raise ConfigError(f"the other database of plugin {plugin}: its URL {reason}") from None
        sqlalchemy_event.listen(self.engine, "handle_error", self._note_error)

    @contextmanager
    def once(self, event: Event) -> Iterator[EventSession | None]:
        """A session there, for this event; None when its block was committed before.

        Committed at the end of the block together with the row that says so, with the proof that
        the main transaction has; undone when the block raises. The session is what ``handle()`` is
        given: its ``commit()`` is not final, and an error that dooms the transaction fails the
        block even if it was swallowed.

        :raises Retry: when that database is away, or asks to try again: this plugin's call is
            repeated later, as often as its ``max_attempts`` allows, and nobody waits for it.
        """
        inside, session = False, None
        claim = _Claim(self._plugin, event.id)
        try:
            with ExitStack() as block:
                session = self._begin(claim, block)
                inside = True
                yield session
                inside = False
        except Superseded:
            # Another process was faster, and what this block did is undone.
            if session is None or not claim.refused:
                raise  # faster in the main database, so it is not the block alone that ends
        except Exception as error:
            if (not inside or self._is_ours(error)) and is_transient(error):
                reason = f"the other database of {self._plugin}: {first_line(error)}"
                raise Retry(reason=reason) from error
            raise
        finally:
            self._error = None

    def _begin(self, claim: _Claim, block: ExitStack) -> EventSession | None:
        # On SQLite the write lock is taken at the start: the block is there to write.
        try:
            return block.enter_context(claimed_session(self.engine, claim, immediate=True))
        except Exception as error:
            if not is_unavailable(error):
                raise
            # Perhaps only a pooled connection that has died since its last use; the pool has
            # dropped it now, and no attempt is to be spent on that.
            return block.enter_context(claimed_session(self.engine, claim, immediate=True))

    def _note_error(self, context: Any) -> None:
        self._error = context.sqlalchemy_exception or context.original_exception

    def _is_ours(self, error: Exception) -> bool:
        """Whether an error of the block is this database's: it may also use the main session."""
        return error is self._error or isinstance(error, DatabaseUnavailable)

    def create_table(self) -> None:
        """Make the table; where it is there already nothing changes.

        :raises DatabaseUnavailable: when the database is away.
        """
        with short_transaction(self.engine) as connection:
            metadata.create_all(connection)

    def create_table_sql(self) -> str:
        """What :meth:`create_table` does, for those who let nobody but themselves run DDL."""
        statements: list[ExecutableDDLElement] = [CreateTable(elsewhere_table)]
        statements += [CreateIndex(index) for index in elsewhere_table.indexes]
        return "".join(f"{str(each.compile(self.engine)).strip()};\n" for each in statements)

    def require_table(self) -> None:
        """Make sure that the table is there; for ``enabled()``.

        A database that is away is no error here: the plugin takes part, and its calls are repeated.

        :raises PluginError: when the table is missing.
        """
        try:
            there = inspect(self.engine).has_table(elsewhere_table.name)
        except exc.DBAPIError as error:
            if is_unavailable(error):
                return
            raise
        finally:
            self.engine.dispose()
        if not there:
            raise PluginError(
                f"the table {elsewhere_table.name} is missing in the other database of plugin "
                f"{self._plugin}; OtherDatabase.create_table() makes it"
            )

    def forget(self, older_than: timedelta) -> int:
        """Delete the rows of this plugin that are older; returns their number.

        An event that comes again after that is done again. It can come as long as its dead letter
        may be retried, so keep rows for longer than ``[retention] dead_days``.

        :raises DatabaseUnavailable: when the database is away.
        """
        old = and_(
            _elsewhere.plugin == self._plugin, _elsewhere.at < clock(-older_than.total_seconds())
        )
        total = 0
        while True:
            with short_transaction(self.engine) as connection:
                ids = list(connection.scalars(select(_elsewhere.event_id).where(old).limit(_BITE)))
                connection.execute(delete(elsewhere_table).where(old, _elsewhere.event_id.in_(ids)))
            total += len(ids)
            if len(ids) < _BITE:
                return total

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()


@dataclass(slots=True)
class _Claim:
    """The row that makes the block ours, and done.

    :ivar refused: it was there when we wanted to write it.
    """

    plugin: str
    event_id: UUID
    refused: bool = False

    def is_taken(self, connection: Connection) -> bool:
        found = select(_elsewhere.at).where(
            _elsewhere.plugin == self.plugin, _elsewhere.event_id == self.event_id
        )
        return connection.scalar(found) is not None

    def take(self, connection: Connection) -> str | None:
        taken: str | None = connection.scalar(
            insert_new(connection.dialect.name, elsewhere_table)
            .values(plugin=self.plugin, event_id=self.event_id, at=clock())
            .returning(transaction_identity())
        )
        self.refused = taken is None
        return taken
