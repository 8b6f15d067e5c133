"""The side service ``hooks``: as many runners as are wanted, and what is to be done besides."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from eventworker.db import build_engine, first_line, short_transaction
from eventworker.errors import DatabaseUnavailable
from eventworker.pubsub.hooks import ending, files, queue, sessions
from eventworker.pubsub.hooks.bubblewrap import Missing
from eventworker.pubsub.hooks.configuration import readable
from eventworker.pubsub.hooks.limits import Isolation
from eventworker.pubsub.hooks.options import HookSettings, hook_settings_of
from eventworker.pubsub.hooks.pool import Pool
from eventworker.pubsub.hooks.runner import HookRunner
from eventworker.pubsub.hooks.sandbox import Box
from eventworker.pubsub.hooks.shares import Shares
from eventworker.pubsub.hooks.surroundings import Surroundings
from eventworker.pubsub.options import Settings, settings_of
from eventworker.service import Child

log = logging.getLogger(__name__)

#: Seconds between two rounds of what is done beside running, and of what takes more time.
_ROUND, _TIDY = 5.0, 60.0
#: Seconds until it is tried again to make a sandbox, or to reach the database.
_MISSING_PAUSE, _AWAY_PAUSE = 60.0, 1.0


def checked(options: HookSettings) -> Box:
    """How sandboxes are made here, after one has been made.

    :raises Missing: when one of the layers of isolation is not there; says which.
    """
    for directory in options.directories:
        if not os.path.isdir(directory):
            raise Missing(f"[hooks] directories: there is no folder {directory}")
    box = Box.of(options.isolation, Surroundings.own(options.directories), options.limits)
    pool = Pool(box, 0)
    with pool.take():
        return box


class Runners:
    """Threads that run hooks until they are stopped.

    :param owner: beginning of the names under which they claim runs.
    """

    def __init__(
        self,
        conf: Any,
        engine: Engine,
        box: Box,
        owner: str,
        note_work: Callable[[], None] = lambda: None,
    ) -> None:
        self._engine = engine
        self._settings = settings_of(conf)
        self._options = hook_settings_of(conf)
        self._config = readable(conf)
        workers, per_minute = self._options.workers, self._options.runs_per_minute
        self._shares = Shares(self._settings.service, workers, per_minute)
        self._box = box
        self._note_work = note_work
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, args=(f"{owner}/{n + 1}",), name=f"hooks {n + 1}")
            for n in range(self._options.workers)
        ]

    def start(self) -> None:
        """Start them."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let each finish the run that it has in hand."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _work(self, owner: str) -> None:
        pool = Pool(self._box, self._options.warm)
        try:
            runner = HookRunner(
                self._engine,
                self._settings,
                self._options,
                self._config,
                pool,
                owner,
                self._shares,
            )
            while not self._stop.is_set():
                self._stop.wait(self._round(runner))
        finally:
            pool.close()

    def _round(self, runner: HookRunner) -> float:
        """Run one; returns the seconds until the next look."""
        try:
            if runner.run_one():
                self._note_work()
                return 0.0
            return self._options.poll_interval
        except DatabaseUnavailable as error:
            log.warning("hooks pause: %s", first_line(error))
            return _AWAY_PAUSE
        except (Missing, OSError) as error:
            log.error("hooks wait, since no sandbox can be made: %s", error)
            return _MISSING_PAUSE
        except Exception:
            log.exception("a run of a hook was not written down; it is made again")
            return _AWAY_PAUSE


def look_after(engine: Engine, settings: Settings, options: HookSettings, here: str) -> None:
    """One round of what is done beside running: hooks whose time is over go, broken ones that have
    changed are tried again, and what the dead held is free.

    :param here: beginning of the names of this machine's processes.
    """
    with short_transaction(engine) as connection:
        sessions.end_overdue(connection)
        ending.end_overdue(connection, settings.service)
        queue.mend(connection, files.mark)
        queue.give_up(connection, options.give_up_after)
        for holder in queue.holders(connection):
            if holder.startswith(f"{here}/") and not _is_there(holder.removeprefix(f"{here}/")):
                queue.release_of(connection, holder)


def tidy(engine: Engine, options: HookSettings) -> None:
    """Delete runs of long ago. It looks at all that have ended, so it is not done in each round."""
    count = 1
    while count:
        with short_transaction(engine) as connection:
            count = ending.prune(connection, options.keep_runs)


def _is_there(rest: str) -> bool:
    """Whether the process still runs.

    :param rest: its number and that of its thread.
    """
    try:
        state = Path(f"/proc/{int(rest.partition('/')[0])}/stat").read_text()
    except (OSError, ValueError):
        return False
    # The name before the state may hold anything, closing brackets too.
    return state.rpartition(")")[2].split()[0] not in ("Z", "X")


def _daemon(here: str) -> str:
    """A name for the daemon that this is a process of: another one's with every start of it."""
    parent = os.getppid()
    try:
        started = Path(f"/proc/{parent}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        started = "0"
    return f"{here}/{parent}/{started}"


def run(conf: Any, child: Child) -> None:
    """Run hooks until the child is told to stop."""
    settings, options = settings_of(conf), hook_settings_of(conf)
    box = _box(options, child)
    if box is None:
        return
    engine = build_engine(
        conf.database.connection,
        pool_size=options.workers + 1,
        silence_timeout=conf.database.silence_timeout,
    )
    here = child.name.rpartition("/")[0]
    runners = Runners(conf, engine, box, child.name, child.slot.note_work)
    session: int | None = None
    tidy_at = 0.0
    runners.start()
    try:
        while not child.stopping:
            try:
                with short_transaction(engine) as connection:
                    session = sessions.begin(connection, _daemon(here))
                look_after(engine, settings, options, here)
                if time.monotonic() >= tidy_at:
                    tidy(engine, options)
                    tidy_at = time.monotonic() + _TIDY
            except DatabaseUnavailable as error:
                log.warning("%s", error)
            child.wait(_ROUND)
    finally:
        runners.stop()
        _end(engine, settings, session)


def _box(options: HookSettings, child: Child) -> Box | None:
    """How sandboxes are made, as soon as they can be; None when told to stop before."""
    if options.isolation is Isolation.PROCESS:
        log.warning(
            "[hooks] isolation = process: a hook can read, write and reach whatever this user can"
        )
    while not child.stopping:
        try:
            return checked(options)
        except (Missing, OSError) as error:
            log.error("no hook runs: %s; see: eventworker pubsub hook check", error)
            child.wait(_MISSING_PAUSE)
    return None


def _end(engine: Engine, settings: Settings, session: int | None) -> None:
    if session is None:
        return
    try:
        with short_transaction(engine) as connection:
            sessions.end(connection, session)
            ending.end_overdue(connection, settings.service)
    except DatabaseUnavailable as error:
        log.warning("temporary hooks end in %.0f s: %s", sessions.LEASE, error)
