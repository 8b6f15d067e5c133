"""After a death: the call is blamed, the rest of what the process held is free and uncounted."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from eventworker import config, outbox
from eventworker.db import short_transaction
from eventworker.effects import queue as effects_queue
from eventworker.engine.blame import settle_estate
from eventworker.engine.child import Child
from eventworker.engine.registered import Debts, RegistryView
from eventworker.engine.slot import Call, Slot
from eventworker.inbox import backlog, registry
from eventworker.inbox.claims import FirstClaim, Outcome, run_once
from eventworker.outbox import queue
from tests.helpers.configuration import configuration
from tests.helpers.databases import deliveries, effects, outcomes, write
from tests.helpers.effects import Mailer, add, waiting
from tests.helpers.events import TRACEPARENT, make_event
from tests.helpers.plugins import Plugin, Workshop, loaded, time_limits
from tests.servers import wait_until

DEAD = "host/1/666"


@pytest.fixture(autouse=True)
def _limits() -> Iterator[None]:
    with time_limits():
        yield


@pytest.fixture
def conf(engine: Engine) -> Any:
    with short_transaction(engine) as connection:
        registry.sync(connection, ["culprit", "innocent"], [])
    url = engine.url.render_as_string(hide_password=False)
    return configuration(database={"connection": url})


def settle(conf: Any, event_id: Any = None, plugin: int = 1) -> None:
    call = Call(event_id, plugin, 5.0, 0.0) if event_id else None
    settle_estate(conf, Child(Slot()), DEAD, call, "killed by signal SIGSEGV during the call")


def test_a_first_call_that_killed_its_process_is_one_failed_attempt(
    engine: Engine, conf: Any
) -> None:
    event = make_event()
    settle(conf, event.id)
    (row,) = deliveries(engine)
    assert (row.event_id, row.plugin, row.state, row.attempts) == (event.id, 1, "retry", 1)
    assert "SIGSEGV" in row.error


def test_a_first_call_that_killed_its_process_is_made_again_though_the_event_never_comes_back(
    engine: Engine, conf: Any
) -> None:
    """The broker may have lost the delivery, or the reconciler was the one that died."""
    config.plugin_group(conf, "culprit")
    conf.set_override("backoff", 0.0, group="plugin:culprit")
    with Session(engine) as session, session.begin():
        event = outbox.record(
            session, make_event(traceparent=TRACEPARENT, resource_id=1), ordered=True
        )
    settle(conf, event.id)

    def claimed() -> list[backlog.Due]:
        with short_transaction(engine) as connection:
            return backlog.claim(connection, [1], 10, 60.0, "me")

    (due,) = wait_until(claimed, 10, "it is never due")
    assert (due.event, due.attempts) == (event, 2)
    (row,) = deliveries(engine)
    assert (row.stream, row.seq) == ("story/1", 1)


def test_what_else_the_process_had_claimed_is_free_and_uncounted(engine: Engine, conf: Any) -> None:
    fatal, innocent = make_event(), make_event()
    with short_transaction(engine) as connection:
        backlog.park(connection, fatal, [1])
        backlog.park(connection, innocent, [2])
        assert len(backlog.claim(connection, [1, 2], 10, 60.0, DEAD)) == 2
        outbox.record(connection, make_event())
        assert len(queue.claim(connection, 10, 60.0, DEAD)) == 1
    settle(conf, fatal.id)
    assert [(row.plugin, row.state, row.attempts) for row in deliveries(engine)] == [
        (1, "retry", 1),
        (2, "pending", 0),
    ]
    with short_transaction(engine) as connection:
        assert [due.plugin for due in backlog.claim(connection, [1, 2], 10, 60.0, "me")] == [2]
        assert len(queue.claim(connection, 10, 60.0, "me")) == 1


def test_the_plugins_own_limit_decides_when_it_is_a_dead_letter(engine: Engine, conf: Any) -> None:
    config.plugin_group(conf, "culprit")
    conf.set_override("max_attempts", 1, group="plugin:culprit")
    event, other = make_event(), make_event()
    settle(conf, event.id)
    settle(conf, other.id, plugin=2)
    assert {plugin: end for (_, plugin), end in outcomes(engine).items()} == {
        1: Outcome.DEAD,
        2: Outcome.RETRY,
    }


def test_a_death_after_the_commit_changes_nothing(engine: Engine, conf: Any) -> None:
    event = make_event()
    run_once(engine, FirstClaim(event.id, 1), lambda session: write(session, "a"))
    settle(conf, event.id)
    assert outcomes(engine) == {(event.id, 1): Outcome.DONE}
    assert deliveries(engine) == []
    assert effects(engine) == ["a"]


def test_a_death_that_nobody_is_to_blame_for_only_frees(engine: Engine, conf: Any) -> None:
    with short_transaction(engine) as connection:
        backlog.park(connection, make_event(), [1])
        backlog.claim(connection, [1], 10, 60.0, DEAD)
    settle(conf)
    assert [(row.state, row.attempts) for row in deliveries(engine)] == [("pending", 0)]


def test_an_effect_that_killed_its_process_has_failed_an_attempt_and_its_neighbours_have_not(
    engine: Engine, conf: Any
) -> None:
    event = make_event()
    Workshop(engine, loaded(Mailer(add("fatal", "innocent"), name="culprit"))).dispatch(event)
    with short_transaction(engine) as connection:
        assert len(effects_queue.claim(connection, 1, 10, 60.0, DEAD)) == 2
    call = Call(event.id, 1, 5.0, 0.0, n=1)
    settle_estate(conf, Child(Slot()), DEAD, call, "killed by signal SIGSEGV during the call")
    fatal, innocent = waiting(engine)
    assert (fatal.state, fatal.attempts, fatal.owner) == ("retry", 1, None)
    assert "SIGSEGV" in fatal.error
    assert (innocent.state, innocent.attempts, innocent.owner) == ("pending", 0, None)
    assert [row.plugin for row in deliveries(engine)] == [2]


def test_the_limit_for_effects_decides_when_such_a_one_is_a_dead_letter(
    engine: Engine, conf: Any
) -> None:
    config.plugin_group(conf, "culprit")
    conf.set_override("effect_max_attempts", 1, group="plugin:culprit")
    event = make_event()
    Workshop(engine, loaded(Mailer(add("fatal"), name="culprit"))).dispatch(event)
    with short_transaction(engine) as connection:
        effects_queue.claim(connection, 1, 10, 60.0, DEAD)
    settle_estate(conf, Child(Slot()), DEAD, Call(event.id, 1, 5.0, 0.0, n=1), "killed")
    assert [row.state for row in waiting(engine)] == ["dead"]


def test_a_death_after_an_effect_was_written_off_changes_nothing(engine: Engine, conf: Any) -> None:
    settle_estate(conf, Child(Slot()), DEAD, Call(make_event().id, 1, 5.0, 0.0, n=1), "killed")
    assert waiting(engine) == deliveries(engine) == []


def test_the_view_of_the_registry_is_no_older_than_it_may_be(engine: Engine, conf: Any) -> None:
    here = loaded(Plugin("Culprit"), lane="main")
    slow = loaded(Plugin("innocent"), lane="slow")
    fresh = RegistryView(engine, [here, slow], "main", 0.0)
    patient = RegistryView(engine, [here, slow], "main", 3600.0)
    for view in (fresh, patient):
        debts = view.debts()
        assert [number for number, _ in debts.here] == [1]
        assert (owed_elsewhere(debts), debts.off) == ([2], [])
    with short_transaction(engine) as connection:
        registry.sync(connection, ["new"], ["innocent"])
    assert (owed_elsewhere(fresh.debts()), fresh.debts().off) == ([3], [2])
    assert (owed_elsewhere(patient.debts()), patient.debts().off) == ([2], [])


def owed_elsewhere(debts: Debts) -> list[int]:
    return [each.number for each in debts.elsewhere]
