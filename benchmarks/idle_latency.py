"""How long an idle consumer of the embedded queue takes from a commit to the plugin's call.

``python -m benchmarks.idle_latency`` starts a private PostgreSQL (``make servers`` finds it), forks
one consumer, records an event at a time with pauses between, and prints the percentiles. SQLite is
measured on a file in a temporary folder.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

from oslo_config import cfg
from sqlalchemy.orm import Session

from benchmarks import figures
from eventworker import Event, WorkerTaskBase, config, migrations, outbox
from eventworker.db import build_engine, short_transaction
from eventworker.engine import timelimit
from eventworker.engine.attempt import Caller
from eventworker.engine.backlog import BacklogRunner
from eventworker.engine.child import Child, fork
from eventworker.engine.consumer import Consumer
from eventworker.engine.dispatch import Dispatcher
from eventworker.engine.loader import Loaded
from eventworker.engine.registered import RegistryView
from eventworker.engine.slot import Slot
from eventworker.engine.wear import Wear
from eventworker.inbox import registry
from eventworker.transports.sql import SqlTransport
from tests.servers import PostgresServer


class Stopwatch(WorkerTaskBase):
    """Writes the moment of each call into a pipe; all processes of a host share that clock."""

    def __init__(self, conf: cfg.ConfigOpts, pipe: int) -> None:
        super().__init__(conf)
        self._pipe = pipe

    def handle(self) -> None:
        """Note the time."""
        os.write(self._pipe, f"{time.monotonic()}\n".encode())


def consume(url: str, pipe: int, child: Child) -> None:
    """One consumer with the stopwatch as its only plugin."""
    timelimit.install()
    conf = cfg.ConfigOpts()
    config.register(conf)
    conf([], project="eventworker-benchmark", default_config_files=[])
    engine = build_engine(url)
    loaded = Loaded("stopwatch", Stopwatch(conf, pipe), frozenset())
    view = RegistryView(engine, [loaded], "main", refresh=1.0)
    caller = Caller(engine, conf, child.slot)
    dispatcher = Dispatcher(engine, caller, view, 1024 * 1024, patience=1000.0)
    subscription = SqlTransport(engine, poll_interval=60.0).subscribe(32, child.name)
    backlog = BacklogRunner(engine, caller, view, child.name)
    wear = Wear(max_rss=0, max_events=0)
    Consumer(engine, child, wear, backlog, dispatcher, subscription, 1.0).run()
    subscription.close()


@contextmanager
def databases() -> Iterator[dict[str, str]]:
    """Name to URL of the databases that are measured."""
    with tempfile.TemporaryDirectory() as folder, PostgresServer() as server:
        yield {"postgresql": server.createdb(), "sqlite": f"sqlite:///{folder}/events.sqlite"}


def measure(url: str, events: int) -> list[float]:
    """Milliseconds from each commit to its call, in order of size."""
    engine = build_engine(url)
    migrations.upgrade(engine)
    with short_transaction(engine) as connection:
        registry.sync(connection, ["stopwatch"], [])
    engine.dispose()
    read_end, write_end = os.pipe()
    nothing = SimpleNamespace(mutate_config_files=lambda: None)
    pid = fork(lambda child: consume(url, write_end, child), Slot(), nothing)
    found = []
    with os.fdopen(read_end) as calls:
        for number in range(events + 3):
            with Session(engine) as session:
                outbox.record(session, Event(method="POST", resource="story", resource_id=number))
                session.commit()
            committed = time.monotonic()
            latency = (float(calls.readline()) - committed) * 1000
            if number >= 3:  # the first ones find connections still to be opened
                found.append(latency)
            time.sleep(random.uniform(0.02, 0.1))
    os.kill(pid, 15)
    os.waitpid(pid, 0)
    return sorted(found)


def main() -> None:
    """Measure each database and print one line for it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=300, help="events per database")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the table as JSON, too")
    options = parser.parse_args()
    events, rows = options.events, []
    print(f"{'database':<12}{'p50 ms':>8}{'p99 ms':>8}{'max ms':>8}   ({events} events each)")
    with databases() as urls:
        for name, url in urls.items():
            found = measure(url, events)
            p99 = found[int(len(found) * 0.99) - 1]
            p50, worst = statistics.median(found), found[-1]
            print(f"{name:<12}{p50:8.1f}{p99:8.1f}{worst:8.1f}")
            rows.append({"Database": name, "p50 ms": p50, "p99 ms": p99, "worst ms": worst})
    if options.out:
        figures.write(options.out, "idle-latency", rows)


if __name__ == "__main__":
    main()
