"""The tables of the comparison: made of a small file of results that is written by hand."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import figures
from benchmarks.report import tables
from benchmarks.report.results import Mixture, load, median_run

Record = dict[str, Any]
MACHINE = {"processors": 2, "python": "3.11.2"}


def run(contender: str, number: int, speed: float | None, **more: Any) -> Record:
    """One run; without a speed it has failed."""
    kinds = {"eventworker": "ours", "raw": "bare"}
    told = {
        "scenario": "throughput",
        "contender": contender,
        "kind": kinds.get(contender, "peer"),
        "processes": 1,
        "round": number,
    }
    if speed is None:
        return {**told, "error": "RuntimeError: 3 rows twice\nand a log", **more}
    usage = {"cpu_ms_per_event": 0.5, "rss_mb": 60.4}
    return {**told, "events_per_second": speed, **usage, **more}


def written(file: Path, runs: list[Record], machine: Record = MACHINE) -> Path:
    """A file as ``python -m benchmarks --out`` writes it."""
    results = {
        "machine": machine,
        "servers": {"postgresql": "15.1"},
        "versions": {"kombu": {"kombu": "5.4.0", "SQLAlchemy": "2.0.1"}},
        "not_installable": {"nameko": "no such version"},
        "summary": [],
        "runs": runs,
    }
    file.write_text(json.dumps(results))
    return file


def tables_of(folder: Path, runs: list[Record]) -> dict[str, tables.Table]:
    """What is built of these runs."""
    return tables.build(load([written(folder / "results.json", runs)]))


def column(table: tables.Table, title: str) -> dict[str, str]:
    """First cell of each row to its cell in that column."""
    return {row[0]: row[table[0].index(title)] for row in table[1:]}


def test_a_figure_is_the_median_of_its_rounds(tmp_path: Path) -> None:
    speeds = (1000.0, 9000.0, 1300.0)
    table = tables_of(tmp_path, [run("kombu", n, speed) for n, speed in enumerate(speeds, 1)])
    assert column(table["throughput"], "1 process: events/s") == {"kombu": "1,300"}
    assert column(table["throughput"], "Runs") == {"kombu": "3"}


def test_a_ratio_is_to_the_fastest_peer_of_the_same_round(tmp_path: Path) -> None:
    runs = [
        *(run("kombu", 1, 1000.0), run("celery", 1, 500.0), run("eventworker", 1, 4000.0)),
        *(run("kombu", 2, 100.0), run("celery", 2, 200.0), run("eventworker", 2, 1200.0)),
        *(run("kombu", 3, 1000.0), run("celery", 3, 100.0), run("eventworker", 3, 5000.0)),
        *(run("raw", 1, 90000.0), run("raw", 2, 90000.0), run("raw", 3, 90000.0)),
    ]
    ratios = column(tables_of(tmp_path, runs)["throughput"], "1 process: to best peer")
    # Of the medians it would be 4000 / 1000; what is bare is nobody's peer.
    assert ratios["**eventworker**"] == "5.00"
    assert ratios["kombu"] == "1.00"
    assert ratios["raw (limit)"] == "90.00"


def test_rounds_of_two_files_are_not_the_same_round(tmp_path: Path) -> None:
    first = written(tmp_path / "a.json", [run("kombu", 1, 1000.0), run("eventworker", 1, 2000.0)])
    other = written(tmp_path / "b.json", [run("kombu", 1, 100.0), run("eventworker", 1, 400.0)])
    table = tables.build(load([first, other]))["throughput"]
    assert column(table, "1 process: to best peer")["**eventworker**"] == "3.00"
    assert column(table, "Runs")["**eventworker**"] == "2"


def test_a_failed_run_is_counted_and_not_averaged_in(tmp_path: Path) -> None:
    runs = [run("kombu", 1, 1000.0), run("kombu", 2, None), run("kombu", 3, 1200.0)]
    # Even one that had figures before it failed.
    runs.append({**run("kombu", 4, None), "events_per_second": 50000.0})
    found = tables_of(tmp_path, runs)
    assert column(found["throughput"], "1 process: events/s") == {"kombu": "1,100"}
    assert column(found["throughput"], "Runs") == {"kombu": "2 of 4"}
    reason = "``RuntimeError: 3 rows twice``"
    assert found["failed-runs"][1:] == [["throughput", "kombu", reason]] * 2


def test_a_failed_run_is_nobodys_best_peer(tmp_path: Path) -> None:
    failed = {**run("celery", 1, None), "events_per_second": 50000.0}
    runs = [run("kombu", 1, 1000.0), failed, run("eventworker", 1, 3000.0)]
    ratios = column(tables_of(tmp_path, runs)["throughput"], "1 process: to best peer")
    assert ratios["**eventworker**"] == "3.00"


def test_a_case_of_which_every_run_failed_says_so(tmp_path: Path) -> None:
    runs = [run("kombu", 1, None), run("celery", 1, 900.0), run("kombu", 1, 800.0, processes=2)]
    table = tables_of(tmp_path, runs)["throughput"]
    assert column(table, "1 process: events/s") == {"kombu": "failed", "celery": "900"}
    assert column(table, "2 processes: events/s") == {"kombu": "800", "celery": "-"}
    assert column(table, "Runs") == {"kombu": "1 of 2", "celery": "1"}


def test_where_everything_failed_there_is_a_table_all_the_same(tmp_path: Path) -> None:
    table = tables_of(tmp_path, [run("kombu", 1, None)])["throughput"]
    assert column(table, "1 process: events/s") == {"kombu": "failed"}
    assert column(table, "RSS MB") == {"kombu": "failed"}


def test_without_failures_the_table_of_failed_runs_has_a_row(tmp_path: Path) -> None:
    found = tables_of(tmp_path, [run("kombu", 1, 1000.0)])["failed-runs"]
    assert found[1:] == [["none", "none", "no run failed"]]


def test_what_was_not_measured_has_no_table(tmp_path: Path) -> None:
    found = tables_of(tmp_path, [run("kombu", 1, 1000.0)])
    assert set(found) == {"throughput", "machine", "versions", "failed-runs"}


def test_latency_stands_side_by_side_by_rate(tmp_path: Path) -> None:
    def at(rate: int, p50: float, scenario: str = "latency") -> Record:
        figures = {"p50_ms": p50, "p99_ms": 2 * p50, "cpu_ms_per_event": 0.4, "rss_mb": 50.0}
        told = {"scenario": scenario, "contender": "kombu", "kind": "peer", "round": 1}
        return {**told, "processes": 1, "rate": rate, **figures}

    runs = [at(200, 1.5), at(500, 2.0), at(200, 7.0, "embedded"), run("kombu", 1, 1000.0)]
    runs.append(run("kombu", 1, 1000.0, scenario="embedded"))
    found = tables_of(tmp_path, runs)
    assert column(found["latency"], "200 events/s: p50 ms") == {"kombu": "1.50"}
    assert column(found["latency"], "500 events/s: p99 ms") == {"kombu": "4.00"}
    # A scenario that has both has a table for each.
    assert column(found["embedded-latency"], "200 events/s: p99 ms") == {"kombu": "14.00"}
    assert column(found["embedded"], "1 process: events/s") == {"kombu": "1,000"}


def test_plugins_and_failures_are_told_by_their_number(tmp_path: Path) -> None:
    runs = [run("eventworker", 1, 900.0 / n, scenario="plugins", plugins=n) for n in (1, 5)]
    runs += [run("kombu", 1, 900.0, scenario="failures", failing=part) for part in (0, 10)]
    found = tables_of(tmp_path, runs)
    assert column(found["plugins"], "1 process: events/s") == {"1": "900", "5": "180"}
    assert column(found["failures"], "1 process: events/s") == {
        "kombu, 0 % fail": "900",
        "kombu, 10 % fail": "900",
    }


def test_a_backlog_is_shown_by_its_run_in_the_middle(tmp_path: Path) -> None:
    samples = [[1.0, 50, 60.0], [2.0, 400, 61.0], [4.0, 1000, 62.0]]
    more = {"scenario": "backlog", "events": 1000}
    runs = [
        run("eventworker", 1, 500.0, samples=[[9.0, 1000, 1.0]], **more),
        run("eventworker", 2, 250.0, samples=samples, **more),
        run("eventworker", 3, 100.0, samples=[[8.0, 1000, 2.0]], **more),
        run("eventworker", 4, None, **more),
    ]
    assert tables_of(tmp_path, runs)["backlog"][1:] == [
        ["1", "400", "2", "200", "61"],
        ["1", "1,000", "4", "300", "62"],
    ]
    assert median_run(runs[3:]) is None


def test_files_of_two_machines_are_refused(tmp_path: Path) -> None:
    one = written(tmp_path / "a.json", [])
    other = written(tmp_path / "b.json", [], {**MACHINE, "processors": 64})
    with pytest.raises(Mixture, match="processors"):
        load([one, other])


def test_a_script_has_the_table_that_it_wrote(tmp_path: Path) -> None:
    row = {"Who": "relay", "events/s": 8123.4, "us": 0.00412}
    figures.write(tmp_path / "r.json", "relay", [row])
    results = load([tmp_path / "r.json"])
    assert tables.build(results) == {
        "relay": [["Who", "events/s", "us"], ["relay", "8,123", "0.00412"]]
    }
    with pytest.raises(Mixture, match="relay"):
        load([tmp_path / "r.json", tmp_path / "r.json"])


def test_a_table_is_written_as_csv(tmp_path: Path) -> None:
    (file,) = tables.write({"speed": [["a", "b"], ["1,300", "x"]]}, tmp_path / "new")
    assert file.name == "speed.csv"
    with file.open(newline="") as opened:
        assert list(csv.reader(opened)) == [["a", "b"], ["1,300", "x"]]


def test_the_same_results_give_the_same_plots(tmp_path: Path) -> None:
    plots = pytest.importorskip(
        "benchmarks.report.plots", reason="pip install 'eventworker[bench]'"
    )
    steady = {"p50_ms": 1.0, "p99_ms": 9.0, "rate": 200, "scenario": "latency"}
    samples = [[1.0, 50, 60.0], [2.0, 400, 61.0], [4.0, 1000, 62.0]]
    runs = [
        *(run("kombu", 1, 1000.0), run("eventworker", 1, 3000.0), run("celery", 1, None)),
        {**run("kombu", 1, 1.0), **steady},
        run("eventworker", 1, 250.0, scenario="backlog", events=1000, samples=samples),
        run("kombu", 1, None, scenario="mixed"),
    ]
    results = load([written(tmp_path / "results.json", runs)])
    once, again = (plots.draw(results, tmp_path / name) for name in ("once", "again"))
    assert [file.name for file in once] == ["throughput.svg", "latency.svg", "backlog.svg"]
    assert [file.read_bytes() for file in once] == [file.read_bytes() for file in again]
    # Text is text, and whoever failed has no bar.
    assert ">eventworker</text>" in once[0].read_text()
    assert "celery" not in once[0].read_text()
