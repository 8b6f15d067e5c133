"""Medians over the rounds, and ratios to the fastest peer of the same round."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

Record = dict[str, Any]

#: What is ours, a peer's or bare; and all else that a run is told by.
_TOLD_BY = ("scenario", "processes", "rate", "plugins", "failing", "contender", "kind")
SPEED = "events_per_second"
#: Column of a table: the name of the figure, its title, its format.
COLUMNS = (
    (SPEED, "events/s", ".0f"),
    ("events_per_second_before_the_end", "without the end", ".0f"),
    ("ratio", "to best peer", ".2f"),
    ("p50_ms", "p50 ms", ".2f"),
    ("p99_ms", "p99 ms", ".2f"),
    ("cpu_ms_per_event", "CPU ms", ".3f"),
    ("rss_mb", "RSS MB", ".0f"),
)


def summarize(runs: Iterable[Record]) -> list[Record]:
    """One record for each case, with the medians of its figures; `errors` are its failed runs."""
    runs = list(runs)
    cases: dict[tuple[Any, ...], list[Record]] = {}
    for run in runs:
        cases.setdefault(tuple(run.get(name) for name in _TOLD_BY), []).append(run)
    best = _best_peers(runs)
    found = []
    for told_by, all_of_it in cases.items():
        good = [run for run in all_of_it if "error" not in run]
        record = {
            name: value for name, value in zip(_TOLD_BY, told_by, strict=True) if value is not None
        }
        record |= {"rounds": len(good), "errors": len(all_of_it) - len(good)}
        for name, _, _ in COLUMNS:
            figures = [run[name] for run in good if name in run]
            if figures:
                record[name] = statistics.median(figures)
        ratios = [run[SPEED] / best[_beside(run)] for run in good if _beside(run) in best]
        if ratios:
            record["ratio"] = statistics.median(ratios)
        found.append(record)
    return found


def _beside(run: Record) -> tuple[Any, ...]:
    """What the runs have in common that are compared: of one round, at one thing."""
    return (run["round"], *(run.get(name) for name in _TOLD_BY[:-2]))


def _best_peers(runs: Iterable[Record]) -> dict[tuple[Any, ...], float]:
    best: dict[tuple[Any, ...], float] = {}
    for run in runs:
        if run["kind"] == "peer" and SPEED in run and "error" not in run:
            key = _beside(run)
            best[key] = max(best.get(key, 0.0), run[SPEED])
    return best


def table(summary: Sequence[Record]) -> str:
    """The summary as text: a table for each scenario and what was varied in it."""
    blocks: dict[str, list[Record]] = {}
    for record in summary:
        blocks.setdefault(_title(record), []).append(record)
    return "\n\n".join(f"{title}\n{_block(records)}" for title, records in blocks.items())


def _title(record: Record) -> str:
    varied = [f"{name} {record[name]}" for name in _TOLD_BY[1:-2] if name in record]
    return ", ".join([record["scenario"], *varied])


def _block(records: Sequence[Record]) -> str:
    shown = [column for column in COLUMNS if any(column[0] in record for record in records)]
    rows = [["", *(title for _, title, _ in shown), "rounds"]]
    for record in records:
        cells = [format(record[name], how) if name in record else "-" for name, _, how in shown]
        failed = f", {record['errors']} failed" if record["errors"] else ""
        rows.append([record["contender"], *cells, f"{record['rounds']}{failed}"])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def as_json(results: Record) -> str:
    """The results as a file: readable, and a run a line."""
    head = {name: value for name, value in results.items() if name != "runs"}
    text = json.dumps(head, indent=1).removesuffix("\n}")
    runs = ",\n".join(f"  {json.dumps(run)}" for run in results["runs"])
    return f'{text},\n "runs": [\n{runs}\n ]\n}}\n'
