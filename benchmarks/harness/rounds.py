"""The rounds: everybody once, then everybody again."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.harness.scenarios import Case
from benchmarks.harness.servers import servers


@dataclass
class Measured:
    """What came of it.

    :ivar servers: the versions of the servers.
    :ivar runs: a record for each run, with figures or with ``error``.
    """

    servers: dict[str, str] = field(default_factory=dict)
    runs: list[dict[str, Any]] = field(default_factory=list)


def measure(cases: Sequence[Case], rounds: int) -> Measured:
    """Measure each case once a round; those for which the database is slow come last.

    Ctrl-C ends it early, with what there is by then.
    """
    found = Measured()
    try:
        for slow in (False, True):
            chosen = [case for case in cases if case.slow_commits == slow]
            if chosen:
                _measure(chosen, slow, rounds, found)
    except KeyboardInterrupt:
        print("interrupted: these are the runs so far", file=sys.stderr)
    return found


def _measure(cases: Sequence[Case], slow: bool, rounds: int, found: Measured) -> None:
    peers = {case.contender.peer for case in cases}
    with servers(slow, procrastinate="procrastinate" in peers) as running:
        found.servers = running.versions()
        for number in range(1, rounds + 1):
            for index, case in enumerate(cases, 1):
                told = {
                    "scenario": case.scenario,
                    "contender": case.contender.name,
                    "kind": case.contender.kind,
                    **case.labels,
                    "round": number,
                }
                try:
                    record = {**told, **_rounded(case.measure(running))}
                except Exception as error:  # the other runs are worth having all the same
                    record = {**told, "error": f"{type(error).__name__}: {error}"}
                found.runs.append(record)
                _say(record, f"round {number}/{rounds}, {index}/{len(cases)}")


def _rounded(figures: dict[str, Any]) -> dict[str, Any]:
    return {
        name: round(value, 4) if isinstance(value, float) else value
        for name, value in figures.items()
    }


def _say(record: dict[str, Any], where: str) -> None:
    """A line of progress."""
    hidden = ("samples", "round", "kind")
    told = " ".join(f"{name}={value}" for name, value in record.items() if name not in hidden)
    print(f"{where}: {told}", file=sys.stderr, flush=True)
