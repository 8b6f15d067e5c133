"""Events per second, by a clock that the test winds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventworker.cli.pace import Pace


class Clock:
    """Time that passes when somebody sleeps, too long by `late`, or works."""

    def __init__(self, late: float = 0.0) -> None:
        self.now = 1000.0
        self.late = late
        self.sleeps: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds + self.late


def paced(per_second: float | None, clock: Clock) -> Pace:
    return Pace(per_second, clock, clock.sleep)


def test_without_a_rate_nothing_waits() -> None:
    clock = Clock()
    pace = paced(None, clock)
    for _ in range(10):
        pace.wait(500)
    assert clock.sleeps == []
    assert pace.round(500) == 500


@given(
    st.floats(0.01, 1e5), st.lists(st.integers(1, 500), min_size=2, max_size=50), st.floats(0, 1)
)
def test_the_rate_is_exact_however_late_each_sleep_ends(
    rate: float, rounds: list[int], lateness: float
) -> None:
    clock = Clock()
    pace = paced(rate, clock)
    began, sent = clock.now, 0
    for events in rounds:
        clock.late = lateness * events / rate * 0.9  # and still in time for the round after
        pace.wait(events)
        due = began + sent / rate
        assert due - 1e-6 <= clock.now <= due + clock.late + max(rounds) / rate
        sent += events
    clock.late = 0.0
    pace.wait(1)
    assert clock.now == pytest.approx(began + sent / rate, abs=1.0 + max(rounds) / rate)


def test_a_late_round_is_caught_up() -> None:
    clock = Clock()
    pace = paced(10.0, clock)
    for number in range(100):
        pace.wait(1)
        if number == 50:
            clock.now += 0.75  # the broker was slow
    assert clock.now == pytest.approx(1000.0 + 99 / 10)


def test_after_a_long_stall_one_second_is_caught_up_and_no_more() -> None:
    clock = Clock()
    pace = paced(10.0, clock)
    pace.wait(1)
    clock.now += 3600.0
    stalled = clock.now
    went = []
    for _ in range(30):
        pace.wait(1)
        went.append(clock.now - stalled)
    assert len([at for at in went if at < 0.05]) == 10 + 1  # and the one that is due just now
    assert went[-1] == pytest.approx(19 / 10)


@pytest.mark.parametrize(
    ("rate", "size"), [(0.5, 1), (1, 1), (19, 1), (100, 10), (5000, 500), (1e6, 500)]
)
def test_a_round_is_a_tenth_of_a_second(rate: float, size: int) -> None:
    assert paced(rate, Clock()).round(500) == size
