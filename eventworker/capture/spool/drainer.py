"""The thread that empties the spool: one of all the processes that share the file, at a time.

The lock says whose turn it is. Who has it keeps it until nothing waits, also while the target is
away, so that one process asks after it and not all of them. Who put an event in and does not get
the lock comes back shortly after, until it has seen for itself that nothing waits: the holder may
have died, or have looked a moment too early.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

from eventworker.capture.spool import waiting
from eventworker.capture.spool.locks import FileLock
from eventworker.capture.spool.rounds import Rounds
from eventworker.capture.spool.store import Store
from eventworker.db import first_line
from eventworker.errors import EventworkerError, SpoolError

log = logging.getLogger(__name__)

#: Seconds until a look without reason: another process may have died with its events waiting.
_IDLE = 5.0
#: Seconds until the next try to get the lock from another process.
_STANDBY = 0.2
#: Seconds before the first retry of a target that is away; it doubles.
_FIRST_PAUSE = 0.1


def drain_lock(spool: Path) -> FileLock:
    """The lock of whoever empties the spool."""
    return FileLock(spool, "-drain")


class Drainer:
    """Starts its thread with the first :meth:`wake`.

    :param build: makes the rounds, in the thread; they are kept.
    :param close: called in the thread at its end, with what `build` made.
    :param longest_pause: seconds between two tries of a target that is away for long.
    """

    def __init__(
        self,
        store: Store,
        build: Callable[[], Rounds],
        close: Callable[[], None],
        longest_pause: float,
    ) -> None:
        self._store = store
        self._build = build
        self._close = close
        self._longest_pause = longest_pause
        self._lock = drain_lock(store.path)
        self._closed = False
        self.after_fork_in_child()

    def after_fork_in_child(self) -> None:
        """Threads do not survive a fork, and the lock is the parent's."""
        self._lock.release()
        self._rounds: Rounds | None = None
        self._woken = threading.Event()
        self._closing = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._trouble: str | None = None
        self._failures = 0
        self._away_since = 0.0

    def wake(self) -> None:
        """Something waits; returns at once."""
        self._woken.set()
        if not self._runs() and not self._closed:
            with self._starting:
                if not self._runs() and not self._closed:
                    self._start()

    def _runs(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name="eventworker-spool", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            # No more threads, or the interpreter ends: the event is safe, the next one tries again.
            log.warning("nobody empties the spool %s yet: %s", self._store.path, error)
        else:
            self._thread = thread

    def close(self, patience: float) -> None:
        """End the thread after the batch in hand; what waits stays in the file."""
        with self._starting:
            self._closed = True
        self._closing.set()
        self._woken.set()
        if self._thread is not None:
            self._thread.join(patience)

    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                self._woken.clear()
                self._woken.wait(self._turn())
        finally:
            self._rounds = None
            self._close()

    def _turn(self) -> float:
        """Deliver until nothing waits; returns seconds until the next look."""
        try:
            if not self._lock.acquire():
                self._closing.wait(_STANDBY)
                self._woken.set()
                return 0.0
            try:
                return self._empty()
            finally:
                self._lock.release()
        except Exception as error:
            # Whatever it is: without this thread no event would ever leave.
            return self._failed(error)

    def _empty(self) -> float:
        if self._rounds is None:
            self._rounds = self._build()
        while not self._closing.is_set():
            try:
                moved = self._rounds.once()
            except Exception as error:
                self._closing.wait(self._failed(error))
                continue
            self._worked()
            if moved == 0:
                self._rounds.shrink()
                return _IDLE
        return 0.0

    def _failed(self, error: Exception) -> float:
        """Tell the first time, and each time that the reason is another; returns the pause."""
        self._failures += 1
        reason = first_line(error)
        if self._failures == 1:
            self._away_since = time.monotonic()
        if self._trouble is None or not (_is_ours(error) or reason == self._trouble):
            log.warning(
                "the events of the spool %s wait, and requests go on: %s",
                self._store.path,
                reason,
                exc_info=None if _is_ours(error) else error,
            )
        if reason != self._trouble:
            self._trouble = reason
            self._note(reason)
        pause = min(self._longest_pause, _FIRST_PAUSE * 2.0 ** min(self._failures, 16))
        return pause * random.uniform(0.5, 1.0)

    def _worked(self) -> None:
        self._failures = 0
        if self._trouble is not None:
            self._trouble = None
            log.warning(
                "the events of the spool %s leave again, after %.0f s",
                self._store.path,
                time.monotonic() - self._away_since,
            )
            self._note(None)

    def _note(self, trouble: str | None) -> None:
        try:
            self._store.write(lambda connection: waiting.set_trouble(connection, trouble))
        except SpoolError as error:
            log.debug("the trouble cannot be noted: %s", error)


def _is_ours(error: Exception) -> bool:
    """Away, full and the like say all in one line; anything else comes with its traceback."""
    return isinstance(error, EventworkerError)
