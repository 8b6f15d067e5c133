"""Two at once on one event, and SQLite's one writer at a time."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from threading import Barrier, Event
from typing import Any

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.exc import OperationalError

from eventworker.db import is_stale_snapshot
from eventworker.inbox.claims import FirstClaim, run_once
from tests.helpers.calls import PLUGIN, Handled
from tests.helpers.databases import effect_table, someone_waits, write
from tests.servers import wait_until


class OtherWriter:
    """Another process: a connection of its own."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def write(self, what: str) -> None:
        with self.engine.begin() as connection:
            write(connection, what)


@pytest.fixture
def handled(engine: Engine) -> Handled:
    return Handled(engine)


@pytest.fixture
def on_sqlite(sqlite_engine: Engine) -> Handled:
    return Handled(sqlite_engine)


@pytest.fixture
def other(sqlite_engine: Engine, new_engine: Callable[[str], Engine]) -> OtherWriter:
    return OtherWriter(new_engine(str(sqlite_engine.url)))


def read(session: Any) -> list[str]:
    return list(session.scalars(select(effect_table.c.what)))


def test_two_that_claim_an_event_at_once_have_its_effect_once(engine: Engine) -> None:
    rounds = 20
    for _ in range(rounds):
        handled = Handled(engine)
        start = Barrier(2)

        def race(handled: Handled = handled, start: Barrier = start) -> bool:
            start.wait()
            return handled.redoing(lambda session: write(session, "a", handled.event_id))

        with ThreadPoolExecutor(2) as pool:
            ended = [each.result() for each in (pool.submit(race), pool.submit(race))]
        assert sorted(ended) == [False, True]
    assert handled.effects == ["a"] * rounds


@pytest.mark.parametrize("engine", ["postgres", "maria"], indirect=True)
def test_a_duplicate_waits_for_the_first_and_does_the_work_if_that_fails(engine: Engine) -> None:
    handled = Handled(engine)
    in_call, may_fail = Event(), Event()

    def failing(session: Any) -> None:
        write(session, "of the first")
        in_call.set()
        assert may_fail.wait(10)
        raise ValueError

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(handled.by, failing)
        assert in_call.wait(10)
        second = pool.submit(handled.by, lambda session: write(session, "of the second"))
        wait_until(lambda: someone_waits(engine))
        may_fail.set()
        assert isinstance(first.exception(), ValueError)
        assert second.result()
    assert handled.effects == ["of the second"]
    assert handled.is_done


class Overtaken:
    """A claim that somebody else wins while the plugin rolls back."""

    def __init__(self, handled: Handled, by: Engine) -> None:
        self._inner = FirstClaim(handled.event_id, PLUGIN)
        self._other = by
        self._takes = 0

    def is_taken(self, connection: Any) -> bool:
        return self._inner.is_taken(connection)

    def take(self, connection: Any) -> str | None:
        self._takes += 1
        if self._takes == 2:
            assert run_once(self._other, self._inner, lambda session: write(session, "theirs"))
        return self._inner.take(connection)


@pytest.mark.parametrize("swallows", [False, True])
@pytest.mark.parametrize("engine", ["postgres", "maria"], indirect=True)
def test_a_plugin_that_was_overtaken_during_its_rollback_is_stopped(
    engine: Engine, new_engine: Callable[[str], Engine], swallows: bool
) -> None:
    handled = Handled(engine)
    second = new_engine(engine.url.render_as_string(hide_password=False))

    def call(session: Any) -> None:
        write(session, "undone")
        with suppress(BaseException) if swallows else nullcontext():
            session.rollback()
            raise AssertionError("it is not to come here")
        write(session, "without a claim")

    assert not run_once(engine, Overtaken(handled, second), call)
    assert handled.effects == ["theirs"]
    assert handled.is_done


def test_a_plugin_that_only_reads_survives_another_processs_write(
    on_sqlite: Handled, other: OtherWriter
) -> None:
    def call(session: Any) -> None:
        assert read(session) == []
        other.write("of somebody else")
        assert read(session) == []

    assert on_sqlite.by(call)
    assert on_sqlite.is_done


def test_a_plugin_that_only_waits_holds_no_lock(on_sqlite: Handled, other: OtherWriter) -> None:
    assert on_sqlite.by(lambda session: other.write("during the call"))
    assert on_sqlite.effects == ["during the call"]
    assert on_sqlite.is_done


def test_read_then_write_with_a_writer_in_between_asks_to_be_redone(
    on_sqlite: Handled, other: OtherWriter
) -> None:
    def call(session: Any) -> None:
        seen = read(session)
        if not seen:
            other.write("of somebody else")
        write(session, f"saw {len(seen)}")

    with pytest.raises(OperationalError) as raised:
        on_sqlite.by(call)
    assert is_stale_snapshot(raised.value)
    assert on_sqlite.effects == ["of somebody else"]
    assert on_sqlite.by(call, immediate=True)
    assert on_sqlite.effects == ["of somebody else", "saw 1"]
    assert on_sqlite.is_done


def test_a_swallowed_stale_snapshot_is_not_taken_for_a_plugin_that_only_read(
    on_sqlite: Handled, other: OtherWriter
) -> None:
    def call(session: Any) -> None:
        if not read(session):
            other.write("of somebody else")
        with suppress(OperationalError):
            write(session, "an effect")

    with pytest.raises(OperationalError):
        on_sqlite.by(call)
    assert on_sqlite.effects == ["of somebody else"]
    assert on_sqlite.by(call, immediate=True)
    assert on_sqlite.effects == ["an effect", "of somebody else"]


def test_a_stale_snapshot_is_cured_by_a_rollback(on_sqlite: Handled, other: OtherWriter) -> None:
    def call(session: Any) -> None:
        read(session)
        other.write("of somebody else")
        try:
            write(session, "an effect")
        except OperationalError:
            session.rollback()
            write(session, "an effect")

    assert on_sqlite.by(call)
    assert on_sqlite.effects == ["an effect", "of somebody else"]
    assert on_sqlite.is_done


def test_a_writer_with_the_lock_keeps_others_out_until_its_end(
    on_sqlite: Handled, other: OtherWriter
) -> None:
    with ThreadPoolExecutor(1) as pool:
        written: list[Any] = []

        def call(session: Any) -> None:
            write(session, "first")
            written.append(pool.submit(other.write, "second"))
            with other.engine.connect() as connection:
                assert connection.scalars(select(effect_table.c.what)).all() == []

        assert on_sqlite.by(call, immediate=True)
        written[0].result(20)
    assert on_sqlite.effects == ["first", "second"]
