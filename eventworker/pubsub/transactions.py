"""Where a client works: in transactions of its own, or in the one that its caller is in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from oslo_config import cfg
from sqlalchemy import Connection, Engine
from sqlalchemy.orm import Session

from eventworker.db import build_engine, configured_engine, short_transaction
from eventworker.pubsub.options import Settings, settings_of
from eventworker.pubsub.service import PubSubService

#: A database (an engine, its URL, or the configuration that names it), or a transaction: a session
#: or connection.
Where = Engine | str | cfg.ConfigOpts | Session | Connection


class Transactions:
    """Gives the service, each time in a transaction.

    :param settings: None for those of the configuration; without one, the defaults.
    :raises TypeError: for anything else, such as an engine of SQLAlchemy's asyncio.
    :ivar engine: None inside a caller's transaction.
    """

    def __init__(self, where: Where, settings: Settings | None) -> None:
        self._caller = where if isinstance(where, Session | Connection) else None
        self._is_own_engine = isinstance(where, str | cfg.ConfigOpts)
        self.engine: Engine | None = None
        if isinstance(where, cfg.ConfigOpts):
            settings = settings or settings_of(where)
            self.engine = configured_engine(where.database)
        elif isinstance(where, str):
            self.engine = build_engine(where)
        elif isinstance(where, Engine):
            self.engine = where
        elif self._caller is None:
            raise TypeError(f"a client works with an Engine or a Session, and no {type(where)}")
        self.settings = settings or Settings()

    @contextmanager
    def service(self, *, writes: bool) -> Iterator[PubSubService]:
        """The service at work; what it has done is kept when the block ends well.

        :param writes: whether anything is changed: SQLite then locks at once.
        """
        if self._caller is not None:
            yield PubSubService(self._caller, self.settings)
            return
        assert self.engine is not None
        begin = short_transaction if writes else Engine.begin
        with begin(self.engine) as connection:
            yield PubSubService(connection, self.settings)

    def close(self) -> None:
        """Close the connections, if they are not the caller's."""
        if self._is_own_engine and self.engine is not None:
            self.engine.dispose()
