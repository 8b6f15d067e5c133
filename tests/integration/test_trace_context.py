"""The trace context of a request reaches the plugin, by every way that an event can take."""

import logging
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, update
from sqlalchemy.orm import Session

from eventworker import outbox
from eventworker.db import clock, short_transaction
from eventworker.engine.relay import Relay
from eventworker.event import Event
from eventworker.inbox import registry
from eventworker.inbox.backlog import delivery_table
from eventworker.inbox.operations import backfill, listing
from eventworker.inbox.operations.selection import Selection
from eventworker.outbox import queue
from eventworker.outbox.past import past_events
from eventworker.transport import Delivery, Transport
from eventworker.transports.rabbit import RabbitTransport
from eventworker.transports.sql import SqlTransport
from tests.helpers.deliveries import take
from tests.helpers.events import TRACEPARENT, TRACESTATE, make_event
from tests.helpers.plugins import Plugin, Workshop, loaded, time_limits
from tests.helpers.rabbit import settings_at
from tests.servers import Vhost

BOTH = (TRACEPARENT, TRACESTATE)
TRACE_ID = TRACEPARENT.split("-")[1]


@pytest.fixture(autouse=True)
def _limits() -> Iterator[None]:
    with time_limits():
        yield


class Seen:
    """A plugin that notes the trace context it is called with; the first calls may fail."""

    def __init__(self, failures: int = 0) -> None:
        self.traces: list[tuple[str | None, str | None]] = []
        self.failures = failures
        self.plugin = loaded(Plugin("a", self.note))

    def note(self, _session: Any, event: Event) -> None:
        self.traces.append((event.traceparent, event.tracestate))
        if len(self.traces) <= self.failures:
            raise ValueError("not yet")


def record(engine: Engine, **fields: Any) -> Event:
    with Session(engine) as session:
        event = outbox.record(session, make_event(**fields))
        session.commit()
    return event


def traced(engine: Engine) -> Event:
    return record(engine, traceparent=TRACEPARENT, tracestate=TRACESTATE)


@pytest.fixture(params=["sql", "rabbit"])
def deliver(request: pytest.FixtureRequest, engine: Engine) -> Iterator[Callable[[], Delivery]]:
    """Takes the next delivery of what stands in the outbox, moved to the broker if there is one."""
    transport: Transport = SqlTransport(engine, poll_interval=0.05)
    if request.param == "rabbit":
        vhost: Vhost = request.getfixturevalue("vhost")
        transport = RabbitTransport(settings_at(vhost))
        relay = Relay(engine, transport, 100, "host/1/1")
        assert relay.run_once() == 0
    subscription = transport.subscribe(10, "consumer")

    def next_delivery() -> Delivery:
        if request.param == "rabbit":
            relay.run_once()
        return take(subscription)[0]

    yield next_delivery
    subscription.close()
    transport.close()


def make_due(engine: Engine) -> None:
    with short_transaction(engine) as connection:
        connection.execute(update(delivery_table).values(due_at=clock(-1.0)))


def test_the_plugin_sees_it_at_the_first_call_and_at_each_retry(
    engine: Engine, deliver: Callable[[], Delivery]
) -> None:
    seen = Seen(failures=2)
    shop = Workshop(engine, seen.plugin)
    traced(engine)
    shop.dispatcher.dispatch(deliver())
    for _ in range(2):
        make_due(engine)
        assert shop.runner.run_due() == 1
    assert seen.traces == [BOTH] * 3


def test_the_plugin_sees_it_after_a_redelivery(
    engine: Engine, deliver: Callable[[], Delivery]
) -> None:
    seen = Seen()
    shop = Workshop(engine, seen.plugin)
    traced(engine)
    deliver().requeue()
    again = deliver()
    assert again.redelivered
    shop.dispatcher.dispatch(again)
    assert shop.runner.run_due() == 1
    assert seen.traces == [BOTH]


def test_a_plugin_that_came_later_sees_it(engine: Engine) -> None:
    event = traced(engine)
    with short_transaction(engine) as connection:
        queue.settle(connection, [event.id])
        registry.sync(connection, ["a"], [])
    wanted = backfill.Backfill("a", timedelta(days=1), timedelta(days=14), past_events())
    assert backfill.run(engine, wanted) == 1
    seen = Seen()
    assert Workshop(engine, seen.plugin).runner.run_due() == 1
    assert seen.traces == [BOTH]


def test_the_operator_sees_it_in_the_log_and_beside_the_delivery(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    shop = Workshop(engine, Seen(failures=9).plugin)
    with caplog.at_level(logging.WARNING, "eventworker"):
        shop.dispatch(make_event(traceparent=TRACEPARENT, tracestate=TRACESTATE))
    assert [vars(each)["trace_id"] for each in caplog.records] == [TRACE_ID]
    with short_transaction(engine) as connection:
        (row,) = listing.deliveries(connection, Selection(), 10)
        shown = listing.delivery(connection, row.id)
    assert shown is not None
    assert (shown.traceparent, shown.tracestate) == BOTH


def test_a_trace_context_that_is_none_does_not_stop_the_change(engine: Engine) -> None:
    event = record(engine, traceparent="stranger's\x00", tracestate="x")
    with short_transaction(engine) as connection:
        (row,) = queue.claim(connection, 10, 60.0, "host/1/1")
    assert (row.id, row.traceparent, row.tracestate) == (event.id, None, None)
