"""Whatever steps are taken, by whomever: the service does what a plain model of XEP-0060 does."""

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import Engine

from tests.helpers.pubsub_machine import Machine


@pytest.mark.row("S1", "S3", "S5", "S7", "S8", "S9", "S10", "S11", "S12", "S14", "S15", "S16")
@pytest.mark.row("U1", "U2", "U3", "O2", "I1", "P2", "P3", "P6", "P9", "P10", "P13", "P14")
@pytest.mark.row("R1", "R2", "R3", "C1", "C3", "N2", "N4", "X1", "X2", "G1", "Q2", "Q4")
@pytest.mark.row("M2", "M3", "M4", "A2", "A4", "A5")
@pytest.mark.parametrize("multi_subscribe", [False, True], ids=["single", "multi"])
def test_the_service_does_what_the_model_does(sqlite_engine: Engine, multi_subscribe: bool) -> None:
    run_state_machine_as_test(
        lambda: Machine(sqlite_engine, multi_subscribe),
        settings=settings(max_examples=30, stateful_step_count=30, deadline=None),
    )


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("multi_subscribe", [False, True], ids=["single", "multi"])
def test_it_does_so_for_long(sqlite_engine: Engine, multi_subscribe: bool) -> None:
    run_state_machine_as_test(
        lambda: Machine(sqlite_engine, multi_subscribe),
        settings=settings(max_examples=1000, stateful_step_count=50, deadline=None),
    )
