"""The application: business row and event in one transaction, again and again."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from eventworker import outbox
from eventworker.event import Event
from tests.helpers.events import make_event

_INSERT = text("INSERT INTO probe_change (event_id, stream, n) VALUES (:event_id, :stream, :n)")
#: Seconds after which a commit that nobody answers is given up.
_PATIENCE = 5


class Producer:
    """One writer, so that the numbers of a stream have the order of their commits.

    Whether a change was committed is asked of the database alone; what the client was told is
    counted and not believed.

    :ivar ordered: whether each event takes its place among those of its stream.
    :ivar committed: changes whose commit was heard to succeed.
    :ivar refused: transactions whose end was an error.
    """

    def __init__(self, url: str, seed: int) -> None:
        options = {"connect_timeout": _PATIENCE} if url.startswith("postgresql") else {}
        self._engine = create_engine(url, poolclass=NullPool, connect_args=options)
        self._random = random.Random(seed)
        self._numbers: Counter[str] = Counter()
        self.ordered = False
        self.committed = 0
        self.refused = 0

    def produce(self, count: int, streams: int = 20, chunk: int = 50, **fields: Any) -> list[Event]:
        """Commit so many changes, each with its event, several in a transaction."""
        made: list[Event] = []
        while len(made) < count:
            made += self._transaction(min(chunk, count - len(made)), streams, fields)
        return made

    def attempt(self, count: int, streams: int = 20, **fields: Any) -> bool:
        """One transaction, which may fail; whether it was heard to succeed."""
        try:
            self._transaction(count, streams, fields)
        except (SQLAlchemyError, OSError):
            self.refused += 1
            return False
        return True

    @contextmanager
    def stream(self, rate: float, count: int, streams: int = 20) -> Iterator[None]:
        """Beside the block: about `rate` changes per second until it ends or there are `count`."""
        stop = threading.Event()
        thread = threading.Thread(target=self._flow, args=(stop, rate, count, streams))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _flow(self, stop: threading.Event, rate: float, count: int, streams: int) -> None:
        size = max(1, min(20, int(rate / 20)))
        started, tried = time.monotonic(), 0
        while tried < count and not stop.is_set():
            self.attempt(size, streams)
            tried += size
            stop.wait(max(0.0, started + tried / rate - time.monotonic()))

    def _transaction(self, count: int, streams: int, fields: dict[str, Any]) -> list[Event]:
        made = []
        with Session(self._engine) as session, session.begin():
            for _ in range(count):
                stream = self._random.randrange(streams)
                event = make_event(**{"resource_id": stream, **fields})
                name = f"{event.resource}/{event.resource_id}"
                # Never given twice: one that was rolled back is a gap.
                self._numbers[name] += 1
                outbox.record(session, event, ordered=self.ordered)
                values = {"event_id": str(event.id), "stream": name, "n": self._numbers[name]}
                session.execute(_INSERT, values)
                made.append(event)
        self.committed += len(made)
        return made
