"""Waiting for something to be committed, without asking the tables all the time."""

from __future__ import annotations

import abc
import logging
import time
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from eventworker.outbox.wakeup import CHANNEL

log = logging.getLogger(__name__)

#: Seconds between two looks at SQLite's change counter (5 microseconds each).
SQLITE_LOOK = 0.01


class Waiter(abc.ABC):
    """Waits until the outbox may have something new."""

    @abc.abstractmethod
    def wait(self, timeout: float) -> None:
        """Return after a commit elsewhere, or after ``timeout`` seconds, or early for no reason."""

    @abc.abstractmethod
    def close(self) -> None:
        """Give the connection back."""


def waiter_for(engine: Engine) -> Waiter:
    """The best way to wait that the database offers."""
    if engine.dialect.name == "postgresql" and engine.dialect.driver == "psycopg":
        return _Listener(engine)
    if engine.dialect.name == "sqlite":
        return _DataVersion(engine)
    return _Sleeper()


class _Sleeper(Waiter):
    def wait(self, timeout: float) -> None:
        time.sleep(min(timeout, 0.1))

    def close(self) -> None:
        pass


class _Connected(Waiter):
    """A waiter with a connection of its own, opened when needed and again after a failure."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None

    @property
    def _driver(self) -> Any:
        if self._connection is None:
            self._connection = self._engine.connect().execution_options(
                isolation_level="AUTOCOMMIT"
            )
            self._opened(self._connection.connection.driver_connection)
        return self._connection.connection.driver_connection

    def _opened(self, driver: Any) -> None:
        pass

    def wait(self, timeout: float) -> None:
        started = time.monotonic()
        try:
            self._wait(timeout)
        except Exception as error:  # whatever the driver raises, the poll goes on
            if not isinstance(error, (SQLAlchemyError, self._engine.dialect.dbapi.Error)):  # type: ignore[union-attr]
                raise
            log.debug("waiting without wake-ups: %s", error)
            self.close()
            time.sleep(max(0.0, min(timeout, 0.5) - (time.monotonic() - started)))

    @abc.abstractmethod
    def _wait(self, timeout: float) -> None: ...

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()
            connection.close()


class _Listener(_Connected):
    """PostgreSQL: LISTEN. A notification that came before the wait ends it at once."""

    def _opened(self, driver: Any) -> None:
        driver.execute(f"LISTEN {CHANNEL}")

    def _wait(self, timeout: float) -> None:
        if self._connection is None:
            # What was committed before LISTEN is not told; look again instead of waiting.
            assert self._driver is not None
            return
        for _ in self._driver.notifies(timeout=timeout, stop_after=1):
            return


class _DataVersion(_Connected):
    """SQLite: ``PRAGMA data_version`` changes when another connection commits."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._seen: int | None = None

    def _wait(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while True:
            version = self._driver.execute("PRAGMA data_version").fetchone()[0]
            if version != self._seen:
                self._seen = version
                return
            left = deadline - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, SQLITE_LOOK))
