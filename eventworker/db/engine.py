"""Building the engine: one place knows how each database is set up."""

from __future__ import annotations

import logging
import time
from typing import Any

from sqlalchemy import URL, Connection, Engine, MetaData, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from eventworker.db import mariadb, silence
from eventworker.db.failures import is_transient
from eventworker.db.transaction import guard_owned_transactions
from eventworker.errors import ConfigError

log = logging.getLogger(__name__)

#: All of eventworker's tables; each is declared beside the code that owns it.
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_LOOKS_FOR_ITS_CLIENT = 140000
#: Seconds that a writer of SQLite waits for another one's transaction.
_SQLITE_WAIT = 30.0
#: Seconds between two tries to be the first with a write-ahead log.
_SQLITE_PAUSE = 0.01
#: Pause between two looks of PostgreSQL at its client.
_CLIENT_LOOK = "2s"


def build_engine(
    url: str | None, *, pool_size: int = 2, silence_timeout: float = silence.SILENCE
) -> Engine:
    """An engine for ``[database] connection``; nothing connects yet.

    :param silence_timeout: seconds until a server that does not answer at all is given up.
    :raises ConfigError: when the URL is missing, malformed, or needs a driver that is not there.
    """
    if not url:
        raise ConfigError(
            "[database] connection is not set; write for example "
            "connection = postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"
        )
    try:
        parsed = _supported(make_url(url))
        options: dict[str, Any] = {"connect_args": silence.connect_args(parsed, silence_timeout)}
        if parsed.get_backend_name() == "sqlite":
            options["connect_args"] = {"timeout": _SQLITE_WAIT}
        else:
            options.update(pool_size=pool_size, max_overflow=2, pool_recycle=1800)
        if parsed.get_backend_name() == "mariadb":
            options["isolation_level"] = mariadb.ISOLATION
            options["connect_args"].update(mariadb.CONNECT_ARGS)
        # What an error says goes to logs and dead letters, and users' data has no business there.
        engine = create_engine(parsed, hide_parameters=True, **options)
    except (ArgumentError, NoSuchModuleError) as error:
        raise ConfigError(f"[database] connection cannot be used: {error}") from None
    except ValueError:
        # Its text quotes what stands for the port, which may be a piece of the password.
        raise ConfigError(
            "[database] connection cannot be used: its port is no number; write :, / and @ in a "
            "password as %3A, %2F and %40"
        ) from None
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"[database] connection needs the driver {error.name}, which is not installed; "
            f"pip install 'eventworker[{parsed.get_backend_name()}]'"
        ) from None
    if engine.dialect.name == "sqlite":
        _set_up_sqlite(engine)
    elif engine.dialect.name == "mariadb":
        mariadb.set_up(engine)
        silence.watch(engine, silence_timeout)
    elif engine.dialect.name == "postgresql":
        _set_up_postgresql(engine)
    guard_owned_transactions(engine)
    return engine


def configured_engine(options: Any) -> Engine:
    """The engine that the group ``[database]`` asks for; see :func:`build_engine`."""
    return build_engine(options.connection, silence_timeout=options.silence_timeout)


def _supported(url: URL) -> URL:
    """The URL with the driver that the proof of a commit is written for.

    :raises ConfigError: for a database or a driver that events would not be safe with.
    """
    if url.drivername == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    if url.drivername in ("postgresql+psycopg", "sqlite", "sqlite+pysqlite"):
        return url
    if url.drivername in mariadb.DRIVERS:
        return mariadb.normalized(url)
    raise ConfigError(
        f"[database] connection: {url.drivername} is not supported; write "
        "postgresql+psycopg://..., mariadb+pymysql://... or sqlite:///..."
    )


def _set_up_postgresql(engine: Engine) -> None:
    errors = engine.dialect.dbapi.Error  # type: ignore[union-attr]

    @event.listens_for(engine, "connect")
    def on_connect(driver_connection: Any, _record: Any) -> None:
        """A server that works for a process that was killed during its statement keeps all its
        locks until the statement ends, and so the event's next attempt waiting: unless it looks
        whether anybody is still there, which no server before 14 and not every system can."""
        if driver_connection.info.server_version < _LOOKS_FOR_ITS_CLIENT:
            return
        driver_connection.autocommit = True
        try:
            driver_connection.execute(f"SET client_connection_check_interval = '{_CLIENT_LOOK}'")
        except errors as error:
            if driver_connection.closed:
                raise
            log.debug("the server does not look for its clients: %s", error)
        driver_connection.autocommit = False


def _set_up_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def on_connect(driver_connection: Any, _record: Any) -> None:
        # The driver must not begin or commit on its own: BEGIN is ours, below.
        driver_connection.isolation_level = None
        _use_wal(driver_connection)
        cursor = driver_connection.cursor()
        # FULL: a commit that returned survives a power cut (https://sqlite.org/pragma.html).
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.close()

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        immediate = connection.get_execution_options().get("eventworker_immediate", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _use_wal(driver_connection: Any) -> None:
    """Make sure that the file has a write-ahead log. Who is the first to do so while another one
    writes is refused at once: SQLite does not wait with this as it does with a transaction."""
    deadline = time.monotonic() + _SQLITE_WAIT
    while True:
        try:
            driver_connection.execute("PRAGMA journal_mode = WAL")
        except Exception as error:
            if not is_transient(error) or time.monotonic() > deadline:
                raise
            time.sleep(_SQLITE_PAUSE)
        else:
            return
