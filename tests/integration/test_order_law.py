"""The law of order: whatever arrives when, and whatever fails, places are done in order."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, update

from eventworker.db import clock, short_transaction
from eventworker.engine import order
from eventworker.event import Event
from eventworker.inbox.backlog import delivery_table
from eventworker.inbox.claims import Outcome
from tests.helpers.databases import deliveries, empty_tables, outcomes
from tests.helpers.ordered import InOrder, done, nobody_else, record
from tests.helpers.plugins import Workshop, loaded, time_limits

#: Resources, and events of each.
STREAMS, EACH = 2, 4
EVENTS = STREAMS * EACH


class Died(BaseException):
    """A call that ends its process: what it did is undone, and its attempt is counted."""


#: An arrival: which event, at which of two consumers, redelivered or not, and what happens then.
arrivals = st.tuples(
    st.integers(0, EVENTS - 1),
    st.integers(0, 1),
    st.booleans(),
    st.sampled_from(["well", "well", "fails", "dies", "dies after its commit", "backlog"]),
)


@pytest.fixture(autouse=True)
def _limits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    nobody_else(monkeypatch)
    with time_limits():
        yield


class Run:
    """Two consumers of one database, and what is to go wrong in their calls."""

    def __init__(self, engine: Engine, driver: str, policy: str) -> None:
        self.engine = engine
        self.trouble: BaseException | None = None
        plugin = InOrder(body=self.misbehave)
        self.shops = [
            Workshop(
                engine,
                loaded(plugin, max_attempts=1000, order_on_failure=policy, backoff=0.0),
                driver=driver,
                owner=f"host/1/{number}",
            )
            for number in (1, 2)
        ]
        self.orders = [shop.dispatcher._order for shop in self.shops]
        self.releases = [each.release for each in self.orders]

    def misbehave(self, _session: Any, _event: Event) -> None:
        if self.trouble is not None:
            raise self.trouble

    def arrive(self, event: Event, at: int, redelivered: bool, what: str) -> None:
        self.trouble = {"fails": ValueError("no"), "dies": Died()}.get(what)
        if what == "dies after its commit":  # nobody is told
            self.orders[at].release = lambda *_: False  # type: ignore[method-assign]
        if what == "backlog":
            self.shops[at].runner.run_due()
        self.shops[at].dispatch(event, redelivered=redelivered)
        self.trouble = None
        self.orders[at].release = self.releases[at]  # type: ignore[method-assign]

    def drain(self) -> None:
        for _ in range(200):
            with short_transaction(self.engine) as connection:
                connection.execute(
                    update(delivery_table)
                    .where(delivery_table.c.state == "retry")
                    .values(due_at=clock())
                )
            for each in self.orders:
                each._roused_at = float("-inf")
            if not any([shop.runner.run_due() for shop in self.shops]):
                return
        raise AssertionError("something is due for ever")


@pytest.mark.parametrize("driver", ["rabbit", "sql"])
@settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    some=st.lists(arrivals, max_size=14),
    rest=st.permutations(range(EVENTS)),
    policy=st.sampled_from(["park", "skip"]),
)
def test_everything_is_done_once_and_in_order(
    engine: Engine,
    driver: str,
    some: list[tuple[int, int, bool, str]],
    rest: list[int],
    policy: str,
) -> None:
    empty_tables(engine)
    run = Run(engine, driver, policy)
    events = record(engine, *list(range(STREAMS)) * EACH, sent=driver == "rabbit")
    for number, at, redelivered, what in some:
        run.arrive(events[number], at, redelivered, what)
    for position, number in enumerate(rest):
        run.arrive(events[number], position % 2, False, "well")
    run.drain()
    wanted = list(range(1, EACH + 1))
    assert done(engine) == {f"story/{number}": wanted for number in range(STREAMS)}
    assert set(outcomes(engine).values()) == {Outcome.DONE}
    assert deliveries(engine) == []


def test_the_law_convicts_a_gate_that_always_opens(
    sqlite_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the test above can fail."""
    monkeypatch.setattr(order.Order, "_must_wait", lambda *_: False)
    run = Run(sqlite_engine, "rabbit", "park")
    for event in reversed(record(sqlite_engine, 1, 1)):
        run.arrive(event, 0, False, "well")
    assert done(sqlite_engine) == {"story/1": [2, 1]}
