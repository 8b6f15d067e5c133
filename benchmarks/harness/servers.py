"""The private servers of a benchmark, and a database and a virtual host for each run."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from sqlalchemy import NullPool, create_engine, insert

from benchmarks.harness import daemon
from benchmarks.harness.environments import PEERS, module_path, program
from benchmarks.shared import benchwork
from tests.servers import PostgresServer, RabbitServer, Vhost

#: fsync and synchronous_commit stay on. The times of the commits are what is measured, and a
#: checkpoint in the middle would fall upon one contender and not upon the other.
SETTINGS = {
    "track_commit_timestamp": "on",
    "shared_buffers": "128MB",
    "max_connections": "300",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "1h",
}
#: Each commit waits for two milliseconds, as for a slow disk.
SLOW_COMMITS = {"commit_delay": "2000", "commit_siblings": "0"}
_TEMPLATE = "bench_template"


@dataclass(frozen=True)
class Place:
    """What one run has for itself."""

    url: str
    vhost: Vhost
    folder: Path

    def connect(self) -> psycopg.Connection:
        """A connection of the benchmark's own."""
        return psycopg.connect(self.url.replace("+psycopg", ""), autocommit=True)


class Servers:
    """RabbitMQ and PostgreSQL."""

    def __init__(self, postgres: PostgresServer, rabbit: RabbitServer) -> None:
        self._postgres, self._rabbit = postgres, rabbit

    @contextmanager
    def place(self) -> Iterator[Place]:
        """A fresh database with all tables, and a fresh virtual host."""
        url = self._postgres.createdb(template=_TEMPLATE)
        vhost = self._rabbit.add_vhost()
        try:
            with tempfile.TemporaryDirectory(prefix="eventworker-bench-") as folder:
                yield Place(url, vhost, Path(folder))
        finally:
            self._rabbit.delete_vhost(vhost.vhost)
            self._postgres.dropdb(url.rpartition("/")[2])

    def versions(self) -> dict[str, str]:
        """Of the servers."""
        with psycopg.connect(self._postgres.url("postgres").replace("+psycopg", "")) as connection:
            (postgres,) = connection.execute("SHOW server_version").fetchone() or ("",)
        rabbit = self._rabbit.evaluate("rabbit_misc:version()").strip('"')
        return {"postgresql": postgres.split()[0], "rabbitmq": rabbit}

    def make_template(self, procrastinate: bool) -> None:
        """The database that those of all runs are copies of."""
        url = self._postgres.createdb(_TEMPLATE)
        engine = create_engine(url, poolclass=NullPool)
        benchwork.Base.metadata.create_all(engine)
        with engine.begin() as connection:
            rows = [{"id": number, "count": 0} for number in range(benchwork.COUNTERS)]
            connection.execute(insert(benchwork.Counter), rows)
        engine.dispose()
        with tempfile.TemporaryDirectory() as folder:
            daemon.make_tables(Path(folder), url)
        if procrastinate:
            _make_procrastinates_tables(url)


@contextmanager
def servers(slow_commits: bool = False, procrastinate: bool = False) -> Iterator[Servers]:
    """Both of them, started for this benchmark and thrown away after it.

    :param procrastinate: whether its tables are needed, too.
    """
    settings = {**SETTINGS, **(SLOW_COMMITS if slow_commits else {})}
    with ExitStack() as stack:
        postgres = stack.enter_context(PostgresServer(settings))
        rabbit = stack.enter_context(RabbitServer())
        found = Servers(postgres, rabbit)
        found.make_template(procrastinate)
        yield found


def _make_procrastinates_tables(url: str) -> None:
    """By its own command."""
    command = [
        program("procrastinate", "procrastinate"),
        "--app",
        "worker.app",
        "schema",
        "--apply",
    ]
    env = {"PYTHONPATH": module_path("procrastinate"), "BENCH_DATABASE": url}
    done = subprocess.run(
        command, cwd=PEERS / "procrastinate", env=env, capture_output=True, text=True
    )
    if done.returncode != 0:
        raise RuntimeError(f"procrastinate schema: {done.stdout}{done.stderr}")
