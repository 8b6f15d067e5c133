"""The daemon: starts the children, watches them, replaces the dead, ends them in good order.

It has no connection and no thread, and imports no plugin, so there is little that can hurt it. Its
loop sleeps in ``select`` until a signal comes or the next deadline is due.
"""

from __future__ import annotations

import contextlib
import enum
import logging
import os
import select
import signal
import time
from collections.abc import Callable
from typing import Any

from eventworker.engine.blame import settle_estate
from eventworker.engine.child import SIGNALS, Child, fork, host_name, signals_held
from eventworker.engine.consumer import MAIN_LANE, consume, perform
from eventworker.engine.loader import services
from eventworker.engine.post import Post, cause_of
from eventworker.engine.preflight import Report, look
from eventworker.engine.slot import Slot
from eventworker.reload import reload

log = logging.getLogger(__name__)

#: A child that lived shorter than this, and did nothing, counts towards a crash loop.
_SHORT_LIFE = 10.0
_LONGEST_PAUSE = 60.0
#: Seconds before the next try where nothing could be forked.
_SCARCE = 1.0
#: Seconds that a stopping daemon waits for what is written down of those that it had to kill. If
#: the database is away, the next start does it.
_LAST_RITES = 1.0
#: Longest sleep of the loop; bounds how late an overrunning call is killed.
_TICK = 0.25


class _Order(enum.IntEnum):
    """What the daemon has been told."""

    RUN = 0
    DRAIN = 1
    FORCE = 2


