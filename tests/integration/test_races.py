"""Two at the same moment: what is looked at and then written is still true when it is written."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, update

from eventworker.db import clock, short_transaction
from eventworker.engine.eraser import Eraser
from eventworker.erasure import Erasure
from eventworker.errors import PluginError
from eventworker.event import Event
from eventworker.inbox import backlog, quarantine, registry
from eventworker.inbox.backlog import Failure, delivery_table, event_table
from eventworker.inbox.claims import FirstClaim, Outcome, run_once
from eventworker.inbox.operations import backfill, quarantined, replay
from eventworker.inbox.operations.selection import Selection
from eventworker.inbox.quarantine import quarantine_table
from eventworker.outbox import queue, record
from eventworker.outbox.past import past_events
from eventworker.outbox.table import outbox_table
from tests.helpers.databases import count, deliveries, effects, outcomes, rows, write
from tests.helpers.events import make_event

#: Each race is run so often: what can go wrong in one of ten is found in most runs of the test.
ROUNDS = 12

Work = Callable[[Connection], Any]


@pytest.fixture(params=["postgres", "maria"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Where transactions run side by side; SQLite has one writer at a time."""
    made: Engine = request.getfixturevalue(f"{request.param}_engine")
    return made


@pytest.fixture
def at_once(
    engine: Engine, new_engine: Callable[[str], Engine]
) -> Iterator[Callable[..., list[Any]]]:
    """Runs functions in transactions of their own that begin at the same moment."""
    url = engine.url.render_as_string(hide_password=False)
    others = [new_engine(url) for _ in range(4)]
    with ThreadPoolExecutor(len(others)) as pool:

        def run(*works: Work) -> list[Any]:
            barrier = threading.Barrier(len(works))

            def one(each: tuple[Engine, Work]) -> Any:
                with short_transaction(each[0]) as connection:
                    connection.exec_driver_sql("SELECT 1")  # connected, and in the transaction
                    barrier.wait(10)
                    return each[1](connection)

            return list(pool.map(one, zip(others, works, strict=False)))

        yield run


def dead(engine: Engine, plugin: int = 1) -> Event:
    event = make_event()
    with short_transaction(engine) as connection:
        backlog.fail_first(connection, event, plugin, Failure("it broke"))
    return event


def test_a_plugin_that_is_paused_while_it_is_retired_is_retired(
    engine: Engine, at_once: Callable[..., list[Any]]
) -> None:
    for number in range(ROUNDS):
        name = f"plugin{number}"
        with short_transaction(engine) as connection:
            registry.sync(connection, [name], [])
        with suppress(PluginError):  # the pause, which came second
            at_once(
                lambda connection, name=name: registry.pause(connection, name, "ada", "why"),
                lambda connection, name=name: registry.retire(connection, name),
            )
        with short_transaction(engine) as connection:
            (known,) = (each for each in registry.read(connection) if each.name == name)
        # Retired and paused would be called broken by whoever turns it on again.
        assert (known.state, known.paused_at) == (registry.RETIRED, None)


def test_a_retry_and_a_discard_of_one_delivery_agree_with_its_inbox_row(
    engine: Engine, at_once: Callable[..., list[Any]]
) -> None:
    for _ in range(ROUNDS):
        event = dead(engine)
        (row,) = deliveries(engine)
        chosen = Selection(ids=(row.id,))
        at_once(
            lambda connection, chosen=chosen: replay.retry(connection, chosen),
            lambda connection, chosen=chosen: replay.discard(connection, chosen),
        )
        assert deliveries(engine) == []
        assert outcomes(engine)[event.id, 1] is Outcome.DISCARDED


