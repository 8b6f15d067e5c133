"""What order costs: one plugin, ordered and not, two consumers, RabbitMQ and PostgreSQL.

``python -m benchmarks.ordered`` starts private servers (``make servers`` finds them), records
events in order, relays them to the broker, and only then forks the consumers. The plugin writes one
row. Each line says how many events per second were done, how many had to wait for an earlier one of
their resource, and how many were done out of order.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from oslo_config import cfg
from sqlalchemy import (
    BigInteger,
    Column,
    Engine,
    Float,
    MetaData,
    Table,
    func,
    insert,
    select,
)
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy.orm import Session

from benchmarks import figures
from eventworker import Event, WorkerTaskBase, config, migrations, outbox
from eventworker.db import EventId, build_engine, short_transaction
from eventworker.engine import timelimit
from eventworker.engine.attempt import Caller
from eventworker.engine.backlog import BacklogRunner
from eventworker.engine.child import Child, fork
from eventworker.engine.consumer import Consumer
from eventworker.engine.dispatch import Dispatcher
from eventworker.engine.loader import Loaded, handle_arguments
from eventworker.engine.registered import RegistryView
from eventworker.engine.relay import Relay
from eventworker.engine.slot import Slot
from eventworker.engine.wear import Wear
from eventworker.inbox import registry
from eventworker.outbox.table import outbox_table
from eventworker.transports.rabbit import RabbitTransport
from tests.helpers.rabbit import settings_at
from tests.servers import PostgresServer, RabbitServer, Vhost

CONSUMERS = 2
#: Seconds after which a run is given up.
PATIENCE = 180.0
METADATA = MetaData()
DONE = Table(
    "done",
    METADATA,
    Column("event", EventId),
    Column("at", Float(53)),
)
PARKED = Table("parked", METADATA, Column("number", BigInteger))


class Writer(WorkerTaskBase):
    """Writes one row."""

    def __init__(self, conf: cfg.ConfigOpts, ordered: bool) -> None:
        super().__init__(conf)
        self.ordered = ordered  # type: ignore[misc]

    def handle(self, session: Session, event: Event) -> None:
        """Note the event and the time; all processes of a host share that clock."""
        session.execute(insert(DONE), {"event": event.id, "at": time.monotonic()})


def consume(url: str, vhost: Vhost, ordered: bool, child: Child) -> None:
    """One consumer with the writer as its only plugin."""
    timelimit.install()
    conf = cfg.ConfigOpts()
    config.register(conf)
    conf([], project="eventworker-benchmark", default_config_files=[])
    engine = build_engine(url)
    plugin = Writer(conf, ordered)
    loaded = Loaded("writer", plugin, handle_arguments(plugin))
    view = RegistryView(engine, [loaded], "main", refresh=1.0)
    caller = Caller(engine, conf, child.slot)
    dispatcher = Dispatcher(engine, caller, view, 1024 * 1024, patience=900.0)
    backlog = BacklogRunner(engine, caller, view, child.name)
    parked = count_parked(engine)
    transport = RabbitTransport(settings_at(vhost))
    subscription = transport.subscribe(32, child.name)
    wear = Wear(max_rss=0, max_events=0)
    Consumer(engine, child, wear, backlog, dispatcher, subscription, 1.0).run()
    subscription.close()
    with short_transaction(engine) as connection:
        connection.execute(insert(PARKED).values(number=sum(parked)))


def count_parked(engine: Engine) -> list[int]:
    """Counts the rows that this process adds to the backlog."""
    parked: list[int] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.startswith("INSERT INTO eventworker_delivery"):
            parked.append(1)

    sqlalchemy_event.listen(engine, "before_cursor_execute", note)
    return parked


def fill(engine: Engine, vhost: Vhost, events: int, streams: int) -> None:
    """Record the events in order, round the resources, and give them to the broker."""
    with Session(engine) as session:
        for number in range(events):
            event = Event(method="PUT", resource="story", resource_id=number % streams)
            outbox.record(session, event, ordered=True)
        session.commit()
    transport = RabbitTransport(settings_at(vhost))
    relay = Relay(engine, transport, 200, "benchmark")
    while relay.run_once():
        pass
    transport.close()


@contextmanager
def consumers(url: str, vhost: Vhost, ordered: bool) -> Iterator[None]:
    """Two of them, until the end of the block."""
    nothing = SimpleNamespace(mutate_config_files=lambda: None)
    pids = [
        fork(lambda child: consume(url, vhost, ordered, child), Slot(), nothing)
        for _ in range(CONSUMERS)
    ]
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, 15)
        for pid in pids:
            os.waitpid(pid, 0)


def measure(url: str, vhost: Vhost, events: int, streams: int, ordered: bool) -> tuple[float, ...]:
    """Events per second, events that waited, and inversions."""
    engine = build_engine(url)
    migrations.upgrade(engine)
    METADATA.create_all(engine)
    with short_transaction(engine) as connection:
        registry.sync(connection, ["writer"], [], ordered=["writer"] if ordered else [])
    fill(engine, vhost, events, streams)
    engine.dispose()
    until = time.monotonic() + PATIENCE
    with consumers(url, vhost, ordered):
        while time.monotonic() < until and count(engine) < events:
            time.sleep(0.05)
    with engine.connect() as connection:
        # A message has its place only where it is asked for; the outbox has it anyway.
        place = outbox_table.c
        rows = connection.execute(
            select(DONE.c.at, place.stream, place.seq)
            .join(outbox_table, place.id == DONE.c.event)
            .order_by(DONE.c.at)
        ).all()
        parked = connection.scalar(select(func.sum(PARKED.c.number)))
    engine.dispose()
    assert len(rows) == events, f"{len(rows)} of {events} events in {PATIENCE:.0f} s"
    places: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        places[row.stream].append(row.seq)
    inversions = sum(a > b for seqs in places.values() for a, b in itertools.pairwise(seqs))
    return events / (rows[-1].at - rows[0].at), float(parked), inversions


def count(engine: Engine) -> int:
    """How many are done."""
    with engine.connect() as connection:
        return int(connection.scalar(select(func.count()).select_from(DONE)) or 0)


def main() -> None:
    """Measure side by side and print one line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=2000, help="events per run")
    parser.add_argument("--rounds", type=int, default=1, help="runs of each")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the table as JSON, too")
    arguments = parser.parse_args()
    found: dict[tuple[int, str], list[tuple[float, ...]]] = {}
    print(f"{'resources':>9}  {'plugin':<10}{'events/s':>9}{'waited':>8}{'inversions':>12}")
    with PostgresServer() as postgres, RabbitServer() as rabbit:
        for _ in range(arguments.rounds):
            for streams in (10, 1000):
                for ordered in (False, True):
                    vhost = rabbit.add_vhost()
                    measured = measure(
                        postgres.createdb(), vhost, arguments.events, streams, ordered
                    )
                    speed, parked, inversions = measured
                    name = "ordered" if ordered else "unordered"
                    found.setdefault((streams, name), []).append(measured)
                    print(f"{streams:>9}  {name:<10}{speed:9.0f}{parked:8.0f}{inversions:12.0f}")
    if arguments.out:
        titles = ("events/s", "waited", "inversions")
        rows = [
            {"Resources": streams, "Plugin": name}
            | dict(zip(titles, map(statistics.median, zip(*all_runs, strict=True)), strict=True))
            for (streams, name), all_runs in found.items()
        ]
        figures.write(arguments.out, "ordered", rows)


if __name__ == "__main__":
    main()
