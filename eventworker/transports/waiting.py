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
    def wait(self, timeout: float) -> bool:
        """Wait for a commit elsewhere, at most ``timeout`` seconds; whether a look is worth it."""

    @abc.abstractmethod
    def close(self) -> None:
        """Give the connection back."""


class Lookout:
    """When to look at the outbox: first, while it was not empty, after a commit elsewhere, and for
    lack of a wake-up every ``poll_interval`` seconds."""

    def __init__(self, engine: Engine, poll_interval: float) -> None:
        waiters = {"postgresql": _Listener, "sqlite": _DataVersion}
        self._waiter: Waiter = waiters.get(engine.dialect.name, _Pause)(engine)
        self._poll_interval = poll_interval
        self._expecting = True
        self._looked_at = 0.0

    @property
    def due(self) -> bool:
        """Whether a look is worth it."""
        return self._expecting or self._left <= 0

    @property
    def _left(self) -> float:
        return self._looked_at + self._poll_interval - time.monotonic()

    def looked(self, found: bool) -> None:
        """A look was taken, and there was something, or nothing."""
        self._expecting = found
        self._looked_at = time.monotonic()

    def wait(self, timeout: float) -> None:
        """Wait until the next look is due, at most ``timeout`` seconds."""
        if self._waiter.wait(max(0.0, min(timeout, self._left))):
            self._expecting = True

    def close(self) -> None:
        """Give the connection back."""
        self._waiter.close()


class _Pause(Waiter):
    """MariaDB tells nobody of a commit: only the next look finds it."""

    def __init__(self, engine: Engine) -> None:
        pass

    def wait(self, timeout: float) -> bool:
        time.sleep(timeout)
        return False

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

    def wait(self, timeout: float) -> bool:
        started = time.monotonic()
        try:
            return self._wait(timeout)
        except Exception as error:  # whatever the driver raises, the poll goes on
            if not isinstance(error, (SQLAlchemyError, self._engine.dialect.dbapi.Error)):  # type: ignore[union-attr]
                raise
            log.debug("waiting without wake-ups: %s", error)
            self.close()
            time.sleep(max(0.0, min(timeout, 0.5) - (time.monotonic() - started)))
            return False

    @abc.abstractmethod
    def _wait(self, timeout: float) -> bool: ...

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()
            connection.close()


class _Listener(_Connected):
    """PostgreSQL: LISTEN. A notification that came before the wait ends it at once."""

    def _opened(self, driver: Any) -> None:
        driver.execute(f"LISTEN {CHANNEL}")

    def _wait(self, timeout: float) -> bool:
        if self._connection is None:
            # What was committed before LISTEN is not told; look again instead of waiting.
            return self._driver is not None
        return any(True for _ in self._driver.notifies(timeout=timeout, stop_after=1))


class _DataVersion(_Connected):
    """SQLite: ``PRAGMA data_version`` changes when another connection commits."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._seen: int | None = None

    def _wait(self, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        driver = self._driver
        while True:
            version = driver.execute("PRAGMA data_version").fetchone()[0]
            if version != self._seen:
                self._seen = version
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(left, SQLITE_LOOK))