class Supervisor:
    """Keeps N consumers, those of the lanes and of the effects, and the side services running.

    :param report: what the preflight found.
    :param worker_count: processes of the main lane.
    """

    def __init__(self, conf: Any, report: Report, worker_count: int) -> None:
        self._conf = conf
        self._order = _Order.RUN
        self._posts = [
            Post(f"consumer {n + 1}", self._lane(MAIN_LANE)) for n in range(worker_count)
        ]
        for lane, count in report.lanes.items():
            self._posts += [Post(f"lane {lane} {n + 1}", self._lane(lane)) for n in range(count)]
        for lane, count in report.effect_lanes.items():
            title = "effects" if lane == "effects" else f"effects {lane}"
            self._posts += [Post(f"{title} {n + 1}", self._effects(lane)) for n in range(count)]
        self._posts += [Post(f"service {name}", self._service(name)) for name in report.services]
        self._undertakers: set[int] = set()
        #: What undertakers have to do for whom none could be forked yet.
        self._unburied: list[Callable[[Child], None]] = []
        self._lanes = {*report.lanes, MAIN_LANE}
        self._effect_lanes = set(report.effect_lanes)
        self._registrar: int | None = None
        self._registration_due = False
        self._scarce_until = 0.0
        self._kill_at = float("inf")

    def _lane(self, lane: str) -> Callable[[Child], None]:
        return lambda child: consume(self._conf, child, lane)

    def _effects(self, lane: str) -> Callable[[Child], None]:
        return lambda child: perform(self._conf, child, lane)

    def _service(self, name: str) -> Callable[[Child], None]:
        return lambda child: services()[name].run(self._conf, child)

    def run(self) -> int:
        """Run until told to stop; returns the exit code."""
        wakeup = self._take_signals()
        log.info("%d processes start", len(self._posts))
        while self._order is _Order.RUN or any(post.pid for post in self._posts):
            self._start_due()
            self._kill_overrunning()
            self._kill_when_drained_too_long()
            _sleep(wakeup, self._pause())
            self._reap()
        self._await_undertakers()
        log.info("stopped")
        return 0

    def _take_signals(self) -> int:
        read_end, write_end = os.pipe()
        os.set_blocking(read_end, False)
        os.set_blocking(write_end, False)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._on_stop)
        signal.signal(signal.SIGINT, self._on_stop)
        signal.signal(signal.SIGHUP, self._on_reload)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # what came during the preflight
        return read_end

    def _on_stop(self, number: int, _frame: Any) -> None:
        if self._order is _Order.RUN:
            self._order = _Order.DRAIN
            limit = self._conf.graceful_shutdown_timeout
            self._kill_at = time.monotonic() + limit if limit else float("inf")
            # Told first and said then: who has read it may count on nothing more being begun.
            self._signal_all(signal.SIGTERM)
            log.info("%s: finishing what is in hand", signal.Signals(number).name)
        else:
            self._order = _Order.FORCE
            log.warning("%s again: ending at once", signal.Signals(number).name)
            self._signal_all(signal.SIGKILL)

    def _on_reload(self, _number: int, _frame: Any) -> None:
        try:
            changed = reload(self._conf)
        except Exception as error:  # an unreadable file must not end a running daemon
            log.error("SIGHUP: the configuration stays as it was: %s", error)
            return
        names = ", ".join(f"[{group}] {name}" for group, name in changed)
        log.info("SIGHUP: options changed: %s", names or "none")
        self._signal_all(signal.SIGHUP)
        if any(group == "plugins" for group, _option in changed):
            self._registration_due = True

    def _register_again(self, child: Child) -> None:
        report = look(self._conf, child.wait, lambda: child.stopping)
        if report.error and not child.stopping:
            log.error("SIGHUP: the plugins stay as they were: %s", report.error)
        if report.error:
            raise SystemExit(1)
        for lane in {*report.lanes} - self._lanes:
            log.error("SIGHUP: lane %s has no process, so its events wait for a restart", lane)
        for lane in {*report.effect_lanes} - self._effect_lanes:
            log.error("SIGHUP: no process performs effects of lane %s before a restart", lane)

    def _replace_consumers(self) -> None:
        """Have the consumers finish what is in hand; their successors load the plugins anew."""
        for post in self._posts:
            if post.pid and not post.title.startswith("service"):
                post.replaced = True
                os.kill(post.pid, signal.SIGTERM)

    def _signal_all(self, number: int) -> None:
        for post in self._posts:
            if post.pid:
                # It may have been reaped a moment ago, and this be its signal handler's.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(post.pid, number)

    def _start_due(self) -> None:
        now = time.monotonic()
        for post in self._posts:
            if post.pid is None and now >= max(post.start_at, self._scarce_until):
                with signals_held():
                    self._start(post, now)
        self._send_undertakers()
        if self._registration_due and self._order is _Order.RUN:
            self._send_registrar()

    def _send_registrar(self) -> None:
        if self._registrar is None:
            self._registrar = self._fork(self._register_again, Slot())
            self._registration_due = self._registrar is None
        else:
            # It knows the plugins of an older file. Where it still waits for the database it gives
            # up; and not before its end may the next one write what it would overwrite.
            os.kill(self._registrar, signal.SIGTERM)

    def _fork(self, run: Callable[[Child], None], slot: Slot) -> int | None:
        """Fork, or find that the machine has no process or no memory left to do so now."""
        if time.monotonic() < self._scarce_until:
            return None
        try:
            return fork(run, slot, self._conf)
        except OSError as error:
            self._scarce_until = time.monotonic() + _SCARCE
            log.error("no process can be started, trying again: %s", error.strerror)
            return None

    def _start(self, post: Post, now: float) -> None:
        if self._order is not _Order.RUN:
            return
        post.slot.clear()
        post.overrun = None
        post.replaced = False
        post.started = now
        post.pid = self._fork(post.run, post.slot)
        if post.pid is not None:
            log.debug("%s is process %d", post.title, post.pid)

    def _kill_overrunning(self) -> None:
        """Kill a child whose call did not end at its limit, nor at the interruption after it."""
        for post in self._posts:
            call = post.slot.read() if post.pid else None
            if call is not None and post.pid and time.monotonic() > call.kill_at:
                post.overrun = call
                os.kill(post.pid, signal.SIGKILL)

    def _kill_when_drained_too_long(self) -> None:
        if time.monotonic() > self._kill_at:
            self._kill_at = float("inf")
            self._order = _Order.FORCE
            log.warning("some handlers did not finish in graceful_shutdown_timeout; killing them")
            self._signal_all(signal.SIGKILL)

    def _pause(self) -> float:
        waiting = [
            max(post.start_at, self._scarce_until) for post in self._posts if post.pid is None
        ]
        soonest = min(waiting, default=float("inf")) - time.monotonic()
        return max(0.0, min(_TICK, soonest)) if self._order is _Order.RUN else _TICK

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._undertakers.discard(pid)
            if pid == self._registrar:
                self._registrar = None
                self._registered(os.waitstatus_to_exitcode(status))
            for post in self._posts:
                if post.pid == pid:
                    self._buried(post, pid, os.waitstatus_to_exitcode(status))

    def _registered(self, code: int) -> None:
        if code < 0:
            cause = cause_of(None, None, code)
            log.error("SIGHUP: the plugins stay as they were: loading them was %s", cause)
        if code == 0 and not self._registration_due:
            self._replace_consumers()

    def _buried(self, post: Post, pid: int, code: int) -> None:
        """A child has ended: find whom to blame, and plan its successor."""
        post.pid = None
        call = post.slot.read()
        if self._order is not _Order.RUN or (post.replaced and code == 0):
            call = None  # we killed it, or it was told to go
        # One that was told to go in an outage could not give back what it had claimed.
        if code != 0 or call is not None or post.replaced:
            cause = cause_of(post.overrun, call, code)
            if code != 0 or call is not None:
                log.error("%s (process %d) ended: %s", post.title, pid, cause)
            owner = f"{host_name()}/{pid}"
            self._unburied.append(
                lambda child: settle_estate(self._conf, child, owner, call, cause)
            )
            self._send_undertakers()
        short = time.monotonic() - post.started < _SHORT_LIFE
        # A call that is blamed cannot repeat itself at once, so its crash is no crash loop; nor is
        # an end that we asked for, nor any end of a process that was able to work: it was killed
        # from outside, or is worn out.
        unasked = call is None and not post.replaced and not post.slot.has_worked
        post.short_lives = post.short_lives + 1 if short and unasked else 0
        pause = min(2.0 ** (post.short_lives - 1), _LONGEST_PAUSE) if post.short_lives > 1 else 0.0
        post.start_at = time.monotonic() + pause
        if pause and self._order is _Order.RUN:
            log.warning(
                "%s ended early %d times, next start in %.0f s", post.title, post.short_lives, pause
            )

    def _send_undertakers(self) -> None:
        while self._unburied and (pid := self._fork(self._unburied[0], Slot())) is not None:
            self._undertakers.add(pid)
            del self._unburied[0]

    def _await_undertakers(self) -> None:
        deadline = time.monotonic() + _LAST_RITES
        while (self._undertakers or self._unburied) and time.monotonic() < deadline:
            self._send_undertakers()
            self._reap()
            time.sleep(0.02)
        for pid in self._undertakers:
            os.kill(pid, signal.SIGTERM)


def _sleep(wakeup: int, seconds: float) -> None:
    ready, _, _ = select.select([wakeup], [], [], seconds)
    if ready:
        os.read(wakeup, 4096)
