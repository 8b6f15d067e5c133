"""The work that every queue is given: one row through a session, committed."""

import os
import time
from typing import Any

from sqlalchemy import create_engine, event
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

URL = os.environ["BENCHMARK_URL"]
engine = create_engine(URL)


class Base(DeclarativeBase):
    """Of the one table."""


class Row(Base):
    """One piece of work, done."""

    __tablename__ = "work_done"
    event: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[float]


if engine.dialect.name == "sqlite":

    @event.listens_for(engine, "connect")
    def durable(connection: Any, _record: Any) -> None:
        """As durable as ours."""
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")


def work(number: int) -> None:
    """Leave a row."""
    with Session(engine) as session:
        session.add(Row(event=str(number), at=time.monotonic()))
        session.commit()
