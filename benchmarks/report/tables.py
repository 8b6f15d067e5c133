"""The tables, as rows of text for files that ``csv-table`` includes."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from benchmarks.harness.summary import SPEED
from benchmarks.report.results import Record, Results, median_run

Table = list[list[str]]

#: Rows of a backlog's table for each number of processes.
_PARTS = 10


def build(results: Results) -> dict[str, Table]:
    """Name to table, the first row being its head; what was not measured has none."""
    found: dict[str, Table] = {}
    for scenario in results.scenarios:
        records = results.summary(scenario)
        steady = [record for record in records if "rate" in record]
        if steady:
            found[scenario if len(steady) == len(records) else f"{scenario}-latency"] = by(
                "rate", lambda rate: f"{rate} events/s", _LATENCY, steady
            )
        others = [record for record in records if "rate" not in record]
        if scenario == "backlog":
            found[scenario] = backlog(results.runs)
        elif scenario == "failures":
            found[scenario] = by(
                "processes",
                processes,
                _FAILURES,
                others,
                ("Contender", lambda r: f"{contender(r)}, {r['failing']} % fail"),
            )
        elif scenario == "plugins":
            found[scenario] = by(
                "processes", processes, _PLUGINS, others, ("Plugins", lambda r: str(r["plugins"]))
            )
        elif others:
            found[scenario] = by("processes", processes, _SPEED, others)
    if results.runs:
        found["machine"] = machine(results)
        found["versions"] = versions(results)
        found["failed-runs"] = failed(results)
    for script, rows in results.scripts.items():
        found[script] = [list(rows[0]), *(list(map(cell, row.values())) for row in rows)]
    return found


def write(tables: dict[str, Table], folder: Path) -> list[Path]:
    """Write each as ``name.csv``."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, table in tables.items():
        files.append(folder / f"{name}.csv")
        with files[-1].open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(table)
    return files


#: Columns that a table repeats for each value of what is varied: the figure, its title, its format.
Columns = Sequence[tuple[str, str, str]]
_SPEED: Columns = (
    (SPEED, "events/s", ",.0f"),
    ("ratio", "to best peer", ".2f"),
    ("cpu_ms_per_event", "CPU ms", ".3f"),
)
_FAILURES: Columns = (
    *_SPEED,
    ("events_per_second_before_the_end", "events/s without the end", ",.0f"),
)
_PLUGINS: Columns = (_SPEED[0], _SPEED[2])
_LATENCY: Columns = (
    ("p50_ms", "p50 ms", ",.2f"),
    ("p99_ms", "p99 ms", ",.2f"),
    ("cpu_ms_per_event", "CPU ms", ".3f"),
)


def by(
    varied: str,
    told: Callable[[int], str],
    columns: Columns,
    records: Sequence[Record],
    head: tuple[str, Callable[[Record], str]] | None = None,
) -> Table:
    """A row for each contender, with its figures side by side for each value of `varied`.

    A case of which every run failed says so; what was not measured is a dash.

    :param told: what the titles call a value of `varied`.
    :param head: the title of the first column, and what it says of a record.
    """
    title, name = head or ("Contender", contender)
    values = sorted({record[varied] for record in records})
    rows: dict[str, dict[int, Record]] = {}
    for record in records:
        rows.setdefault(name(record), {})[record[varied]] = record
    # Not every contender has each figure, but where none has it, there is no column.
    columns = [column for column in columns if any(column[0] in record for record in records)]
    columns = columns or _SPEED[:1]
    table = [[title, *(f"{told(v)}: {text}" for v in values for _, text, _ in columns)]]
    table[0] += ["RSS MB", "Runs"]
    for first, cases in rows.items():
        cells = [
            figure(cases.get(value), column, how) for value in values for column, _, how in columns
        ]
        largest = max(cases.values(), key=lambda record: float(record.get("rss_mb", 0.0)))
        table.append([first, *cells, figure(largest, "rss_mb", ",.0f"), runs(cases.values())])
    return table


def figure(record: Record | None, name: str, how: str) -> str:
    """One cell."""
    if record is None:
        return "-"
    if not record["rounds"]:
        return "failed"
    return format(record[name], how) if name in record else "-"


def runs(records: Iterable[Record]) -> str:
    """How many the medians are of, and of how many that were made."""
    counted = [(record["rounds"], record["errors"]) for record in records]
    good, bad = map(sum, zip(*counted, strict=True))
    return f"{good} of {good + bad}" if bad else str(good)


def contender(record: Record) -> str:
    """Its name, as reStructuredText: ours are bold, what is no peer says so."""
    name = str(record["contender"])
    return {"ours": f"**{name}**", "bare": f"{name} (limit)"}.get(record["kind"], name)


def processes(number: int) -> str:
    """In words."""
    return "1 process" if number == 1 else f"{number} processes"


def backlog(all_runs: Sequence[Record]) -> Table:
    """Rate and memory while a queue gets shorter, of the run in the middle."""
    table = [["Processes", "Events done", "Seconds", "Events/s since the row before", "RSS MB"]]
    mine = [run for run in all_runs if run["scenario"] == "backlog"]
    for number in sorted({run["processes"] for run in mine}):
        run = median_run([run for run in mine if run["processes"] == number])
        if run is None:
            table.append([str(number), *["failed"] * 4])
            continue
        before = (0.0, 0.0)
        for seconds, done, rss in _spread(run["samples"], run["events"]):
            speed = (done - before[1]) / (seconds - before[0]) if seconds > before[0] else 0.0
            row = (f"{done:,}", f"{seconds:,.0f}", f"{speed:,.0f}", f"{rss:,.0f}")
            table.append([str(number), *row])
            before = (seconds, done)
    return table


def _spread(samples: Sequence[tuple[float, int, float]], events: int) -> list[Sequence[float]]:
    """Of samples the first one after each tenth of all events."""
    chosen: list[Sequence[float]] = []
    for part in range(1, _PARTS + 1):
        first = next((each for each in samples if each[1] * _PARTS >= events * part), samples[-1])
        if not chosen or first[1] > chosen[-1][1]:
            chosen.append(first)
    return chosen


def machine(results: Results) -> Table:
    """Where it was measured."""
    facts = {**results.machine, **results.servers}
    return [["Fact", "Value"], *([name, str(value)] for name, value in facts.items())]


def versions(results: Results) -> Table:
    """What was measured: of each peer's folder, the version of what the folder is named after, and
    of the database's libraries that all share."""
    shared = ("sqlalchemy", "psycopg", "pika")
    table = [["Peer", "Version", *shared]]
    for peer, all_of_it in sorted(results.versions.items()):
        known = {name.lower().replace("_", "-"): text for name, text in all_of_it.items()}
        own = known.get(peer.replace("_", "-"), "-")
        table.append([peer, own, *(known.get(name, "-") for name in shared)])
    return table + [[peer, "cannot be installed", "-", "-", "-"] for peer in results.missing]


def failed(results: Results) -> Table:
    """Each run without figures, with its reason; one row says that there is none."""
    table = [["Scenario", "Contender", "Reason"]]
    for run in results.failed():
        lines = str(run["error"]).strip().splitlines()
        table.append([run["scenario"], contender(run), f"``{lines[0]}``" if lines else "-"])
    return table if len(table) > 1 else [*table, ["none", "none", "no run failed"]]


def cell(value: object) -> str:
    """Of a script's row: numbers with three digits at least."""
    if not isinstance(value, int | float):
        return str(value)
    if 0 < abs(value) < 1:
        return f"{value:.3g}"
    digits = 0 if abs(value) >= 100 or value == int(value) else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"
