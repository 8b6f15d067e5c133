"""What is filtered out costs no call and no row; a condition that fails loses nothing."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, event, update

from eventworker.db import clock, short_transaction
from eventworker.engine.condition import parse
from eventworker.engine.filters import Filter
from eventworker.event import Event
from eventworker.inbox.backlog import delivery_table, event_table
from eventworker.inbox.claims import Outcome
from eventworker.plugin import WorkerTaskBase
from tests.helpers.configuration import configuration
from tests.helpers.databases import count, deliveries, effects, outcomes
from tests.helpers.events import make_event
from tests.helpers.plugins import Plugin, Workshop, loaded, time_limits

NO_TASKS = Filter(conditions=(parse("resource != task"),))


@pytest.fixture(autouse=True)
def _limits() -> Iterator[None]:
    with time_limits():
        yield


@pytest.fixture
def connections(engine: Engine) -> Iterator[list[object]]:
    """One entry for each time that somebody takes a connection of the engine."""
    taken: list[object] = []

    def note(*taking: object) -> None:
        taken.append(taking)

    event.listen(engine, "checkout", note)
    yield taken
    event.remove(engine, "checkout", note)


def wanting(answer: Callable[[Event], Any], name: str = "a", **limits: Any) -> Any:
    return loaded(Plugin(name, wants=answer), **limits)


def is_story(event: Event) -> bool:
    return event.resource == "story"


def states(engine: Engine) -> list[tuple[int, str, int]]:
    return sorted((row.plugin, row.state, row.attempts) for row in deliveries(engine))


def ends(engine: Engine) -> dict[int, Outcome]:
    return {plugin: outcome for (_, plugin), outcome in outcomes(engine).items()}


def make_due(engine: Engine) -> None:
    with short_transaction(engine) as connection:
        connection.execute(update(delivery_table).values(due_at=clock(-1.0)))


def test_an_event_that_no_plugin_wants_is_acked_without_a_look_at_the_database(
    engine: Engine, connections: list[object], caplog: pytest.LogCaptureFixture
) -> None:
    shop = Workshop(
        engine,
        loaded(Plugin("declares", resources={"story"})),
        loaded(Plugin("narrowed"), narrowing=NO_TASKS),
        loaded(Plugin("lane", methods={"PUT"}), lane="slow"),
        wanting(is_story, "asked"),
        wanting(is_story, "asked in its lane", lane="slow"),
        refresh=3600.0,
    )
    shop.view.debts()
    connections.clear()

    with caplog.at_level(logging.DEBUG, "eventworker"):
        shop.dispatch(make_event(resource="task"))  # asserts that it was acked
    assert connections == []

    shop.dispatch(make_event(resource="user", method="DELETE"))
    assert connections != []  # as "narrowed" wants it: the counting counts
    assert ends(engine) == {2: Outcome.DONE}
    assert deliveries(engine) == []


def test_one_line_at_debug_tells_of_a_resource_that_nobody_knows(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    shop = Workshop(engine, loaded(Plugin("a", resources={"story"})))
    with caplog.at_level(logging.DEBUG, "eventworker.engine"):
        shop.dispatch(make_event(resource="spaceship"))
    assert [record.getMessage() for record in caplog.records] == [
        "no plugin wants POST spaceship/7"
    ]
    assert outcomes(engine) == {}


def test_a_plugin_of_another_host_is_narrowed_by_what_our_file_says(engine: Engine) -> None:
    narrowings = {"there": NO_TASKS}
    shop = Workshop(engine, narrowing=lambda name: narrowings.get(name, Filter()))
    shop.register(["there"])
    shop.dispatch(make_event(resource="task"))
    assert deliveries(engine) == []
    shop.dispatch(make_event(resource="story"))
    assert states(engine) == [(1, "pending", 0)]


def test_the_host_that_has_it_skips_what_was_parked_for_it(engine: Engine) -> None:
    Workshop(engine).register(["there"])
    without = Workshop(engine)
    for resource in ("task", "story", "user"):
        without.dispatch(make_event(resource=resource))
    assert len(deliveries(engine)) == 3

    there = Plugin("there", resources={"story", "user"}, wants=is_story)
    Workshop(engine, loaded(there)).runner.run_due()

    assert there.calls == 1
    assert deliveries(engine) == []
    assert sorted(outcomes(engine).values()) == [Outcome.DONE, Outcome.SKIPPED, Outcome.SKIPPED]


def test_a_condition_of_the_plugin_decides(engine: Engine) -> None:
    asked = wanting(is_story)
    shop = Workshop(engine, asked)
    shop.dispatch(make_event(resource="task"))
    assert outcomes(engine) == {}
    shop.dispatch(make_event(resource="story"))
    assert effects(engine) == ["a"]
    assert shop.slot.read() is not None, "the call's end is not written down yet"


def refusing(_: Event) -> bool:
    raise LookupError("no such column")


def forgetful(event: Event) -> Any:
    event.resource == "story"  # noqa: B015


def endless(_: Event) -> bool:
    while True:
        pass


@pytest.mark.parametrize(
    ("condition", "error"),
    [
        (refusing, "wants(): LookupError: no such column"),
        (forgetful, "wants(): TypeError: it returned None, neither True nor False"),
        (endless, "wants(): HandlerTimeout: the call took longer than its limit of 0.2 s"),
    ],
)
def test_a_condition_that_fails_is_a_failed_attempt_and_the_event_is_kept(
    engine: Engine, condition: Any, error: str
) -> None:
    asked = wanting(condition, max_attempts=2, handler_timeout=0.2)
    other = Plugin("other")
    shop = Workshop(engine, asked, loaded(other))
    shop.dispatch(make_event())
    (row,) = deliveries(engine)
    assert (row.plugin, row.state, row.attempts, row.error) == (1, "retry", 1, error)
    assert effects(engine) == ["other"]

    make_due(engine)
    shop.runner.run_due()
    assert states(engine) == [(1, "dead", 2)]
    assert asked.plugin.calls == 0
    assert count(engine, event_table) == 1


def test_a_condition_that_is_mended_gets_its_event(engine: Engine) -> None:
    asked = wanting(refusing)
    shop = Workshop(engine, asked)
    shop.dispatch(make_event())
    asked.plugin.wants = is_story
    make_due(engine)
    shop.runner.run_due()
    assert ends(engine) == {1: Outcome.DONE}
    assert effects(engine) == ["a"]


def test_a_redelivered_event_is_counted_before_the_condition_is_asked(engine: Engine) -> None:
    """The condition may be what took the process down."""
    attempts: list[list[int]] = []

    def condition(_: Event) -> bool:
        attempts.append(sorted(row.attempts for row in deliveries(engine)))
        return False

    shop = Workshop(engine, wanting(condition), wanting(condition, "b", lane="slow"))
    shop.dispatch(make_event(), redelivered=True)
    assert attempts == []
    assert states(engine) == [(1, "pending", 0), (2, "pending", 0)]
    shop.runner.run_due()
    assert attempts == [[0, 1]]
    assert ends(engine) == {1: Outcome.SKIPPED, 2: Outcome.PENDING}


def test_a_condition_that_never_comes_back_is_asked_no_more_often_than_allowed(
    engine: Engine,
) -> None:
    asked = wanting(refusing, max_attempts=2)
    shop = Workshop(engine, asked)
    shop.dispatch(make_event(), redelivered=True)
    with short_transaction(engine) as connection:
        connection.execute(update(delivery_table).values(attempts=2))
    shop.runner.run_due()
    (row,) = deliveries(engine)
    assert row.state == "dead"
    assert "2 times" in row.error


def test_a_condition_that_fails_for_another_lane_is_tried_again_there(engine: Engine) -> None:
    shop = Workshop(engine, wanting(refusing, lane="slow"))
    shop.dispatch(make_event())
    assert states(engine) == [(1, "retry", 1)]


def test_only_a_condition_of_the_plugins_own_is_asked() -> None:
    class Plain(WorkerTaskBase):
        def handle(self, **everything: Any) -> None: ...

    class Own(Plain):
        def wants(self, event: Event) -> bool:
            return False

    assert loaded(Plain(configuration()), "plain").condition is None
    assert loaded(Own(configuration()), "own").condition is not None
