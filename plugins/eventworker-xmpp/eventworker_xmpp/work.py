"""Verbs of the service, each in a transaction of its own, in threads: the loop never waits for the
database."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from eventworker.db import short_transaction, translated
from eventworker.errors import DatabaseUnavailable
from eventworker.pubsub.options import Settings
from eventworker.pubsub.service import PubSubService

T = TypeVar("T")

#: Tries of what the database refuses for the moment: a deadlock, a lock, a restart.
_TRIES = 5
#: Seconds before the second try, at the most; each time twice as many.
_PAUSE = 0.1


class Unsure(DatabaseUnavailable):
    """The connection was lost at the end of a transaction, which may have been committed."""


class Work:
    """Where transactions are run.

    :param threads: that may run at the same time.
    """

    def __init__(self, engine: Engine, settings: Settings, threads: int) -> None:
        self._engine = engine
        self._settings = settings
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="pubsub")

    async def verb(self, do: Callable[[PubSubService], T], *, writes: bool = True) -> T:
        """Call ``do`` with the service, in a transaction that is committed if it returns.

        :param writes: False if it only looks.
        :raises DatabaseUnavailable: when the database is away, or has not been able to for a while.
        """
        return await self.transaction(
            lambda connection: do(PubSubService(connection, self._settings)), writes=writes
        )

    async def transaction(self, do: Callable[[Connection], T], *, writes: bool = True) -> T:
        """The same with the bare connection."""
        for attempt in range(_TRIES):
            try:
                running = asyncio.get_running_loop()
                return await running.run_in_executor(self._threads, self._run, do, writes)
            except Unsure:
                raise  # a second time might be one too many
            except DatabaseUnavailable:
                if attempt == _TRIES - 1:
                    raise
            await asyncio.sleep(random.uniform(0.5, 1) * _PAUSE * 2**attempt)
        raise AssertionError("the last try returns or raises")

    def close(self) -> None:
        """Wait for what is under way."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _run(self, do: Callable[[Connection], T], writes: bool) -> T:
        if writes:
            return self._write(do)
        try:
            with self._engine.connect() as connection:
                return do(connection)
        except DBAPIError as error:
            raise translated(error) from error

    def _write(self, do: Callable[[Connection], T]) -> T:
        is_ending = False
        try:
            with short_transaction(self._engine) as connection:
                result = do(connection)
                is_ending = True
            return result
        except DatabaseUnavailable as error:
            if is_ending:
                raise Unsure(str(error)) from error
            raise