def test_a_delivery_is_discarded_or_called_and_never_both(
    engine: Engine, at_once: Callable[..., list[Any]]
) -> None:
    called = discarded = 0
    for _ in range(ROUNDS):
        event = make_event()
        with short_transaction(engine) as connection:
            backlog.park(connection, event, [1])
        claimed, dropped = at_once(
            lambda connection: backlog.claim(connection, [1], 10, 60.0, "host/1"),
            lambda connection: replay.discard(connection, Selection(states=("pending",))),
        )
        assert (len(claimed), dropped) in ((1, 0), (0, 1))
        outcome = outcomes(engine)[event.id, 1]
        assert outcome is (Outcome.PENDING if claimed else Outcome.DISCARDED)
        called, discarded = called + len(claimed), discarded + dropped
        with short_transaction(engine) as connection:
            connection.execute(delivery_table.delete())
    assert called + discarded == ROUNDS


def test_two_operators_who_release_one_entry_of_the_quarantine_owe_it_once(
    engine: Engine, at_once: Callable[..., list[Any]]
) -> None:
    with short_transaction(engine) as connection:
        registry.sync(connection, ["audit"], [])
    for number in range(ROUNDS):
        with short_transaction(engine) as connection:
            quarantine.put(connection, make_event(resource_id=number).encode(), "too large", {})
        (entry,) = (row.id for row in rows(engine, quarantine_table))
        answers = at_once(
            *[lambda connection, entry=entry: quarantined.retry(connection, entry, 2**20)] * 2
        )
        assert sorted(answers, key=str) == [None, quarantined.GONE]
        assert len(deliveries(engine)) == number + 1
        assert count(engine, quarantine_table) == 0


def test_two_backfills_owe_each_event_once(
    engine: Engine, at_once: Callable[..., list[Any]]
) -> None:
    with short_transaction(engine) as connection:
        registry.sync(connection, ["audit"], [])
        for number in range(50):
            record(connection, make_event(resource_id=number))
        connection.execute(update(outbox_table).values(state=1, settled_at=clock()))
    request = backfill.Backfill(
        plugin="audit",
        since=timedelta(days=1),
        remembered=timedelta(days=14),
        past=past_events(),
    )
    answers = at_once(*[lambda _connection: backfill.run(engine, request)] * 3)
    assert sum(answers) == 50
    assert len({row.event_id for row in deliveries(engine)}) == len(deliveries(engine)) == 50


def test_an_event_is_erased_or_owed_and_its_body_stays_with_what_is_owed(
    engine: Engine, at_once: Callable[..., list[Any]]
) -> None:
    erased = 0
    for _ in range(ROUNDS):
        event = make_event(author_id=7)
        with short_transaction(engine) as connection:
            record(connection, event)
            queue.settle(connection, [event.id])
        at_once(
            lambda _connection: Eraser(engine, Erasure(author="7")).run(),
            lambda connection, event=event: backlog.park(connection, event, [1]),
        )
        (row,) = deliveries(engine)
        assert [each.id for each in rows(engine, event_table)] == [event.id] == [row.event_id]
        with short_transaction(engine) as connection:
            (due,) = backlog.claim(connection, [1], 10, 60.0, "host/1")
            assert due.event.id == event.id
            erased += 1 - count(engine, outbox_table)
            for table in (delivery_table, event_table, outbox_table):
                connection.execute(table.delete())
    assert 0 <= erased <= ROUNDS


def test_an_event_that_is_erased_while_its_plugin_works_is_done_once(
    engine: Engine, at_once: Callable[..., list[Any]]
) -> None:
    """From the broker: nobody but the running call knows of it."""
    event = make_event(author_id=7)
    with short_transaction(engine) as connection:
        registry.sync(connection, ["audit"], [])
        record(connection, event)
        queue.settle(connection, [event.id])
    begun, finish = threading.Event(), threading.Event()

    def slow(session: Any) -> None:
        write(session, "done")
        begun.set()
        assert finish.wait(10)

    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(run_once, engine, FirstClaim(event.id, 1), slow)
        assert begun.wait(10)
        Eraser(engine, Erasure(author="7")).run()
        finish.set()
        assert call.result(10)
    assert effects(engine) == ["done"]
    assert outcomes(engine) == {(event.id, 1): Outcome.DONE}
