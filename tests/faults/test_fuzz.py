"""A minute of fuzzing. ``make fuzz`` takes longer."""

import pytest

from tests.fuzz.__main__ import fuzz_all
from tests.fuzz.targets import TARGETS

SECONDS = 60


@pytest.mark.timeout(SECONDS * 10)
def test_a_minute_of_fuzzing_breaks_no_law() -> None:
    results = list(fuzz_all(SECONDS, list(TARGETS)))
    assert {result.name: result.failures for result in results} == dict.fromkeys(TARGETS, ())
    # A fuzzer that tries nothing finds nothing.
    assert all(result.runs > 1000 for result in results), results
