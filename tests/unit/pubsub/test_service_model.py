"""Whatever steps are taken, by whomever: the service does what a plain model of XEP-0060 does."""

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import Engine

from tests.helpers.pubsub_machine import Machine


@pytest.mark.parametrize("multi_subscribe", [False, True], ids=["single", "multi"])
def test_the_service_does_what_the_model_does(sqlite_engine: Engine, multi_subscribe: bool) -> None:
    run_state_machine_as_test(
        lambda: Machine(sqlite_engine, multi_subscribe),
        settings=settings(max_examples=30, stateful_step_count=30, deadline=None),
    )
