"""`eventworker.testing`: what plugins add to do outside is done when the test says so."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from eventworker import Event, Reject, WorkerTaskBase, effects
from eventworker.testing import Ending, Harness, Outcome, make_event


class Mailer(WorkerTaskBase):
    """Adds as many effects as the event has, and then does what `act` says."""

    act: Callable[[effects.Effect], None] | None = None

    def handle(self, session: Any, event: Event) -> None:
        for number in range(event.resource_id):
            effects.add(session, {"number": number})

    def perform(self, effect: effects.Effect) -> None:
        if self.act is not None:
            self.act(effect)


MakeHarness = Callable[..., Harness]


@pytest.fixture
def make_harness() -> Iterator[MakeHarness]:
    with ExitStack() as stack:
        yield lambda **more: stack.enter_context(Harness(Mailer, "mailer", **more))


def test_effects_are_performed_when_the_test_says_so(
    make_harness: MakeHarness, database_url: str
) -> None:
    harness = make_harness(url=database_url)
    event = make_event(resource_id=40)
    assert harness.perform() == []
    harness.deliver_twice(event)
    performed = harness.perform()
    assert [each.effect.payload["number"] for each in performed] == list(range(40))
    assert {each.ending for each in performed} == {Ending(Outcome.DONE)}
    assert performed[0].effect.key == f"{event.id}/mailer/1"
    assert harness.perform() == []


def test_after_a_crash_an_effect_comes_again_under_its_key(
    make_harness: MakeHarness, database_url: str
) -> None:
    keys: list[str] = []
    harness = make_harness(url=database_url)
    harness.plugin.act = lambda effect: keys.append(effect.key)
    harness.crash(make_event(resource_id=1))
    assert harness.perform() == []  # its work was undone, so there is no effect
    harness.deliver(make_event(resource_id=1))
    (crashed,) = harness.perform(crash=True)
    assert (crashed.ending.outcome, crashed.ending.attempts) == (Outcome.RETRY, 1)
    (done,) = harness.perform()
    assert done.ending.done
    assert [crashed.effect.key] * 2 == keys
    assert done.effect.attempt == 2


def test_what_became_of_an_effect_is_told(make_harness: MakeHarness) -> None:
    def refuse(effect: effects.Effect) -> None:
        raise ValueError("no") if effect.n == 1 else Reject("never")

    harness = make_harness(options={"effect_max_attempts": 3})
    harness.plugin.act = refuse
    harness.deliver(make_event(resource_id=2))
    retrying, dead = harness.perform()
    assert (retrying.ending.outcome, retrying.ending.error) == (Outcome.RETRY, "ValueError: no")
    assert retrying.ending.delay is not None
    assert 0 < retrying.ending.delay < 2
    assert (dead.ending.outcome, dead.ending.error) == (Outcome.DEAD, "rejected: never")
    assert [len(harness.perform()) for _ in range(3)] == [1, 1, 0]
