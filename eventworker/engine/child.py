"""A child process of the daemon, seen from both sides of the fork."""

from __future__ import annotations

import ctypes
import logging
import os
import platform
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from eventworker.engine.slot import Slot
from eventworker.errors import ConfigError
from eventworker.reload import reload

log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1
#: What the daemon is told things by.
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@contextmanager
def signals_held() -> Iterator[None]:
    """Keep the daemon's signals waiting until the end of the block.

    Without it, one that comes between a fork and the note of it is not passed on to the child.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def host_name() -> str:
    """This host and process namespace: within it, a process id means one process."""
    try:
        namespace = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        namespace = 0
    return f"{platform.node()}/{namespace}"


def is_alive(pid: int) -> bool:
    """Whether there is such a process here that still runs.

    A dead one stays listed until it is reaped; an orphan's reaper may take its time.
    """
    try:
        with open(f"/proc/{pid}/stat") as file:
            # The name before the state may hold anything, closing brackets too.
            return file.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


class Child:
    """What a child's code is given.

    :ivar name: owner of the leases that this process takes: host, process namespace and pid.
    :ivar slot: where it says which plugin it is calling.
    """

    def __init__(self, slot: Slot) -> None:
        self.name = f"{host_name()}/{os.getpid()}"
        self.slot = slot
        self._stopping = False
        # Closed until it is told to stop. No Event, which has a lock around its flag: the handler
        # that sets it may interrupt a wait that has that lock, and would wait for itself.
        self._gate = threading.Lock()
        self._gate.acquire()
        self._at_stop: Callable[[], None] | None = None

    @property
    def stopping(self) -> bool:
        """Whether this child has been told to finish what it has in hand and end."""
        return self._stopping

    def wait(self, seconds: float) -> None:
        """Wait, at most until told to stop."""
        if self._gate.acquire(timeout=max(seconds, 0.0)):
            self._gate.release()

    def at_stop(self, function: Callable[[], None]) -> None:
        """Have it called when this child is told to stop, by the signal handler: it must be short,
        and take no lock."""
        self._at_stop = function

    def stop(self) -> None:
        """Called from the signal handler."""
        if not self._stopping:
            self._stopping = True
            self._gate.release()
        if self._at_stop is not None:
            self._at_stop()


def fork(run: Callable[[Child], None], slot: Slot, conf: Any) -> int:
    """Fork a child that calls ``run`` and ends; returns its pid.

    The parent has no thread, no connection and no lock that a child could inherit half-done.
    """
    parent = os.getpid()
    # Until the child has handlers of its own, a signal would run the daemon's in it.
    with signals_held():
        pid = os.fork()
        if pid:
            return pid
        _become_child(parent, run, slot, conf)
    raise AssertionError("a child does not come back")


def _become_child(parent: int, run: Callable[[Child], None], slot: Slot, conf: Any) -> None:
    code = 1
    try:
        _die_with(parent)
        child = Child(slot)
        _set_signals(child, conf)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        run(child)
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        log.critical("a child process ends", exc_info=True)
    finally:
        logging.shutdown()
        # Not sys.exit: nothing of the parent's (buffers, atexit hooks) may run twice.
        os._exit(code)


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when the daemon dies, however it dies.

    A child inside a plugin's call would not hear a milder signal until the call ends, and nobody is
    left to end one that hangs. What a killed child had in hand is delivered again.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _set_signals(child: Child, conf: Any) -> None:
    # The parent's wake-up descriptor belongs to the parent.
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, lambda *_: child.stop())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the daemon tells us
    signal.signal(signal.SIGHUP, lambda *_: _reload(conf))
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)


def _reload(conf: Any) -> None:
    """Read the mutable options again. It may happen inside a plugin's call, so it never raises."""
    try:
        reload(conf)
    except ConfigError as error:
        log.debug("the configuration stays as it was: %s", error)  # the daemon has said so
    except Exception as error:
        log.error("SIGHUP: the configuration stays as it was: %s", error)
