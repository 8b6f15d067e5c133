"""When a consumer has worked for long enough."""

import pytest

from eventworker.engine.wear import Wear, resident

MIB = 2**20


def test_without_limits_nobody_is_worn_out() -> None:
    wear = Wear(0, 0, memory=lambda: 10**15)
    wear.count(10**9)
    assert wear.reason() == ""


def test_a_number_of_events_is_reached_at_the_latest_when_it_is_said() -> None:
    for _ in range(100):
        wear = Wear(0, 100)
        wear.count(89)
        assert wear.reason() == ""
        wear.count(11)
        assert "100 events" in wear.reason()


def test_one_event_per_process_is_one() -> None:
    wear = Wear(0, 1)
    assert wear.reason() == ""
    wear.count()
    assert wear.reason()


def test_memory_counts_when_the_process_has_worked() -> None:
    sizes = iter([100 * MIB, 201 * MIB])
    wear = Wear(200, 0, memory=lambda: next(sizes))
    assert wear.reason() == ""
    wear.count()
    assert wear.reason() == (
        "it has 201 MiB of memory, and max_consumer_rss is 200 MiB (events handled: 1)"
    )


def test_a_process_that_begins_above_the_limit_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    wear = Wear(50, 0, memory=lambda: 60 * MIB)
    wear.count()
    assert wear.reason() == ""
    assert "60 MiB already" in caplog.text


def test_this_process_has_a_size() -> None:
    before = resident()
    kept = b"x" * (64 * MIB)
    assert resident() - before > 60 * MIB
    assert len(kept) == 64 * MIB


def test_a_memory_that_cannot_be_looked_at_ends_nobody() -> None:
    """As when no descriptor is left."""
    answers: list[int] = [0]

    def memory() -> int:
        if not answers:
            raise OSError("too many open files")
        return answers.pop()

    wear = Wear(1, 0, memory)
    wear.count()
    assert wear.reason() == ""
