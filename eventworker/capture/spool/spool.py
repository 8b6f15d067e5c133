"""The spool as a sink."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from eventworker.capture.spool import processes, waiting
from eventworker.capture.spool.alarm import Alarm
from eventworker.capture.spool.drainer import Drainer
from eventworker.capture.spool.intake import Intake
from eventworker.capture.spool.rounds import Rounds
from eventworker.capture.spool.store import Store
from eventworker.capture.spool.targets import Target
from eventworker.errors import ConfigError, EncodeError
from eventworker.event import Event
from eventworker.transport import Message, Transport

#: Seconds that the end of a process waits for the batch in hand.
_LAST_BATCH = 2.0
_SMALLEST = 1024 * 1024


class Spool:
    """A sink that keeps each event in a local file until its target has it.

    ::

        spool = Spool("/var/lib/tracker/events.spool", outbox_target(URL))
        application = EventMiddleware(application, spool, author=user_id_of)

    All processes of a host may share the file. Made before a fork, it works in parent and child.

    :param path: the file, on a local disk; it is made, with mode 0600, in a directory that exists.
    :param target: where the events go: :func:`~eventworker.capture.spool.outbox_target` or
        :func:`~eventworker.capture.spool.rabbit_target`.
    :param max_bytes: size of the file at which events are no longer put in, but refused with
        SpoolFull, which the capture answers by writing them to the log. The write-ahead log beside
        it, a few MiB, comes on top.
    :param longest_pause: seconds between two tries of a target that has been away for long.
    :param patience: seconds that a request may wait for another process's transaction.
    :raises ConfigError: when the directory is not there, or not to be written in.
    """

    def __init__(
        self,
        path: str | Path,
        target: Target,
        *,
        max_bytes: int = 1024**3,
        longest_pause: float = 30.0,
        patience: float = 2.0,
    ) -> None:
        self.path = Path(path).absolute()
        _check(self.path, max_bytes)
        self._target = target
        self._built: Transport | None = None
        self._inherited: list[Any] = []
        self._store = Store(self.path, max_bytes, patience=patience)
        self._alarm = Alarm(self.path)
        self._intake = Intake(self._store, self._alarm)
        self._drainer = Drainer(self._store, self._rounds, self._close_target, longest_pause)
        processes.watch(self)

    def __call__(self, event: Event) -> None:
        """Put the event into the file, durably; no target and no network takes part.

        :raises EncodeError: when the event cannot be put on the wire.
        :raises SpoolError: when the file cannot take it.
        """
        if event.time.tzinfo is None:
            raise EncodeError("time is a naive datetime, which says no point in time")
        message = Message.of(event)
        try:
            self._intake.put(message)
        finally:
            self._drainer.wake()

    def start(self) -> None:
        """Begin to deliver what an earlier process left, before the first event of this one."""
        self._drainer.wake()

    def status(self) -> dict[str, Any]:
        """What ``eventworker spool status`` shows, for a health page.

        :raises SpoolError: when the file cannot be read.
        """
        return self._store.read(waiting.summary)

    def close(self) -> None:
        """End delivery after the batch in hand; what waits stays in the file. Called at the end of
        the process, too."""
        self._drainer.close(_LAST_BATCH)
        self._store.close()

    # Called around a fork, see `processes`.

    def before_fork(self) -> None:
        """No transaction is under way and the file is closed, in both processes."""
        self._store.before_fork()

    def after_fork_here(self) -> None:
        """The parent goes on."""
        self._store.after_fork_here()

    def after_fork_in_child(self) -> None:
        """The child has a drainer and a target of its own, once it needs them."""
        # Not closed: a farewell on the parent's connection would end it for the parent, too.
        self._inherited.append(self._built)
        self._built = None
        self._store.after_fork_in_child()
        self._intake.after_fork_in_child()
        self._drainer.after_fork_in_child()

    def _rounds(self) -> Rounds:
        self._built = self._target()
        return Rounds(self._store, self._alarm, self._built)

    def _close_target(self) -> None:
        built, self._built = self._built, None
        if built is not None:
            built.close()


def _check(path: Path, max_bytes: int) -> None:
    if max_bytes < _SMALLEST:
        raise ConfigError(f"a spool needs at least {_SMALLEST} bytes, and max_bytes is {max_bytes}")
    if not path.parent.is_dir():
        raise ConfigError(
            f"the directory {path.parent} of the spool is not there; make it, on a local disk, "
            "for the application's user alone (mode 0700)"
        )
    if path.is_dir():
        raise ConfigError(f"the spool {path} has to be a file, and it is a directory")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise ConfigError(
            f"the directory {path.parent} of the spool cannot be written in by this user"
        )
