"""What the engine costs without a broker: microseconds per event, by kind of plugin and group size.

``python -m benchmarks.engine_cost`` starts a private PostgreSQL (``make servers`` finds it) and has
one process dispatch events of 1 kB that lie in memory, as a consumer does. Each run is checked: as
many rows as events. ``--profile`` prints where the time goes.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import statistics
import time
from typing import Any

from oslo_config import cfg
from sqlalchemy import Engine, func, insert, select
from sqlalchemy import String as Text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from eventworker import Event, WorkerTaskBase, config, migrations
from eventworker.db import build_engine, short_transaction
from eventworker.engine import timelimit
from eventworker.engine.attempt import Caller
from eventworker.engine.dispatch import Dispatcher
from eventworker.engine.loader import Loaded, handle_arguments
from eventworker.engine.registered import RegistryView
from eventworker.engine.slot import Slot
from eventworker.inbox import registry
from eventworker.inbox.claims import inbox_table
from eventworker.transport import Message
from eventworker.transports.memory import MemoryTransport
from tests.servers import PostgresServer


class Base(DeclarativeBase):
    """The benchmark's own tables."""


class Row(Base):
    """One effect."""

    __tablename__ = "added"
    id: Mapped[int] = mapped_column(primary_key=True)
    event: Mapped[str] = mapped_column(Text(36))
    resource: Mapped[str] = mapped_column(Text(60))


class Counter(Base):
    """A row that a mixed plugin reads and changes."""

    __tablename__ = "counter"
    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int]


COUNTERS = 100


class Adds(WorkerTaskBase):
    """Adds one object."""

    transactional = True

    def handle(self, session: Session, event: Event) -> None:
        """Add it."""
        session.add(Row(event=str(event.id), resource=event.resource))


class Ordinary(Adds):
    """The same, without a word about its effects."""

    transactional = False


class Mixed(WorkerTaskBase):
    """Reads a row, adds one, and changes the first."""

    transactional = True

    def handle(self, session: Session, event: Event) -> None:
        """Three statements."""
        counter = session.scalars(
            select(Counter).where(Counter.id == int(event.resource_id or 0) % COUNTERS)
        ).one()
        session.add(Row(event=str(event.id), resource=event.resource))
        counter.number += 1


class MixedOrdinary(Mixed):
    """The same, without a word about its effects."""

    transactional = False


class Batch(Adds):
    """Writes the rows of all events at once."""

    def handle_batch(self, session: Session, events: list[Event]) -> None:
        """One statement."""
        session.execute(
            insert(Row), [{"event": str(each.id), "resource": each.resource} for each in events]
        )


KINDS = {each.__name__.lower(): each for each in (Ordinary, Adds, MixedOrdinary, Mixed, Batch)}


def messages(count: int) -> list[Message]:
    """Events of 1 kB."""
    image = {"title": "x" * 300, "text": "y" * 300, "status": "open", "numbers": [1, 2, 3]}
    return [
        Message.of(
            Event(
                method="PUT",
                url="https://tracker.example/stories/42",
                path=f"/stories/{number}",
                status=200,
                resource="story",
                resource_id=number,
                resource_after=image,
            )
        )
        for number in range(count)
    ]


def measure(
    engine: Engine, kind: str, events: int, group: int, profile: bool
) -> tuple[float, float]:
    """Microseconds per event, by the clock and of this process's processor."""
    conf = cfg.ConfigOpts()
    config.register(conf)
    conf([], project="eventworker-benchmark", default_config_files=[])
    with short_transaction(engine) as connection:
        connection.execute(registry.plugin_table.delete())
        registry.sync(connection, [kind], [])
        for table in (*Base.metadata.sorted_tables, inbox_table):
            connection.execute(table.delete())
        connection.execute(
            insert(Counter.__table__), [{"id": n, "number": 0} for n in range(COUNTERS)]
        )
    plugin: Any = KINDS[kind](conf)
    loaded = Loaded(kind, plugin, handle_arguments(plugin))
    caller = Caller(engine, conf, Slot())
    view = RegistryView(engine, [loaded], "main", refresh=60.0)
    dispatcher = Dispatcher(engine, caller, view, 1024 * 1024, 900.0, group)
    transport = MemoryTransport()
    transport.publish(messages(events))
    subscription = transport.subscribe(2 * group)
    profiler = cProfile.Profile()
    began, cpu = time.perf_counter(), time.process_time()
    if profile:
        profiler.enable()
    while deliveries := subscription.gather(min(group, dispatcher.appetite), 0.0):
        dispatcher.dispatch(*deliveries)
    profiler.disable()
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    if profile:
        pstats.Stats(profiler).sort_stats("tottime").print_stats(45)
    with engine.connect() as connection:
        done = connection.scalar(select(func.count()).select_from(Row))
    assert done == events, f"{done} rows of {events} events"
    return seconds / events * 1e6, cpu / events * 1e6


def main() -> None:
    """Measure one after the other, several rounds, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=3000, help="events per run")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each")
    parser.add_argument("--groups", type=int, nargs="+", default=[1, 10, 32, 100, 200])
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--profile", action="store_true", help="print the dearest functions")
    options = parser.parse_args()
    timelimit.install()
    found: dict[tuple[str, int], list[tuple[float, float]]] = {}
    with PostgresServer() as postgres:
        engine = build_engine(postgres.createdb())
        migrations.upgrade(engine)
        Base.metadata.create_all(engine)
        for _ in range(options.rounds):
            for kind in options.kinds:
                for group in options.groups:
                    if group > 1 and not KINDS[kind].transactional:
                        continue
                    cost = measure(engine, kind, options.events, group, options.profile)
                    found.setdefault((kind, group), []).append(cost)
        engine.dispose()
    print(f"{'plugin':<16}{'group':>6}{'us/event':>10}{'us of CPU':>11}")
    for (kind, group), costs in found.items():
        clock, cpu = (statistics.median(column) for column in zip(*costs, strict=True))
        print(f"{kind:<16}{group:>6}{clock:>10.0f}{cpu:>11.0f}")


if __name__ == "__main__":
    main()
