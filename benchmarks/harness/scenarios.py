"""What can be measured: each scenario is a list of cases, which one round measures once each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.harness import backlog, latency, throughput
from benchmarks.harness.contenders import (
    BARES,
    CONTENDERS,
    EMBEDDED,
    OURS,
    PEERS,
    Contender,
    eventworker,
)
from benchmarks.harness.running import Plan
from benchmarks.harness.servers import Servers

#: The work of eventworker's plugins, where it is not that of their names.
_MIXED = eventworker("eventworker", "mixed")
_FAILING = eventworker("eventworker", "failing")
RATES = (200, 500)
PLUGINS = (1, 5, 20)
PER_CENT = (0, 1, 10)
#: Peers whose own way to try again is one option.
RETRYING = ("celery-solo", "dramatiq")
#: At these a round of a scenario must not take longer, whoever is slow.
_SLOWEST = 100.0


@dataclass(frozen=True)
class Options:
    """What the command line says.

    :ivar peers: names of contenders; None for all.
    :ivar events: per run, before the factor of the contender.
    :ivar seconds: of publishing, where latency is measured.
    """

    peers: Sequence[str] | None
    events: int
    processes: Sequence[int]
    seconds: float
    timeout: float

    def chosen(self, contenders: Sequence[Contender]) -> list[Contender]:
        """Those of them that are asked for."""
        return [each for each in contenders if self.peers is None or each.name in self.peers]


@dataclass(frozen=True)
class Case:
    """One thing that is measured in each round.

    :ivar labels: what distinguishes it from the other cases of its scenario.
    :ivar slow_commits: whether the database is to be slow at it.
    """

    scenario: str
    contender: Contender
    labels: dict[str, Any]
    measure: Callable[[Servers], dict[str, Any]]
    slow_commits: bool = False


ALL = (*OURS, *PEERS, *BARES)


def _throughput(options: Options) -> list[Case]:
    """One row per event, from a full queue."""
    return [
        _work_off("throughput", options, each, processes=processes)
        for processes in options.processes
        for each in options.chosen(ALL)
    ]


def _mixed(options: Options) -> list[Case]:
    """Per event a row selected, one added and the first changed, from a full queue."""
    others = [each for each in (*PEERS, *BARES) if each.name != "pika-executemany"]
    return [
        _work_off("mixed", options, each, processes=processes, work="mixed")
        for processes in options.processes
        for each in options.chosen((_MIXED, *others))
    ]


def _slow_fsync(options: Options) -> list[Case]:
    """One row per event, where each commit waits for 2 ms; one process."""
    return [
        _work_off("slow-fsync", options, each, slow_commits=True) for each in options.chosen(ALL)
    ]


def _latency(options: Options) -> list[Case]:
    """From the publication to the commit, at steady rates; one process."""

    return [
        _steadily("latency", options, each, rate) for rate in RATES for each in options.chosen(ALL)
    ]


def _embedded(options: Options) -> list[Case]:
    """Without a broker: one row per event, from a full queue and at a steady rate."""
    chosen = options.chosen((*EMBEDDED, CONTENDERS["procrastinate"]))
    return [
        *(
            _work_off("embedded", options, each, processes=processes)
            for processes in options.processes
            for each in chosen
        ),
        *(_steadily("embedded", options, each, RATES[0]) for each in chosen),
    ]


def _plugins(options: Options) -> list[Case]:
    """Eventworker alone: each event handled by several plugins."""
    found = []
    for processes in options.processes:
        for number in PLUGINS:
            contender = eventworker("eventworker", *(f"add_{n + 1}" for n in range(number)), load=4)
            found.append(
                _work_off(
                    "plugins",
                    options,
                    contender,
                    processes=processes,
                    events=max(200, options.events * contender.load // number),
                    copies=number,
                    labels={"plugins": number},
                )
            )
    return found


def _failures(options: Options) -> list[Case]:
    """Some of the events fail for half a second, and are tried again; one process."""
    peers = [CONTENDERS[name] for name in RETRYING]
    return [
        _work_off("failures", options, each, work="failing", failing=part, labels={"failing": part})
        for part in PER_CENT
        for each in options.chosen((_FAILING, *peers))
    ]


def _backlog(options: Options) -> list[Case]:
    """Eventworker alone: a long queue worked off, with rate and memory over the time."""
    found = []
    for processes in options.processes:
        contender = eventworker("eventworker", "add")
        timeout = options.timeout + options.events / _SLOWEST
        plan = Plan(contender, processes, options.events, timeout=timeout)
        found.append(
            Case(
                "backlog",
                contender,
                {"processes": processes},
                lambda servers, plan=plan: backlog.measure(servers, plan),  # type: ignore[misc]
            )
        )
    return found


def _steadily(scenario: str, options: Options, contender: Contender, rate: int) -> Case:
    plan = Plan(contender, timeout=options.timeout)
    return Case(
        scenario,
        contender,
        {"processes": 1, "rate": rate},
        lambda servers: latency.measure(servers, plan, rate, options.seconds),
    )


def _work_off(
    scenario: str,
    options: Options,
    contender: Contender,
    *,
    processes: int = 1,
    events: int | None = None,
    labels: dict[str, Any] | None = None,
    slow_commits: bool = False,
    **more: Any,
) -> Case:
    number = events or options.events * contender.load
    plan = Plan(contender, processes, number, timeout=options.timeout, **more)
    return Case(
        scenario,
        contender,
        {"processes": processes, **(labels or {})},
        lambda servers: throughput.measure(servers, plan),
        slow_commits,
    )


SCENARIOS: dict[str, Callable[[Options], list[Case]]] = {
    "throughput": _throughput,
    "mixed": _mixed,
    "latency": _latency,
    "slow-fsync": _slow_fsync,
    "embedded": _embedded,
    "plugins": _plugins,
    "failures": _failures,
    "backlog": _backlog,
}
#: What is measured where nothing is named; a backlog takes its time.
USUAL = tuple(name for name in SCENARIOS if name != "backlog")
