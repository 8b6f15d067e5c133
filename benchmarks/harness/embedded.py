"""Queues without a broker: tables that the publisher writes."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
from contextlib import closing

from sqlalchemy import NullPool, create_engine, func, select
from sqlalchemy.orm import Session

from benchmarks.harness.contenders import Contender
from benchmarks.harness.environments import PEERS, module_path, program
from benchmarks.harness.messages import event
from benchmarks.harness.queue import Queue
from benchmarks.harness.servers import Place
from eventworker import Event, outbox
from eventworker.outbox.table import READY, outbox_table


class ProcrastinateQueue(Queue):
    """Procrastinate's table of jobs, with the statement that its own publisher executes."""

    _DEFER = (
        "SELECT procrastinate_defer_jobs_v1(ARRAY[ROW(%s, 'work', 0, NULL, NULL, %s, NULL)"
        "::procrastinate_job_to_defer_v1])"
    )

    def __init__(self, contender: Contender, place: Place) -> None:
        self._name = contender.queue
        self._connection = place.connect()

    def publish(self, number: int, published: float | None = None) -> None:
        body = json.dumps({"event": event(number, published)})
        self._connection.execute(self._DEFER, (self._name, body))

    def left(self) -> int:
        found = self._connection.execute(
            "SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing')"
        ).fetchone()
        return found[0] if found else 0

    def fill(self, events: int) -> None:
        with self._connection.transaction():
            super().fill(events)
        # As the server would by itself a minute later.
        self._connection.execute("ANALYZE procrastinate_jobs")

    def close(self) -> None:
        self._connection.close()


class OutboxQueue(Queue):
    """Eventworker's outbox, which is the queue where there is no broker."""

    def __init__(self, contender: Contender, place: Place) -> None:
        self._engine = create_engine(place.url)

    def publish(self, number: int, published: float | None = None) -> None:
        with Session(self._engine) as session:
            outbox.record(session, Event(**event(number, published)))
            session.commit()

    def fill(self, events: int) -> None:
        with Session(self._engine) as session:
            for number in range(events):
                outbox.record(session, Event(**event(number)))
            session.commit()
        analyzer = create_engine(self._engine.url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with analyzer.connect() as connection:
            # As the server would by itself a minute later.
            connection.exec_driver_sql("ANALYZE eventworker_outbox")

    def left(self) -> int:
        ready = select(func.count()).where(outbox_table.c.state == READY)
        with self._engine.connect() as connection:
            return connection.scalar(ready) or 0

    def close(self) -> None:
        self._engine.dispose()


class HueyQueue(Queue):
    """Huey's file. A program of its environment publishes what it is told."""

    def __init__(self, contender: Contender, place: Place) -> None:
        self._file = place.folder / "huey.sqlite"
        env = {
            "PYTHONPATH": module_path("huey"),
            "PATH": os.environ["PATH"],
            "BENCH_DATABASE": place.url,
            "BENCH_FOLDER": str(place.folder),
        }
        self._publisher = subprocess.Popen(
            [program("huey", "python"), PEERS / "huey/publish.py"],
            env=env,
            stdin=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def publish(self, number: int, published: float | None = None) -> None:
        assert self._publisher.stdin is not None
        self._publisher.stdin.write(f"{json.dumps(event(number, published))}\n")

    def left(self) -> int:
        if not self._file.exists():
            return 0
        with closing(sqlite3.connect(self._file)) as connection:
            try:
                (found,) = connection.execute("SELECT count(*) FROM task").fetchone()
            except sqlite3.OperationalError:  # its tables are being made
                return 0
        return int(found)

    def close(self) -> None:
        assert self._publisher.stdin is not None
        self._publisher.stdin.close()
        self._publisher.wait(timeout=10)
