"""One run of one contender: fill, start, open the gate, wait for the end, check."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from benchmarks.harness import daemon
from benchmarks.harness.contenders import Contender
from benchmarks.harness.environments import PEERS, module_path, program
from benchmarks.harness.queue import Queue
from benchmarks.harness.queues import queue_of
from benchmarks.harness.servers import Place, Servers
from benchmarks.harness.workers import Usage, Workers
from tests.servers import wait_until

START_SECONDS = 60.0
#: Seconds for the acks of what is done.
ACK_SECONDS = 15.0
_LOOK_SECONDS = 0.05


class WrongResult(Exception):
    """A run whose figures are worth nothing, with the reason."""


@dataclass(frozen=True)
class Plan:
    """What is measured in one run.

    :ivar copies: rows that each event leaves behind.
    :ivar failing: per cent of the events that fail at first.
    :ivar timeout: seconds from the opening of the gate after which it is given up.
    """

    contender: Contender
    processes: int = 1
    events: int = 5000
    work: str = "add"
    copies: int = 1
    failing: int = 0
    timeout: float = 120.0


@dataclass(frozen=True)
class Commit:
    """One row: the event's number, when it was published and when committed, in seconds."""

    number: int
    published: float | None
    committed: float


class Run:
    """A run that is under way."""

    def __init__(
        self, plan: Plan, place: Place, queue: Queue, database: psycopg.Connection
    ) -> None:
        self.plan, self.place, self.queue, self.database = plan, place, queue, database
        self.workers: Workers | None = None
        self._begun: Usage | None = None

    def start(self) -> None:
        """Start the workers; returns when each process stands at the gate with an event."""
        plan, place = self.plan, self.place
        contender = plan.contender
        gate = place.folder / "gate"
        gate.mkdir()
        if contender.kind == "ours":
            vhost = place.vhost if contender.carrier == "rabbit" else None
            daemon.write(place.folder, place.url, contender.plugins, vhost)
        if contender.config:
            text = (PEERS / contender.peer / contender.config).read_text()
            filled = text.format(amqp=place.vhost.url, queue=contender.queue)
            (place.folder / contender.config).write_text(filled)
        env = {
            "PYTHONPATH": module_path(contender.peer),
            "BENCH_DATABASE": place.url,
            "BENCH_AMQP": place.vhost.url,
            "BENCH_QUEUE": contender.queue,
            "BENCH_WORK": plan.work,
            "BENCH_FAILING": str(plan.failing),
            "BENCH_GATE": str(gate),
            "BENCH_FOLDER": str(place.folder),
            **contender.env,
        }
        copies = plan.processes if contender.copies else 1
        commands = [self._command(number) for number in range(copies)]
        log = place.folder / "workers.log"
        self.workers = Workers(commands, PEERS / contender.peer, env, log)

        def all_wait() -> bool:
            self._require()
            return len(list(gate.glob("*.waits"))) >= plan.processes

        wait_until(all_wait, START_SECONDS, "not every process got an event")

    def open(self) -> None:
        """Let them work."""
        self.database.execute("CHECKPOINT")
        assert self.workers is not None
        self._begun = self.workers.usage()
        (self.place.folder / "gate/open").touch()

    def wait(self, rows: int, look: Callable[[int], None] | None = None) -> Usage:
        """Wait until so many rows are there; what that has cost, and the peak of memory.

        :param look: called about 20 times a second with the number of rows so far.
        """
        deadline = time.monotonic() + self.plan.timeout
        while (done := self._rows(rows)) < rows:
            if time.monotonic() > deadline:
                raise WrongResult(f"{done} of {rows} rows in {self.plan.timeout:.0f} s")
            self._require()
            if look is not None:
                look(done)
            time.sleep(_LOOK_SECONDS)
        assert self.workers is not None
        assert self._begun is not None
        now = self.workers.usage()
        return Usage(now.cpu_seconds - self._begun.cpu_seconds, now.rss_mb)

    def rss_mb(self) -> float:
        """The memory of the largest process now."""
        assert self.workers is not None
        return self.workers.rss_mb()

    def finish(self, events: int) -> list[Commit]:
        """Stop the workers and look whether all is right; the rows in the order of their commits.

        :raises WrongResult: when it is not.
        """
        assert self.workers is not None
        try:
            wait_until(lambda: self.queue.left() == 0, ACK_SECONDS)
        except AssertionError:
            raise WrongResult(f"{self.queue.left()} events are left in the queue") from None
        self.workers.stop()
        if left := self.queue.left():
            raise WrongResult(f"{left} events are left in the queue")
        rows = self.database.execute(
            "SELECT number, published, extract(epoch FROM pg_xact_commit_timestamp(xmin))"
            " FROM bench_effect"
        )
        commits = [Commit(number, sent, float(committed)) for number, sent, committed in rows]
        effects = Counter(each.number for each in commits)
        missing = sum(effects[number] < self.plan.copies for number in range(events))
        too_many = sum(count > self.plan.copies for count in effects.values())
        if missing or too_many:
            raise WrongResult(
                f"of {events} events {missing} have too few effects, {too_many} too many"
            )
        return sorted(commits, key=lambda each: each.committed)

    def complain(self) -> None:
        """Show what the workers have written in the end."""
        if self.workers is not None:
            print(self.workers.last_words(), file=sys.stderr)

    def stop(self) -> None:
        """End what is left of the workers."""
        if self.workers is not None:
            self.workers.stop()

    def _command(self, number: int) -> list[str]:
        contender = self.plan.contender
        values = {
            "processes": self.plan.processes,
            "folder": self.place.folder,
            "queue": contender.queue,
            "number": number,
        }
        name, *arguments = (word.format(**values) for word in contender.command)
        return [str(program(contender.peer, name)), *arguments]

    def _require(self) -> None:
        assert self.workers is not None
        self.workers.require()

    def _rows(self, enough: int) -> int:
        """How many there are; a cheap look at the sequence, until it has counted enough."""
        last = self.database.execute("SELECT last_value FROM bench_effect_id_seq").fetchone()
        assert last is not None
        if last[0] < enough:
            return int(last[0])
        counted = self.database.execute("SELECT count(*) FROM bench_effect").fetchone()
        assert counted is not None
        return int(counted[0])


@contextmanager
def run(servers: Servers, plan: Plan) -> Iterator[Run]:
    """A run with a database and a virtual host of its own."""
    with servers.place() as place, place.connect() as database:
        queue = queue_of(plan.contender, place)
        found = Run(plan, place, queue, database)
        try:
            yield found
        except Exception:
            found.complain()
            raise
        finally:
            found.stop()
            queue.close()
