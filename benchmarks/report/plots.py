"""The plots, as SVG files: the same results give the same bytes.

They have a white ground of their own, so that they can be read on dark pages, too; their text is
text, so that it can be searched, copied and read aloud.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullLocator, StrMethodFormatter

from benchmarks.harness.summary import SPEED
from benchmarks.report.results import Record, Results, median_run
from benchmarks.report.tables import processes

#: Colours by kind, for one process and for more; they differ in lightness, too.
COLOURS = {
    "ours": ("#e58a2c", "#a3490a"),
    "peer": ("#8fb3d9", "#3a6ea5"),
    "bare": ("#cfcfcf", "#8a8a8a"),
}
NAMES = {"ours": "eventworker", "peer": "peers", "bare": "limits, no peers"}
INK = "#222222"
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "eventworker",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}
#: Inches.
WIDTH, PER_BAR = 8.0, 0.21
#: Seconds; what is left at the end of a run is too short to make a rate of.
_SHORTEST_STEP = 0.5

TITLES = {
    "throughput": "One row per event, from a full queue",
    "mixed": "A SELECT, an INSERT and an UPDATE per event",
    "slow-fsync": "One row per event, each commit waits for 2 ms",
    "embedded": "Without a broker: one row per event",
    "latency": "From the publication to the commit, one process",
    "embedded-latency": "Without a broker: from the publication to the commit, one process",
}


def draw(results: Results, folder: Path, suffix: str = "svg") -> list[Path]:
    """Write a file for each plot whose scenario was measured.

    :param suffix: "svg", or "png" to look at them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found: list[Path] = []
    with plt.rc_context(STYLE):
        for name, figure in _figures(results):
            found.append(folder / f"{name}.{suffix}")
            metadata = {"Date": None, "Creator": None} if suffix == "svg" else None
            figure.savefig(found[-1], bbox_inches="tight", metadata=metadata)
            plt.close(figure)
    return found


def _figures(results: Results) -> list[tuple[str, Figure]]:
    found = []
    for scenario in results.scenarios:
        records = [each for each in results.summary(scenario) if each["rounds"]]
        speeds = [each for each in records if "rate" not in each and SPEED in each]
        steady = [each for each in records if "rate" in each]
        if scenario == "backlog":
            runs = [run for run in results.runs if run["scenario"] == scenario]
            if any("error" not in run for run in runs):
                found.append((scenario, backlog(runs)))
        elif scenario in TITLES and speeds:
            found.append((scenario, bars(speeds, TITLES[scenario])))
        if steady:
            name = scenario if scenario == "latency" else f"{scenario}-latency"
            found.append((name, percentiles(steady, TITLES[name])))
    return found


def bars(records: Sequence[Record], title: str) -> Figure:
    """Events per second: for each contender a bar for each number of processes, fastest first."""
    numbers = sorted({record["processes"] for record in records})
    names = _ordered(records, lambda record: -float(record[SPEED]))
    figure, axes = plt.subplots(figsize=(WIDTH, PER_BAR * len(names) * (len(numbers) + 1) + 1.1))
    height = 0.8 / len(numbers)
    for record in records:
        index = numbers.index(record["processes"])
        at = names.index(record["contender"]) + (index - (len(numbers) - 1) / 2) * height
        axes.barh(at, record[SPEED], height, color=_colour(record["kind"], index))
        axes.annotate(
            f"{record[SPEED]:,.0f}",
            (record[SPEED], at),
            (3, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    _name_rows(axes, names, records)
    axes.set_xlabel("events per second (median)")
    axes.set_xlim(0, 1.12 * max(record[SPEED] for record in records))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    kinds = [kind for kind in COLOURS if any(record["kind"] == kind for record in records)]
    axes.legend(
        handles=[
            Patch(color=_colour(kind, index), label=f"{NAMES[kind]}, {processes(number)}")
            for kind in kinds
            for index, number in enumerate(numbers)
        ],
        loc="lower right",
        fontsize=8,
    )
    axes.set_title(title, loc="left")
    return figure


def percentiles(records: Sequence[Record], title: str) -> Figure:
    """Milliseconds, on a logarithmic axis: a line from p50 to p99 for each contender and rate."""
    rates = sorted({record["rate"] for record in records})
    names = _ordered(records, lambda record: float(record["p50_ms"]))
    figure, all_axes = plt.subplots(
        1,
        len(rates),
        sharex=True,
        sharey=True,
        squeeze=False,
        figsize=(WIDTH, PER_BAR * 1.5 * len(names) + 1.3),
    )
    for rate, axes in zip(rates, all_axes[0], strict=True):
        for record in records:
            if record["rate"] == rate:
                at, colour = names.index(record["contender"]), _colour(record["kind"], 1)
                p50, p99 = record["p50_ms"], record["p99_ms"]
                axes.plot([p50, p99], [at, at], color=colour, linewidth=2)
                axes.plot([p50], [at], "o", color=colour)
                axes.plot([p99], [at], "|", color=colour, markersize=11, markeredgewidth=2)
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        axes.grid(axis="x", color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.set_xlabel(f"ms at {rate} events/s: dot p50, stroke p99")
    _name_rows(all_axes[0][0], names, records)
    all_axes[0][0].set_title(title, loc="left")
    return figure


def backlog(runs: Sequence[Record]) -> Figure:
    """Rate and memory over the events that are done, for each number of processes."""
    figure, (above, below) = plt.subplots(2, 1, sharex=True, figsize=(WIDTH, 5))
    numbers = sorted({run["processes"] for run in runs})
    for index, number in enumerate(numbers):
        run = median_run([run for run in runs if run["processes"] == number])
        if run is None:
            continue
        samples = run["samples"]
        steps = [
            (after[1], (after[1] - before[1]) / (after[0] - before[0]))
            for before, after in itertools.pairwise(samples)
            if after[0] - before[0] >= _SHORTEST_STEP
        ]
        style = {"color": _colour("ours", index), "label": processes(number)}
        above.plot([done for done, _ in steps], [speed for _, speed in steps], **style)
        below.plot([each[1] for each in samples], [each[2] for each in samples], **style)
    above.set_ylabel("events per second")
    below.set_ylabel("largest RSS, MB")
    below.set_xlabel("events done")
    for axes in (above, below):
        axes.set_ylim(0, 1.15 * axes.get_ylim()[1])
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    below.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    above.legend(loc="lower right", fontsize=8)
    figure.align_ylabels()
    above.set_title("A long queue, worked off by eventworker", loc="left")
    return figure


def _ordered(records: Sequence[Record], by: Callable[[Record], float]) -> list[str]:
    """The names of the contenders, by the best that each has."""
    best: dict[str, float] = {}
    for record in records:
        name = record["contender"]
        best[name] = min(by(record), best.get(name, by(record)))
    return sorted(best, key=lambda name: (best[name], name))


def _name_rows(axes: Axes, names: Sequence[str], records: Sequence[Record]) -> None:
    """The first one above; ours in bold."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    ours = {record["contender"] for record in records if record["kind"] == "ours"}
    for label in axes.get_yticklabels():
        if label.get_text() in ours:
            label.set_fontweight("bold")
            label.set_color(COLOURS["ours"][1])


def _colour(kind: str, index: int) -> str:
    return COLOURS[kind][min(index, 1)]
