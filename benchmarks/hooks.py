"""What a hook costs: a sandbox made for the run, one that was ready before, and the publication.

``python -m benchmarks.hooks`` measures, in milliseconds and in turns, so that all of them meet the
same load:

- a bare interpreter that ends at once, which every process per run costs;
- a run in a sandbox that is made for it (cold), from the start of the process to the answer;
- the same where a sandbox waits (warm), from the job to the answer; both without isolation, too;
- the processor time of the interpreter and of a hook's process, which other load changes least;
- a publication with hooks off, and with none, one and ten at its node, on SQLite and PostgreSQL:
  the time, this process's share, and the ratio to hooks off in the same round (medians).

Then it lets runners work off a queue on SQLite and tells the runs per second, and what memory a
waiting sandbox has to itself.
"""

from __future__ import annotations

import argparse
import compileall
import resource
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from sqlalchemy import Engine, func, select

from eventworker import migrations
from eventworker.db import build_engine, short_transaction
from eventworker.pubsub.facts import NewItem
from eventworker.pubsub.hooks.limits import Isolation, Limits
from eventworker.pubsub.hooks.options import HookSettings
from eventworker.pubsub.hooks.pool import Pool
from eventworker.pubsub.hooks.registry import NewHook, Registry
from eventworker.pubsub.hooks.runner import HookRunner
from eventworker.pubsub.hooks.sandbox import Box, Sandbox
from eventworker.pubsub.hooks.surroundings import Surroundings, code
from eventworker.pubsub.hooks.table import run_table
from eventworker.pubsub.options import Settings
from eventworker.pubsub.service import PubSubService
from tests.servers import PostgresServer

JOB = {
    "type": "python_code",
    "arg": "item.xml",
    "source": None,
    "owner": "owner@example.org",
    "config": {},
    "item": {
        "event": "items",
        "id": "1",
        "node": "news",
        "payload": "<a xmlns='urn:a'/>",
        "publisher": "ann@example.org",
        "key": "key",
    },
}
PAYLOAD = f"<entry xmlns='urn:example:entry'>{'x' * 900}</entry>"


def in_ms(act: Callable[[], object]) -> float:
    """Milliseconds that it takes."""
    started = time.perf_counter()
    act()
    return (time.perf_counter() - started) * 1000


def bare(surroundings: Surroundings) -> None:
    """The interpreter alone."""
    subprocess.run([surroundings.executable, "-I", "-S", "-c", ""], check=True)


def do(sandbox: Sandbox) -> None:
    """One run in a sandbox that is ready."""
    sandbox.begin(JOB, 30)
    assert sandbox.receive() == {"ended": "done"}


def cold(box: Box) -> None:
    """One run, and all that comes before it."""
    with Pool(box, 0).take() as sandbox:
        do(sandbox)


def warm(box: Box) -> float:
    """Milliseconds of one run in a sandbox that waited."""
    with Pool(box, 0).take() as sandbox:
        return in_ms(lambda: do(sandbox))


def processor(act: Callable[[], object]) -> float:
    """Milliseconds of a processor that the children take for it which end meanwhile."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    act()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000


def own_processor(box: Box) -> float:
    """Milliseconds of a processor that a hook's process has taken since its start."""
    with Pool(box, 0).take() as sandbox:
        sandbox.begin({**JOB, "arg": "import time; print(time.process_time())"}, 30)
        sandbox.receive()
        return float(sandbox.printed()) * 1000


def memory(box: Box) -> float:
    """MiB that a waiting sandbox has to itself."""
    with Pool(box, 0).take() as sandbox:
        total = 0
        for pid in _below(sandbox.pid):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))
        return total / 1024


def _below(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in _below(int(child)))]


class Bench:
    """A service on a database of its own."""

    def __init__(self, url: str, *, hooks: bool = True, given: int = 0) -> None:
        self.engine: Engine = build_engine(url, pool_size=5)
        migrations.upgrade(self.engine)
        self.settings = Settings(hooks=hooks)
        self.count = 0
        with short_transaction(self.engine) as connection:
            PubSubService(connection, self.settings).create("news", self.settings.itself)
        for n in range(given):
            self.give(f"a = {n}")

    def publish(self) -> None:
        """One item."""
        self.count += 1
        with short_transaction(self.engine) as connection:
            service = PubSubService(connection, self.settings)
            service.publish("news", self.settings.itself, [NewItem(str(self.count), PAYLOAD)])

    def give(self, code: str) -> None:
        """A hook to the node."""
        new = NewHook("news", "python_code", code, persistent=True)
        with short_transaction(self.engine) as connection:
            registry = Registry(connection, self.settings)
            registry.give(self.settings.itself, new, HookSettings(enabled=True))

    def work_off(self, box: Box, workers: int, ready: int) -> float:
        """Runs per second of so many runners until nothing is due."""
        options = HookSettings(enabled=True, isolation=box.isolation, limits=box.limits)
        counts: list[int] = []

        def work(n: int) -> None:
            pool = Pool(box, ready)
            runner = HookRunner(self.engine, self.settings, options, {}, pool, f"h/1/{n}")
            count = 0
            while runner.run_one():
                count += 1
            pool.close()
            counts.append(count)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(workers)]
        started = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(counts) / (time.perf_counter() - started)


