"""One delivery through every plugin: each has a durable outcome before the ack."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, update

from eventworker.db import Failure, clock, short_transaction
from eventworker.errors import Reject, Retry
from eventworker.inbox import anonymous, estate, registry
from eventworker.inbox.backlog import delivery_table, event_table
from eventworker.inbox.claims import Outcome
from eventworker.inbox.quarantine import quarantine_table
from tests.helpers.databases import deliveries, effects, outcomes, rows
from tests.helpers.events import make_event
from tests.helpers.plugins import Plugin, Workshop, loaded, time_limits


@pytest.fixture(autouse=True)
def _limits() -> Iterator[None]:
    with time_limits():
        yield


def failing(error: BaseException) -> Any:
    def body(*_: Any) -> None:
        raise error

    return body


def ends(engine: Engine) -> dict[int, Outcome]:
    return {plugin: outcome for (_, plugin), outcome in outcomes(engine).items()}


def make_due(engine: Engine) -> None:
    with short_transaction(engine) as connection:
        connection.execute(update(delivery_table).values(due_at=clock(-1.0)))


@pytest.mark.parametrize("delay", [0.0, None])
def test_an_event_that_comes_for_the_first_time_after_its_call_was_blamed_is_kept_for_it(
    engine: Engine, delay: float | None
) -> None:
    """Who died was the reconciler, or the broker has lost the delivery and got it anew."""
    plugin = Plugin("a")
    shop = Workshop(engine, loaded(plugin))
    event = make_event()
    with short_transaction(engine) as connection:
        estate.blame(connection, event.id, 1, Failure("killed", delay=delay), "host/1/99")
    assert shop.runner.run_due() == 0
    shop.dispatch(event)
    (kept,) = rows(engine, event_table)
    assert kept.body == event.encode()
    assert shop.runner.run_due() == int(delay is not None)
    assert plugin.calls == int(delay is not None)


def test_a_duplicate_of_what_is_done_leaves_no_body(engine: Engine) -> None:
    shop = Workshop(engine, loaded(Plugin("a")))
    event = make_event()
    shop.dispatch(event)
    shop.dispatch(event)
    assert rows(engine, event_table) == deliveries(engine) == []


def test_one_plugins_failure_does_not_touch_the_other(engine: Engine) -> None:
    a, b = Plugin("a"), Plugin("b", failing(ValueError("no")))
    shop = Workshop(engine, loaded(b), loaded(a))
    event = make_event()
    shop.dispatch(event)
    assert ends(engine) == {1: Outcome.RETRY, 2: Outcome.DONE}
    assert effects(engine) == ["a"]
    (row,) = deliveries(engine)
    assert (row.plugin, row.state, row.attempts) == (1, "retry", 1)
    assert row.error == "ValueError: no"
    assert "Traceback" in row.traceback

    make_due(engine)
    b.body = None
    assert shop.runner.run_due() == 1
    assert ends(engine) == {1: Outcome.DONE, 2: Outcome.DONE}
    assert effects(engine) == ["a", "b"]
    assert (a.calls, b.calls) == (1, 2)
    assert deliveries(engine) == []


def test_a_second_delivery_calls_nobody(engine: Engine) -> None:
    a, b = Plugin("a"), Plugin("b", failing(ValueError()))
    shop = Workshop(engine, loaded(a), loaded(b))
    event = make_event()
    shop.dispatch(event)
    shop.dispatch(event)
    shop.dispatch(event, redelivered=True)
    assert (a.calls, b.calls) == (1, 1)
    assert effects(engine) == ["a"]
    assert len(deliveries(engine)) == 1


def test_a_redelivered_event_is_counted_before_it_is_called(engine: Engine) -> None:
    attempts: list[int] = []
    a = Plugin("a", lambda *_: attempts.extend(row.attempts for row in deliveries(engine)))
    shop = Workshop(engine, loaded(a))
    shop.dispatch(make_event(), redelivered=True)
    assert a.calls == 0
    assert ends(engine) == {1: Outcome.PENDING}
    assert shop.runner.run_due() == 1
    assert attempts == [1]
    assert effects(engine) == ["a"]
    assert ends(engine) == {1: Outcome.DONE}


def test_a_plugin_that_is_off_is_skipped_and_one_of_elsewhere_is_owed(engine: Engine) -> None:
    a = Plugin("a")
    shop = Workshop(engine, loaded(a))
    shop.register(["elsewhere", "off"])
    shop.register([], off=["off"])
    shop.dispatch(make_event())
    assert ends(engine) == {1: Outcome.DONE, 2: Outcome.PENDING, 3: Outcome.SKIPPED}
    assert [(row.plugin, row.state) for row in deliveries(engine)] == [(2, "pending")]


def test_a_retired_plugin_is_owed_nothing(engine: Engine) -> None:
    shop = Workshop(engine, loaded(Plugin("a")))
    shop.register(["gone"])
    with short_transaction(engine) as connection:
        registry.retire(connection, "gone")
    shop.dispatch(make_event())
    assert ends(engine) == {1: Outcome.DONE}


def test_a_plugin_is_not_called_for_what_it_does_not_want(engine: Engine) -> None:
    picky = Plugin("picky", resources=("task",), methods=("POST",))
    shop = Workshop(engine, loaded(picky))
    shop.dispatch(make_event(resource="story"))
    shop.dispatch(make_event(resource="task", method="PUT"))
    shop.dispatch(make_event(resource="story"), redelivered=True)
    assert picky.calls == 0
    assert deliveries(engine) == []
    shop.dispatch(make_event(resource="task"))
    assert picky.calls == 1


def test_what_does_not_fit_into_the_time_is_left_to_the_backlog(engine: Engine) -> None:
    quick, slow = Plugin("quick"), Plugin("slow")
    shop = Workshop(
        engine,
        loaded(quick, handler_timeout=5.0),
        loaded(slow, handler_timeout=50.0),
        patience=20.0,
    )
    shop.dispatch(make_event())
    assert (quick.calls, slow.calls) == (1, 0)
    assert ends(engine) == {1: Outcome.DONE, 2: Outcome.PENDING}


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff\x00", b'{"method": "POST"}', b"[" * 100_000])
def test_bytes_that_are_no_event_are_quarantined_and_acked(engine: Engine, body: bytes) -> None:
    a = Plugin("a")
    shop = Workshop(engine, loaded(a))
    shop.dispatch(body)
    shop.dispatch(body, redelivered=True)
    (kept,) = rows(engine, quarantine_table)
    assert kept.body == body
    assert kept.reason
    assert "story" in kept.properties
    assert a.calls == 0
    shop.dispatch(make_event())
    assert effects(engine) == ["a"]


def test_an_event_without_an_id_is_one_event_when_it_is_redelivered(engine: Engine) -> None:
    shop = Workshop(engine, loaded(Plugin("a")))
    event = make_event()
    with short_transaction(engine) as connection:  # a first delivery, whose process died
        first = anonymous.identify(connection, event.encode(), False)
    again = shop.dispatch(event, anonymous=True, redelivered=True)
    assert again.event_id == first


def test_an_event_without_an_id_is_not_taken_for_an_older_one_that_is_done(engine: Engine) -> None:
    shop = Workshop(engine, loaded(Plugin("a")))
    done = shop.dispatch(make_event(), anonymous=True)
    assert effects(engine) == ["a"]
    later = shop.dispatch(make_event(), anonymous=True, redelivered=True)
    assert later.event_id != done.event_id
    assert [row.event_id for row in deliveries(engine)] == [later.event_id]


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), BaseException("odd")])
def test_a_plugin_that_wants_to_end_the_process_has_failed(
    engine: Engine, error: BaseException
) -> None:
    shop = Workshop(engine, loaded(Plugin("a", failing(error))))
    shop.dispatch(make_event())
    assert ends(engine) == {1: Outcome.RETRY}
    assert effects(engine) == []


def test_the_verdicts_are_obeyed(engine: Engine) -> None:
    shop = Workshop(
        engine,
        loaded(Plugin("never", failing(Reject("it is not for us")))),
        loaded(Plugin("later", failing(Retry(3600.0)))),
        loaded(Plugin("now", failing(Retry(0.0)))),
    )
    shop.dispatch(make_event())
    never, later, now = deliveries(engine)
    assert (never.state, never.error) == ("dead", "rejected: it is not for us")
    assert later.state == now.state == "retry"
    assert 3000 < (later.due_at - now.due_at).total_seconds() < 4000
    assert shop.runner.run_due() == 1


def test_attempts_end_in_a_dead_letter_and_no_sooner(engine: Engine) -> None:
    plugin = Plugin("a", failing(ValueError("no")))
    shop = Workshop(engine, loaded(plugin, max_attempts=3))
    shop.dispatch(make_event())
    states = []
    for _ in range(4):
        states.append(ends(engine)[1])
        make_due(engine)
        shop.runner.run_due()
    assert plugin.calls == 3
    assert states == [Outcome.RETRY, Outcome.RETRY, Outcome.DEAD, Outcome.DEAD]
    assert effects(engine) == []


def test_a_call_that_takes_too_long_is_interrupted_and_undone(engine: Engine) -> None:
    def forever(*_: Any) -> None:
        while True:
            pass

    shop = Workshop(engine, loaded(Plugin("a", forever), handler_timeout=0.2))
    shop.dispatch(make_event())
    (row,) = deliveries(engine)
    assert row.state == "retry"
    assert "0.2 s" in row.error
    assert effects(engine) == []
    # Held until the consumer has had the end of it written down.
    assert shop.slot.read() is not None


def test_calls_that_never_came_back_end_in_a_dead_letter_without_another(engine: Engine) -> None:
    plugin = Plugin("a")
    shop = Workshop(engine, loaded(plugin, max_attempts=2))
    shop.dispatch(make_event(), redelivered=True)
    with short_transaction(engine) as connection:
        connection.execute(update(delivery_table).values(attempts=2))
    shop.runner.run_due()
    assert plugin.calls == 0
    assert ends(engine) == {1: Outcome.DEAD}
    assert "2 times" in deliveries(engine)[0].error
