"""The figures of the benchmarks: a wrong one would not be noticed."""

from __future__ import annotations

import pytest

from benchmarks.harness.latency import percentile
from benchmarks.harness.running import Commit
from benchmarks.harness.summary import summarize, table
from benchmarks.harness.throughput import rate


def commits(*moments: float) -> list[Commit]:
    return [Commit(number, None, moment) for number, moment in enumerate(moments)]


def run(contender: str, kind: str, round: int, speed: float | None) -> dict[str, object]:
    told = {"scenario": "throughput", "processes": 1, "contender": contender, "kind": kind}
    figures = {"error": "broken"} if speed is None else {"events_per_second": speed}
    return {**told, "round": round, **figures}


def test_rows_of_the_first_transaction_are_not_counted_in_the_time_after_it() -> None:
    assert rate(commits(1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 3.0), 0.0) == 2.0


def test_warming_up_is_left_out() -> None:
    slow_start = [0.0, 10.0, *(10.0 + number / 100 for number in range(1, 19))]
    assert rate(commits(*slow_start), 0.05) == pytest.approx(100.0)


def test_what_follows_the_last_part_is_left_out() -> None:
    straggler = [number / 100 for number in range(19)] + [50.0]
    assert rate(commits(*straggler), 0.05, 0.9) == pytest.approx(100.0)


def test_a_percentile_is_a_value_that_was_measured() -> None:
    found = [float(number) for number in range(1, 101)]
    assert percentile(found, 0.5) == 50.0
    assert percentile(found, 0.99) == 99.0
    assert percentile([7.0], 0.99) == 7.0


def test_ratios_are_to_the_fastest_peer_of_the_same_round() -> None:
    runs = [
        run("ours", "ours", 1, 600.0),
        run("slow", "peer", 1, 100.0),
        run("fast", "peer", 1, 200.0),
        run("limit", "bare", 1, 9000.0),
        # A busy moment of the machine: everybody is slower.
        run("ours", "ours", 2, 300.0),
        run("slow", "peer", 2, 50.0),
        run("fast", "peer", 2, 100.0),
        run("limit", "bare", 2, 4500.0),
    ]
    found = {each["contender"]: each for each in summarize(runs)}
    assert found["ours"]["ratio"] == 3.0
    assert found["fast"]["ratio"] == 1.0
    assert found["ours"]["events_per_second"] == 450.0


def test_a_failed_run_has_no_figures_and_is_shown() -> None:
    runs = [run("ours", "ours", 1, None), run("ours", "ours", 2, 100.0)]
    (found,) = summarize(runs)
    assert (found["rounds"], found["errors"], found["events_per_second"]) == (1, 1, 100.0)
    assert "1 failed" in table([found])


def test_a_case_of_failed_runs_alone_has_its_line() -> None:
    (found,) = summarize([run("ours", "ours", 1, None)])
    assert "ours" in table([found])
    assert "1 failed" in table([found])
