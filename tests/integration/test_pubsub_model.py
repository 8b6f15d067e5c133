"""The same steps as in tests/unit/pubsub/test_service_model.py, where the SQL is another one."""

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import Engine

from tests.helpers.pubsub_machine import Machine


@pytest.mark.parametrize("kind", ["postgres", "maria"])
def test_the_service_does_what_the_model_does(kind: str, request: pytest.FixtureRequest) -> None:
    engine: Engine = request.getfixturevalue(f"{kind}_engine")
    run_state_machine_as_test(
        lambda: Machine(engine, multi_subscribe=True),
        settings=settings(max_examples=10, stateful_step_count=20, deadline=None),
    )
