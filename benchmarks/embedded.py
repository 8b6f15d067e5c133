"""The embedded queue: the daemon with ``driver = sql`` beside others that queue in a database.

``python -m benchmarks.embedded`` fills a queue, starts its worker, and measures how fast the rows
appear that the work is to leave: one row, through a SQLAlchemy session, committed, per event. Every
queue is as durable as ours (SQLite: WAL and synchronous = FULL; PostgreSQL: as it comes), has one
worker process, and lives in one database with the rows. huey (SQLite) and procrastinate
(PostgreSQL) are run from virtual environments of their own, ``--huey`` and ``--procrastinate`` name
their folders; without one only ours is measured. Ours keeps an inbox beside that work, so each
event is handled once; huey loses the task that a crash interrupts.

The second table is the queue's share: microseconds per event to lease and to settle, with nothing
done in between.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine, insert, text

from benchmarks.relay import events_of_a_kilobyte
from eventworker import migrations
from eventworker.db import build_engine, short_transaction
from eventworker.outbox.table import outbox_table, row_of
from eventworker.transports.sql import SqlTransport
from tests.helpers.distributions import ROOT, install
from tests.servers import PostgresServer

HERE = Path(__file__).parent
#: Seconds after which a run is given up.
PATIENCE = 60.0
TABLE = "CREATE TABLE work_done (event VARCHAR(36) PRIMARY KEY, at DOUBLE PRECISION NOT NULL)"
PLUGIN = """
import time

from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from eventworker import WorkerTaskBase


class Base(DeclarativeBase):
    pass


class Row(Base):
    __tablename__ = "work_done"
    event: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[float]


class Writer(WorkerTaskBase):
    transactional = True

    def handle(self, session, event):
        session.add(Row(event=str(event.id), at=time.monotonic()))
"""


def fill(engine: Engine, number: int) -> None:
    """The tables, and so many events of a kilobyte."""
    migrations.upgrade(engine)
    rows = [row_of(message) for message in events_of_a_kilobyte(number)]
    with short_transaction(engine) as connection:
        connection.execute(text(TABLE))
        connection.execute(insert(outbox_table), rows)


def speed(engine: Engine, number: int) -> float:
    """Wait for all rows; events per second from the first to the last of them."""
    until = time.monotonic() + PATIENCE
    query = text("SELECT count(*), min(at), max(at) FROM work_done")
    while time.monotonic() < until:
        time.sleep(0.2)
        with engine.connect() as connection:
            count, first, last = connection.execute(query).one()
        if count == number:
            return float((number - 1) / (last - first))
    raise SystemExit(f"{count} of {number} events in {PATIENCE:.0f} s")


@contextmanager
def running(command: list[str | Path], env: dict[str, str], log: Path) -> Iterator[int]:
    """A worker, until the end of the block; its process id."""
    with log.open("wb") as output:
        worker = subprocess.Popen(command, env={**os.environ, **env}, stdout=output, stderr=output)
    try:
        yield worker.pid
    finally:
        worker.send_signal(signal.SIGINT)
        try:
            worker.wait(15)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()


def daemon(folder: Path, options: str) -> tuple[list[str | Path], dict[str, str]]:
    """The command and the environment of a daemon with one consumer and the writer.

    :param options: what else stands in its configuration.
    """
    site = folder / "site"
    if not site.exists():
        install(
            site, "benchmark-plugin", {"writer": "benchmark_plugin:Writer"}, benchmark_plugin=PLUGIN
        )
    config = folder / "eventworker.conf"
    config.write_text(
        "[DEFAULT]\nenable_notifications = True\nworker_count = 1\n"
        f"[plugins]\nonly = writer\n{options}"
    )
    program = Path(sys.executable).parent / "storyboard-worker-daemon"
    path = os.pathsep.join([str(site), str(ROOT)])
    return [program, "--config-file", config], {"PYTHONPATH": path}


def ours(url: str, number: int, folder: Path, prefetch: int) -> float:
    """The daemon with one consumer."""
    engine = build_engine(url)
    fill(engine, number)
    command, env = daemon(
        folder,
        f"[database]\nconnection = {url}\n[notifications]\ndriver = sql\nprefetch = {prefetch}\n",
    )
    with running(command, env, folder / "daemon.log"):
        found = speed(engine, number)
    engine.dispose()
    return found


def theirs(environment: Path, name: str, url: str, number: int, folder: Path) -> float:
    """Another queue's worker; its module in ``embedded_peers`` fills the queue and runs it."""
    engine = build_engine(url)
    with short_transaction(engine) as connection:
        connection.execute(text(TABLE))
    command = [environment / "bin" / "python", HERE / "embedded_peers" / f"{name}_worker.py"]
    env = {"BENCHMARK_URL": url, "PYTHONPATH": str(HERE / "embedded_peers")}
    subprocess.run([*command, "fill", str(number)], env={**os.environ, **env}, check=True)
    with running([*command, "work"], env, folder / f"{name}.log"):
        found = speed(engine, number)
    engine.dispose()
    return found


