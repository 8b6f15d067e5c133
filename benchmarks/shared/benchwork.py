"""The work that everybody does for an event, in the form in which a user of SQLAlchemy writes it.

This module is on the path of every measured process. It needs SQLAlchemy alone, so that each of
them can have it in an environment of its own. What a run wants stands in ``BENCH_...`` variables
of the process's environment.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import BigInteger, Engine, Identity, Integer, String, Text, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

DATABASE = os.environ.get("BENCH_DATABASE", "")
AMQP = os.environ.get("BENCH_AMQP", "")
QUEUE = os.environ.get("BENCH_QUEUE", "bench")
#: Messages that a process may hold, where the peer lets its user choose.
PREFETCH = int(os.environ.get("BENCH_PREFETCH", "100"))
#: Per cent of the events whose first attempts fail.
FAILING = int(os.environ.get("BENCH_FAILING", "0"))
#: Seconds from an event's first attempt in which each attempt fails, if the event is to fail.
OUTAGE = 0.5
#: Rows that the mixed work selects from and counts in.
COUNTERS = 10_000

_Key = BigInteger().with_variant(Integer, "sqlite")


class Base(DeclarativeBase):
    """The tables of the work."""


class Effect(Base):
    """What an event leaves behind. Nothing is unique, so that a second effect is seen."""

    __tablename__ = "bench_effect"

    id: Mapped[int] = mapped_column(_Key, Identity(), primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger)
    resource: Mapped[str] = mapped_column(String(120))
    note: Mapped[str] = mapped_column(Text)
    #: When the event was published, seconds of the host's clock; None where nobody asks.
    published: Mapped[float | None]


class Counter(Base):
    """What the mixed work reads and changes."""

    __tablename__ = "bench_counter"

    id: Mapped[int] = mapped_column(_Key, primary_key=True)
    count: Mapped[int] = mapped_column(default=0)


class Outage(Exception):
    """What a failing event raises."""


def engine(connections: int = 5) -> Engine:
    """The one engine of a process."""
    return create_engine(DATABASE, pool_size=connections, max_overflow=0)


def values(event: dict[str, Any]) -> dict[str, Any]:
    """The columns of an event's row."""
    after = event["resource_after"]
    return {
        "number": event["resource_id"],
        "resource": event["resource"],
        "note": after["title"],
        "published": after["published"],
    }


def add(session: Session, event: dict[str, Any]) -> None:
    """One new row."""
    enter()
    session.add(Effect(**values(event)))


def mixed(session: Session, event: dict[str, Any]) -> None:
    """Select a row by its key, add a row, and change the selected one."""
    enter()
    counter = session.get_one(Counter, event["resource_id"] % COUNTERS)
    session.add(Effect(**values(event)))
    counter.count += 1


def failing(session: Session, event: dict[str, Any]) -> None:
    """One new row, after an outage for some of the events."""
    enter()
    number = event["resource_id"]
    if number % 100 < FAILING:
        begun = _first_attempts.setdefault(number, time.monotonic())
        if time.monotonic() < begun + OUTAGE:
            raise Outage(f"event {number} does not work yet")
    session.add(Effect(**values(event)))


_first_attempts: dict[int, float] = {}

Work = Callable[[Session, dict[str, Any]], None]
WORKS: dict[str, Work] = {"add": add, "mixed": mixed, "failing": failing}
#: The work of this run.
work: Work = WORKS[os.environ.get("BENCH_WORK", "add")]


def perform(bind: Engine, event: dict[str, Any]) -> None:
    """The work in a session of its own, committed: what a handler of a peer does."""
    with Session(bind) as session:
        work(session, event)
        session.commit()


def enter() -> None:
    """Wait, with the first event of each process, until the start of the measurement.

    Nobody wins or loses by the time that it takes to import, to connect and to fork.
    """
    global _entered
    if _entered != os.getpid():
        with _gate:
            if _entered != os.getpid():
                _wait_for_start(Path(os.environ["BENCH_GATE"]))
                _entered = os.getpid()


def _wait_for_start(folder: Path) -> None:
    (folder / f"{os.getpid()}.waits").touch()
    while not (folder / "open").exists():
        time.sleep(0.005)


_gate = threading.Lock()
_entered: int | None = None
