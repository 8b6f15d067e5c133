"""Spools, and targets that a test opens and closes."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from eventworker.capture.spool import Spool
from eventworker.capture.spool.targets import Target
from eventworker.errors import TransportError, TransportUnavailable
from eventworker.transport import Message, Subscription, Transport
from tests.helpers.events import make_event, number_of


class Gate(Transport):
    """A target that takes what it is given while it is open, and remembers it."""

    def __init__(self, *, is_open: bool = True) -> None:
        self.taken: list[Message] = []
        self.asked = 0
        self.closed = False
        self._open = threading.Event()
        if is_open:
            self._open.set()

    def open(self) -> None:
        self._open.set()

    def shut(self) -> None:
        self._open.clear()

    @property
    def numbers(self) -> list[Any]:
        return [number_of(message.body) for message in self.taken]

    def publish(
        self, messages: Sequence[Message], timeout: float = 30.0
    ) -> list[TransportError | None]:
        self.asked += 1
        if not self._open.is_set():
            return [TransportUnavailable("the gate is shut") for _ in messages]
        self.taken += messages
        return [None] * len(messages)

    def subscribe(self, prefetch: int, owner: str = "", hold: float = 60.0) -> Subscription:
        raise NotImplementedError

    def close(self) -> None:
        self.closed = True


def spool_to(target: Transport | Target, path: Path, **options: Any) -> Spool:
    """A spool that tries again quickly."""
    build: Callable[[], Transport] = target if not isinstance(target, Transport) else lambda: target
    return Spool(path, build, **{"longest_pause": 0.2, **options})


@contextmanager
def spools_at(path: Path) -> Iterator[Callable[..., Spool]]:
    """Makes spools, at ``path`` unless told otherwise, that are closed at the end."""
    opened: list[Spool] = []

    def make(target: Transport | Target, where: Path = path, **options: Any) -> Spool:
        opened.append(spool_to(target, where, **options))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


def put_numbered(spool: Spool, numbers: Sequence[int], **fields: Any) -> None:
    for number in numbers:
        spool(make_event(resource_id=number, **fields))


def recorded(engine: Engine) -> list[tuple[str, int]]:
    """(source, number) of each row of a SQLite outbox, as they were inserted."""
    with engine.connect() as connection:
        rows = connection.execute(
            text("SELECT source, body FROM eventworker_outbox ORDER BY rowid")
        )
        return [(source, number_of(body)) for source, body in rows]