def share(url: str, number: int, prefetch: int) -> float:
    """Microseconds per event that is leased, handed out, acked and settled."""
    engine = build_engine(url)
    fill(engine, number)
    subscription = SqlTransport(engine).subscribe(prefetch, "benchmark")
    started = time.perf_counter()
    for _ in range(number):
        delivery = subscription.receive(5.0)
        assert delivery is not None, "the queue is empty too early"
        delivery.ack()
    subscription.close()
    took = time.perf_counter() - started
    with engine.connect() as connection:
        left = connection.scalar(text("SELECT count(*) FROM eventworker_outbox WHERE state <> 1"))
    assert left == 0, f"{left} events are not settled"
    engine.dispose()
    return took / number * 1e6


def main() -> None:
    """Measure in turns and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--events", type=int, default=5000, help="events per run")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each")
    parser.add_argument("--prefetch", type=int, default=100, help="ours, events leased at a time")
    parser.add_argument("--huey", type=Path, help="a virtual environment with huey, SQLAlchemy")
    parser.add_argument("--procrastinate", type=Path, help="the same, and procrastinate, psycopg")
    options = parser.parse_args()
    found: dict[str, list[float]] = {}
    shares: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name, PostgresServer() as postgres:
        folder = Path(name)

        def url_of(database: str) -> str:
            if database == "postgresql":
                return postgres.createdb()
            fresh = Path(tempfile.mkdtemp(dir=folder))
            return f"sqlite:///{fresh}/events.sqlite"

        for _ in range(options.rounds):
            for database, peer in (("sqlite", "huey"), ("postgresql", "procrastinate")):
                environment = getattr(options, peer)
                if environment is not None:
                    speed_of_it = theirs(
                        environment, peer, url_of(database), options.events, folder
                    )
                    found.setdefault(f"{database}: {peer}", []).append(speed_of_it)
                ours_now = ours(url_of(database), options.events, folder, options.prefetch)
                found.setdefault(f"{database}: eventworker", []).append(ours_now)
                for prefetch in (32, 200):
                    taken = share(url_of(database), options.events, prefetch)
                    shares.setdefault(f"{database}, prefetch {prefetch}", []).append(taken)
    print(f"{options.events} events, medians of {options.rounds}")
    peer = 0.0
    for title, speeds in found.items():
        median = statistics.median(speeds)
        ratio = f"{median / peer:6.1f} x" if "eventworker" in title and peer else ""
        peer = median if "eventworker" not in title else 0.0
        print(f"{title:<28}{median:9.0f} events/s{ratio}")
    for title, taken in shares.items():
        print(f"{title:<28}{statistics.median(taken):9.0f} us per event in the queue alone")


if __name__ == "__main__":
    main()
