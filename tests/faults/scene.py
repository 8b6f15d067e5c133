"""One run of one fault: events around it, proof that it fired, and the verdict."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.daemon import Daemon
from tests.acceptance.site import Site
from tests.faults.oracle import CHANGES, Oracle, Verdict
from tests.faults.producer import Producer
from tests.servers import wait_until

PLUGINS = ("alpha", "beta", "gamma")


class Scene:
    """A site, the application that writes to its database, and the fault that is tried on it.

    :param record: is given one row of the table of faults.
    """

    def __init__(
        self,
        fault: str,
        site: Site,
        seed: int,
        record: Callable[[dict[str, Any]], None],
        plugins: Sequence[str] = PLUGINS,
        ordered: Sequence[str] = (),
    ) -> None:
        self.fault = fault
        self.seed = seed
        self.site = site
        self.probe = site.probe
        self.oracle = Oracle(site.probe, plugins, ordered)
        self.producer = Producer(site.url, seed)
        self.producer.ordered = bool(ordered)
        self.judged = False
        self._record = record
        self._proofs: list[str] = []
        self._kills = 0
        self._healed_at: float | None = None
        self._orders: Path = site.folder / "orders"
        self._orders.mkdir(exist_ok=True)
        self.probe.execute(CHANGES)
        # More attempts than a run has faults: what dies with its process is no event's fault, and a
        # dead letter would hide it.
        limits = {"max_attempts": 1000, "backoff_max": 0.5, "handler_timeout": 10}
        groups = {f"plugin_{name}": limits for name in plugins}
        site.configure(plugins={"only": ", ".join(plugins)}, **groups)

    # The run.

    def start(self, workers: int = 2, **more: Any) -> Daemon:
        """Start a daemon whose processes obey orders at fail-points."""
        env = {"PROBE_ORDERS": str(self._orders), **more.pop("env", {})}
        return self.site.start(workers, env=env, **more)

    def order(self, point: str, word: str = "kill", times: int = 1) -> None:
        """The next process that comes by this fail-point shall do so, when it is there for the
        ``times``-th time."""
        (self._orders / f"{point}.go").unlink(missing_ok=True)
        made = self._orders / f"{point}.new"
        made.write_text(f"{word} {times}")
        made.rename(self._orders / point)

    def go(self, point: str) -> None:
        """End a "hold" at a fail-point."""
        (self._orders / f"{point}.go").touch()

    def fired(self, point: str, times: int = 1, timeout: float = 20) -> list[int]:
        """Wait until an order was obeyed; the pids of those that did. A proof by itself."""
        wait_until(
            lambda: len(self._obeyed(point)) >= times, timeout, f"nobody came by {point}: no fault"
        )
        self.prove(f"{point}: {times} obeyed")
        return self._obeyed(point)

    def _obeyed(self, point: str) -> list[int]:
        file = self._orders / "fired"
        lines = file.read_text().splitlines() if file.exists() else []
        return [int(line.split()[2]) for line in lines if line.split()[0] == point]

    def prove(self, evidence: str) -> None:
        """Say by what it is known that the fault fired; without that there is no verdict."""
        self._proofs.append(evidence)

    def says(self, daemon: Daemon, text: str, times: int = 1, timeout: float = 20) -> None:
        """Wait for a line of a daemon's log that proves the fault."""
        daemon.says(text, times, timeout)
        self.prove(f"log: {text}")

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        self._kills += 1

    def healed(self) -> None:
        """The fault is over: from here on the recovery is timed."""
        self._healed_at = time.monotonic()

    # The verdict.

    def drained(self, timeout: float = 60) -> float:
        """Wait until every pair has come to its end; seconds since the fault was over."""
        since = self._healed_at if self._healed_at is not None else time.monotonic()
        wait_until(
            lambda: self.oracle.open_pairs() <= 0,
            timeout,
            lambda: f"{self.oracle.open_pairs()} pairs are open: {self._examples()}",
        )
        return time.monotonic() - since

    def judge(
        self, timeout: float = 60, within: float | None = None, at_rest: bool = True
    ) -> Verdict:
        """Wait for the end, stop the daemons in good order, and hold the database to the promise.

        :param timeout: seconds until everything has to be handled.
        :param within: seconds that the recovery may take, where the fault has a bound.
        :param at_rest: whether queue, outbox and backlog have to be empty in the end.
        """
        if self._kills:
            self.prove(f"{self._kills} SIGKILL")
        assert self._proofs, f"{self.fault}: nothing proves that the fault fired"
        problem: AssertionError | None = None
        recovery = 0.0
        try:
            recovery = self.drained(timeout)
            if at_rest:
                wait_until(lambda: self.oracle.unsettled() == 0, 20, "the backlog is not empty")
                wait_until(self.site.queue_is_empty, 20, "the queue is not empty")
            self.site.stop_all()
        except AssertionError as error:  # it is judged all the same: a loss shall be called so
            problem = error
        verdict = self.oracle.judge()
        self._note(verdict, recovery)
        assert not verdict.guilty, f"{self.fault}: {verdict}\n{self._examples()}"
        if problem is not None:
            raise problem
        idle = self.oracle.idle_in_transaction()
        assert idle == 0, f"{idle} sessions are left in a transaction"
        if within is not None:
            assert recovery <= within, f"{self.fault}: recovered in {recovery:.1f} s"
        return verdict

    def _examples(self) -> str:
        pairs = list(self.oracle.guilty_pairs().items())[:5]
        return "; ".join(f"{event_id} {plugin}: {count}" for (event_id, plugin), count in pairs)

    def _note(self, verdict: Verdict, recovery: float) -> None:
        self.judged = True
        self._record(
            {
                "fault": self.fault,
                "on": where(self.site),
                "proof": "; ".join(dict.fromkeys(self._proofs)),
                "events": verdict.events,
                "dead": verdict.dead,
                "lost": verdict.lost,
                "duplicated": verdict.duplicated,
                "phantom": verdict.phantom + verdict.both + verdict.unproven,
                "inversions": verdict.inversions,
                "recovery": round(recovery, 1) if self._healed_at is not None else None,
            }
        )


def where(site: Site) -> str:
    """Transport and database of a site, for the table."""
    kind = site.url.partition(":")[0].partition("+")[0].replace("mysql", "mariadb")
    return f"{'rabbit' if site.vhost else 'sql'}, {kind}"


def row_of(properties: Sequence[tuple[str, object]]) -> list[dict[str, Any]]:
    """The rows of the table of faults among a report's properties."""
    return [json.loads(str(value)) for name, value in properties if name == "fault"]


def seed_of(config: pytest.Config) -> int:
    """The seed of this run, which its header prints."""
    return int(config.getoption("--seed"))
