"""Transactions in threads, and how often they are tried."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from eventworker_xmpp.work import Unsure, Work
from sqlalchemy import Connection, Engine, event, exc

from eventworker.db import build_engine
from eventworker.errors import DatabaseUnavailable
from eventworker.pubsub.errors import PubSubError
from eventworker.pubsub.options import Settings

BUSY = 5


@pytest.fixture
def engine(tmp_path: Path, template: Path) -> Iterator[Engine]:
    engine = build_engine(f"sqlite:///{shutil.copy(template, tmp_path)}")
    yield engine
    engine.dispose()


def run(engine: Engine, do: Callable[[Connection], Any], *, writes: bool = True) -> Any:
    work = Work(engine, Settings(), threads=1)
    try:
        return asyncio.run(work.transaction(do, writes=writes))
    finally:
        work.close()


def busy() -> exc.OperationalError:
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = BUSY
    return exc.OperationalError("UPDATE", {}, error)


class Failing:
    """Fails so often, then succeeds."""

    def __init__(self, times: int) -> None:
        self.calls = 0
        self._times = times

    def __call__(self, _connection: Connection) -> int:
        self.calls += 1
        if self.calls <= self._times:
            raise busy()
        return self.calls


def test_what_the_database_refuses_for_the_moment_is_tried_again(engine: Engine) -> None:
    assert run(engine, Failing(2)) == 3


def test_it_is_given_up_after_some_tries(engine: Engine) -> None:
    do = Failing(100)
    with pytest.raises(DatabaseUnavailable):
        run(engine, do)
    assert do.calls == 5


def test_what_may_have_been_committed_is_not_done_again(engine: Engine) -> None:
    @event.listens_for(engine, "commit")
    def lose(_connection: Connection) -> None:
        raise busy()

    do = Failing(0)
    with pytest.raises(Unsure):
        run(engine, do)
    assert do.calls == 1


@pytest.mark.parametrize("writes", [True, False])
def test_a_refusal_is_passed_on_and_writes_nothing(engine: Engine, writes: bool) -> None:
    def do(connection: Connection) -> None:
        connection.exec_driver_sql("CREATE TABLE made (a INTEGER)")
        raise PubSubError("forbidden")

    with pytest.raises(PubSubError, match="forbidden"):
        run(engine, do, writes=writes)
    found = run(
        engine,
        lambda connection: connection.exec_driver_sql(
            "SELECT count(*) FROM sqlite_master WHERE name = 'made'"
        ).scalar(),
        writes=False,
    )
    assert found == 0
