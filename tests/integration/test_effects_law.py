"""Whatever a plugin does with its session: the effects that are left are numbered without a gap, in
the order in which they were added, and each has the key that add() said."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from eventworker import effects
from eventworker.effects.effect import key_of
from tests.helpers.databases import empty_tables
from tests.helpers.effects import Mailer, waiting
from tests.helpers.events import make_event
from tests.helpers.plugins import Workshop, loaded, time_limits

STEPS = st.lists(
    st.sampled_from(["add", "add", "commit", "rollback", "nest", "keep", "undo"]), max_size=20
)


@pytest.fixture(autouse=True)
def _limits() -> Iterator[None]:
    with time_limits():
        yield


class Model:
    """What a session would keep: the states that it can go back to, the newest last."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.committed: list[str] = []
        self.nested: list[tuple[Any, list[str]]] = []

    def follow(self, session: Any, step: str, number: int) -> None:
        if step == "add":
            self.said = [*self.said, effects.add(session, number)]
        elif step == "commit":
            session.commit()
            self.committed, self.nested = self.said, []
        elif step == "rollback":
            session.rollback()
            self.said, self.nested = self.committed, []
        elif step == "nest":
            self.nested.append((session.begin_nested(), self.said))
        elif self.nested:
            nested, before = self.nested.pop()
            if step == "keep":
                nested.commit()
            else:
                nested.rollback()
                self.said = before


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=STEPS)
def test_what_is_left_is_numbered_without_a_gap(engine: Engine, steps: list[str]) -> None:
    empty_tables(engine)
    model = Model()

    def body(session: Any, _: Any) -> None:
        for number, step in enumerate(steps):
            model.follow(session, step, number)

    event = make_event()
    Workshop(engine, loaded(Mailer(body))).dispatch(event)
    left = sorted(row.n for row in waiting(engine))
    assert left == list(range(1, len(model.said) + 1))
    assert model.said == [key_of(event.id, "mailer", n) for n in left]
