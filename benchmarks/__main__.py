"""Measures eventworker and its peers at the same work, side by side.

``make bench`` is all of it, five rounds, for some three hours on two processors;
``make bench ARGS="throughput --peers eventworker,kombu"`` some of it, ``ARGS=--quick`` a look
whether everything works. The figures of one machine say little about another: what travels are the
ratios, and they mean something only if nothing else runs beside the measurement.

Everybody gets the same: events of 1 kB as persistent messages in a durable queue of a private
RabbitMQ (procrastinate: in its own table), a private PostgreSQL with fsync and synchronous_commit
on, one Python, one SQLAlchemy 2 and one psycopg. Everybody does the same: a session is opened, one
row with a key of the server's is added, it is committed, and then the message is acknowledged.
Each peer lives in a virtual environment of its own with pinned versions, and is written as its
documentation would have it; where it lets the user choose, it may hold 100 messages. Eventworker
is the installed daemon as it is shipped, and keeps its inbox of effects-once, which no peer has.

How it is measured:

- Each run has a database, a virtual host and processes of its own. The queue is filled first. Each
  process then waits with its first event until all of them do, so no start-up is measured.
- Rates are by the commit times that PostgreSQL keeps of each row (track_commit_timestamp), so it
  does not matter when in its transaction a row was written, and nobody has to look meanwhile. The
  first 5 % of the rows are warming up.
- Contenders that are faster get more events, so that all are measured for about as long.
- CPU is that of all processes of the contender, the helpers too; RSS the peak of the largest one.
- Each round measures everybody once; the table has the medians of the rounds, and the medians of
  the ratios to the fastest peer of the same round. "Bare" programs are limits, not peers.
- Ctrl-C or SIGTERM ends it early, with the figures of the runs so far.
- Each run is checked: one row for each event, none twice, nothing left in the queue. A run that
  fails that is shown as failed, with its reason, and has no figures.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import environments, summary
from benchmarks.harness.contenders import CONTENDERS
from benchmarks.harness.rounds import measure
from benchmarks.harness.scenarios import SCENARIOS, USUAL, Case, Options


def parser() -> argparse.ArgumentParser:
    """The command line."""
    assert __doc__ is not None
    first, _, rest = __doc__.partition("\n")
    top = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=first,
        epilog=rest,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    scenarios = "; ".join(f"{name}: {(each.__doc__ or '')}" for name, each in SCENARIOS.items())
    top.add_argument(
        "scenarios",
        nargs="*",
        metavar="SCENARIO",
        help=f"what is measured (default: all but backlog). {scenarios}",
    )
    top.add_argument(
        "--peers",
        metavar="A,B",
        type=lambda text: text.split(","),
        help=f"who is measured (default: everybody): {', '.join(CONTENDERS)}",
    )
    top.add_argument("--rounds", type=int, help="runs of each (default: 5)")
    top.add_argument(
        "--events",
        type=int,
        help="events per run (default: 5000; fast contenders get a multiple; backlog: 1000000)",
    )
    top.add_argument(
        "--processes",
        default=(1, 2),
        metavar="1,2",
        type=lambda text: tuple(map(int, text.split(","))),
        help="numbers of worker processes (default: 1,2)",
    )
    top.add_argument(
        "--seconds", type=float, help="latency: how long events are published (default: 15)"
    )
    top.add_argument(
        "--timeout", type=float, default=180.0, help="seconds that a run may take (default: 180)"
    )
    top.add_argument(
        "--quick",
        action="store_true",
        help="one round, 2000 events, 5 seconds: does it work? The figures are worth nothing",
    )
    top.add_argument(
        "-O", dest="output", choices=["table", "json"], default="table", help="what is printed"
    )
    top.add_argument("--out", type=Path, metavar="FILE", help="write each run as JSON, too")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 if a run failed or a peer could not be installed."""
    options = parser().parse_args(arguments)
    for names, known in ((options.scenarios, SCENARIOS), (options.peers or (), CONTENDERS)):
        for name in names:
            if name not in known:
                parser().error(f"{name} is none of {', '.join(known)}")
    rounds, usual_events, seconds = (1, 2000, 5.0) if options.quick else (5, 5000, 15.0)
    cases: list[Case] = []
    for name in options.scenarios or USUAL:
        long = name == "backlog" and not options.quick
        chosen = Options(
            peers=options.peers,
            events=options.events or (1_000_000 if long else usual_events),
            processes=options.processes,
            seconds=options.seconds or seconds,
            timeout=options.timeout,
        )
        cases += SCENARIOS[name](chosen)
    cases, missing = installed(cases)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    found = measure(cases, options.rounds or rounds)
    results = {
        "machine": {
            "processors": os.cpu_count(),
            "architecture": platform.machine(),
            "system": platform.system(),
            "python": platform.python_version(),
        },
        "servers": found.servers,
        "versions": {peer: environments.versions(peer) for peer in sorted(peers_of(cases))},
        "not_installable": missing,
        "summary": summary.summarize(found.runs),
        "runs": found.runs,
    }
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(summary.as_json(results))
    print(text_of(results, options.output))
    return 1 if missing or any("error" in run for run in found.runs) else 0


def peers_of(cases: Sequence[Case]) -> set[str]:
    """The folders of those that are measured; eventworker's tables are made by its own command."""
    return {"eventworker", *(case.contender.peer for case in cases)}


def installed(cases: list[Case]) -> tuple[list[Case], dict[str, str]]:
    """The cases whose peers could be installed; and the reasons of the others, by peer."""
    missing: dict[str, str] = {}
    for peer in sorted(peers_of(cases)):
        try:
            environments.make(peer)
        except environments.NotInstallable as error:
            missing[peer] = str(error)
            print(f"{peer} cannot be installed: {error}", file=sys.stderr)
    return [case for case in cases if case.contender.peer not in missing], missing


def text_of(results: dict[str, Any], output: str) -> str:
    """What is printed."""
    if output == "json":
        return summary.as_json(results)
    lines = [summary.table(results["summary"]), ""]
    for peer, reason in results["not_installable"].items():
        lines.append(f"not measured: {peer} cannot be installed: {reason}")
    for run in results["runs"]:
        if "error" in run:
            lines.append(f"failed: {run['scenario']} {run['contender']}: {run['error']}")
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