class Publications:
    """The same publication at services that differ in their hooks, in turns.

    :param make_url: makes a database.
    """

    GIVEN: ClassVar[dict[str, dict[str, Any]]] = {
        "hooks off": {"hooks": False},
        "hooks on, none there": {},
        "one hook there": {"given": 1},
        "ten hooks there": {"given": 10},
    }

    def __init__(self, name: str, make_url: Callable[[str], str]) -> None:
        self._name = name
        self._benches = {
            what: Bench(make_url(str(n)), **given)
            for n, (what, given) in enumerate(self.GIVEN.items())
        }
        self._turns = deque(self.GIVEN)
        self._taken: dict[str, list[tuple[float, float]]] = {what: [] for what in self.GIVEN}

    def round(self) -> None:
        """One of each, and another one first each time."""
        self._turns.rotate()
        for what in self._turns:
            bench = self._benches[what]
            own = time.process_time()
            took = in_ms(bench.publish)
            self._taken[what].append((took, (time.process_time() - own) * 1000))

    def forget(self) -> None:
        """What was found so far."""
        for taken in self._taken.values():
            taken.clear()

    def tell(self) -> None:
        """Print what was found; every run has to be there."""
        for what, bench in self._benches.items():
            with bench.engine.connect() as connection:
                there = connection.scalar(select(func.count()).select_from(run_table))
            assert there == self.GIVEN[what].get("given", 0) * bench.count, what
        first = self._taken["hooks off"]
        for what, taken in self._taken.items():
            times, own = zip(*taken, strict=True)
            ratios = [took / off for (took, _), (off, _) in zip(taken, first, strict=True)]
            name = f"{self._name}: publication, {what}"
            print(
                f"{name:48} {statistics.median(times):7.2f} ms, of it own "
                f"{statistics.median(own):5.2f} ms; x {statistics.median(ratios):.2f}"
            )

    def close(self) -> None:
        """Let go of the databases."""
        for bench in self._benches.values():
            bench.engine.dispose()


def publications(folder: Path, rounds: int) -> None:
    """What hooks cost a publisher."""
    with PostgresServer() as postgres:
        found = [
            Publications("SQLite", lambda n: f"sqlite:///{folder}/publication-{n}"),
            Publications("PostgreSQL", lambda _: postgres.createdb()),
        ]
        for each in found:
            each.round()  # statements are built once
            each.forget()
        for _ in range(rounds):
            for each in found:
                each.round()
        for each in found:
            each.tell()
            each.close()


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(prog="python -m benchmarks.hooks", description=__doc__)
    arguments.formatter_class = argparse.RawDescriptionHelpFormatter
    arguments.add_argument("--rounds", type=int, default=30, help="of each (default: 30)")
    rounds = arguments.parse_args().rounds
    # As an installed package is.
    compileall.compile_dir(code(), quiet=1)
    surroundings = Surroundings.own([])
    full = Box.of(Isolation.FULL, surroundings, Limits())
    process = Box.of(Isolation.PROCESS, surroundings, Limits())
    folder = Path(tempfile.mkdtemp(prefix="hooks-"))
    try:
        measured: dict[str, Callable[[], float]] = {
            "bare interpreter": lambda: in_ms(lambda: bare(surroundings)),
            "cold run, full isolation": lambda: in_ms(lambda: cold(full)),
            "warm run, full isolation": lambda: warm(full),
            "cold run, process": lambda: in_ms(lambda: cold(process)),
            "warm run, process": lambda: warm(process),
            "processor, bare interpreter": lambda: processor(lambda: bare(surroundings)),
            "processor, full isolation": lambda: own_processor(full),
            "processor, process": lambda: own_processor(process),
        }
        found: dict[str, list[float]] = {name: [] for name in measured}
        for _ in range(rounds):
            for name, measure in measured.items():
                found[name].append(measure())
        for name, values in found.items():
            quarter = statistics.quantiles(values, n=20)
            print(f"{name:36} {statistics.median(values):8.2f} ms   (95 %: {quarter[-1]:.2f} ms)")
        print(f"{'memory of a waiting sandbox':36} {memory(full):8.1f} MiB")
        publications(folder, rounds * 10)
        for workers, ready in ((1, 0), (1, 1), (2, 1), (2, 2)):
            queue = Bench(f"sqlite:///{folder}/queue-{workers}-{ready}", given=workers)
            for _ in range(rounds):
                queue.publish()
            rate = queue.work_off(full, workers, ready)
            print(f"{f'{workers} workers, {ready} sandboxes ready each':36} {rate:8.1f} runs/s")
            queue.engine.dispose()
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
