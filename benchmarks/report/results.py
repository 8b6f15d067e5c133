"""The files that were written with ``--out``, as one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.harness import summary

Record = dict[str, Any]


class Mixture(Exception):
    """Files whose figures must not stand side by side."""


@dataclass
class Results:
    """All that was measured.

    :ivar machine: the facts of the machine, and `servers` the versions of its servers.
    :ivar versions: for each peer, name to version of what was installed.
    :ivar missing: peers that could not be installed, with the reason.
    :ivar runs: each run; `round` is unique among all files.
    :ivar scripts: for each script that measures one thing, the rows of its table.
    """

    machine: dict[str, Any] = field(default_factory=dict)
    servers: dict[str, str] = field(default_factory=dict)
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    runs: list[Record] = field(default_factory=list)
    scripts: dict[str, list[Record]] = field(default_factory=dict)

    def summary(self, scenario: str) -> list[Record]:
        """The medians of its cases, see ``summary.summarize``."""
        return summary.summarize(run for run in self.runs if run["scenario"] == scenario)

    @property
    def scenarios(self) -> list[str]:
        """What was measured, in its order."""
        return list(dict.fromkeys(run["scenario"] for run in self.runs))

    def failed(self) -> list[Record]:
        """The runs without figures."""
        return [run for run in self.runs if "error" in run]


def load(files: Iterable[Path]) -> Results:
    """Read them; rounds of several files count together.

    :raises Mixture: if they are of different machines or servers, or if two have the same script.
    """
    found = Results()
    for file in files:
        read = json.loads(file.read_text())
        if "script" in read:
            if read["script"] in found.scripts:
                raise Mixture(f"{file}: there is another file of {read['script']}")
            found.scripts[read["script"]] = read["rows"]
            continue
        for name in ("machine", "servers"):
            before = getattr(found, name)
            if before and before != read[name]:
                raise Mixture(f"{file}: {name} {read[name]}, but {before} in the files before")
            setattr(found, name, read[name])
        found.versions |= read["versions"]
        found.missing |= read["not_installable"]
        # Ratios are those of one round of one file.
        found.runs += [{**run, "round": f"{file}, {run['round']}"} for run in read["runs"]]
    return found


def median_run(runs: Sequence[Record]) -> Record | None:
    """The run in the middle by its rate, of those that did not fail; of two the slower one."""
    good = sorted(
        (run for run in runs if "error" not in run), key=lambda run: float(run[summary.SPEED])
    )
    return good[(len(good) - 1) // 2] if good else None
