"""What ``outbox.record`` adds to the request that makes a change.

``python -m benchmarks.record_cost`` starts a private PostgreSQL (``make servers`` finds it) and
commits transactions that insert one row of an application's through a session: alone, and with an
event recorded beside it, in turns, so that all of them meet the same load. Printed is the median
time of each, and its difference from the row alone, in microseconds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from benchmarks import figures
from eventworker import Event, migrations, outbox
from eventworker.capture.sqlalchemy import capture
from eventworker.db import build_engine
from eventworker.outbox.table import outbox_table
from tests.servers import PostgresServer


class Base(DeclarativeBase):
    """Of the application's one table."""


class Story(Base):
    """A row of the application's."""

    __tablename__ = "stories"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    description: Mapped[str]


def story() -> Story:
    """One to be inserted."""
    return Story(title="A story about a story", description="x" * 700)


def event_of(made: Story, number: int) -> Event:
    """What a handler of the application records."""
    return Event(
        author_id=7,
        method="POST",
        path="/v1/stories",
        status=201,
        resource="story",
        resource_id=number,
        resource_after={"title": made.title, "description": made.description},
    )


def alone(session: Session, _number: int) -> None:
    """The row, and no event."""
    session.add(story())


def recorded(session: Session, number: int) -> None:
    """The row and its event."""
    made = story()
    session.add(made)
    outbox.record(session, event_of(made, number))


def in_order(session: Session, number: int) -> None:
    """The same, with the event's place among those of its resource."""
    made = story()
    session.add(made)
    outbox.record(session, event_of(made, number), ordered=True)


def timed(
    factory: Callable[[], Session], work: Callable[[Session, int], None], number: int
) -> float:
    """Microseconds from the session's begin to its end."""
    started = time.perf_counter()
    with factory() as session:
        work(session, number)
        session.commit()
    return (time.perf_counter() - started) * 1e6


def count(engine: Engine) -> int:
    """Events in the outbox."""
    with engine.connect() as connection:
        return int(connection.scalar(select(func.count()).select_from(outbox_table)) or 0)


def main() -> None:
    """Measure in turns and print one line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--requests", type=int, default=2000, help="transactions of each")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the table as JSON, too")
    options = parser.parse_args()
    requests, rows = options.requests, []
    with PostgresServer() as postgres:
        engine = build_engine(postgres.createdb())
        migrations.upgrade(engine)
        Base.metadata.create_all(engine)
        plain: Any = sessionmaker(engine)
        captured: Any = sessionmaker(engine)
        capture(captured, {Story: "story"})
        ways = {
            "the row alone": (plain, alone),
            "and outbox.record": (plain, recorded),
            "and record, ordered": (plain, in_order),
            "captured by the listener": (captured, alone),
        }
        taken: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(requests + 50):
            for name, (factory, work) in ways.items():
                took = timed(factory, work, number)
                if number >= 50:  # the first ones compile statements and open connections
                    taken[name].append(took)
        assert count(engine) == 3 * (requests + 50), "not every event is there"
        engine.dispose()
    least = statistics.median(taken["the row alone"])
    for name, each in taken.items():
        median = statistics.median(each)
        print(f"{name:<26}{median:8.0f} us{median - least:+8.0f} us")
        rows.append({"Request": name, "us": median, "us more": median - least})
    if options.out:
        figures.write(options.out, "record-cost", rows)


if __name__ == "__main__":
    main()
