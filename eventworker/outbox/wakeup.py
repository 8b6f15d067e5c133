"""Telling waiting consumers that the outbox has something, after the commit.

A NOTIFY inside the business transaction would take PostgreSQL's database-wide notification lock at
its commit, so all commits of the application would queue behind each other's fsync. A thread sends
it afterwards instead, several commits in one. A lost wake-up costs one poll interval, nothing else.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import Any

from sqlalchemy import Engine, event, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, scoped_session

from eventworker.outbox.table import outbox_table

CHANNEL = "eventworker_outbox"
#: Seconds between two wake-ups at the least. Whoever was woken just now still looks at the table,
#: and each NOTIFY takes processor time from the requests.
_GAP = 0.005

log = logging.getLogger(__name__)


def ring_after_commit(session: Session | scoped_session[Any]) -> None:
    """Ring once when the session's transaction has committed."""
    real = session() if isinstance(session, scoped_session) else session
    bind = real.get_bind(clause=outbox_table)
    if bind.dialect.name != "postgresql" or bind.dialect.is_async:
        return
    real.info["eventworker.ring"] = bind.engine
    if not event.contains(real, "after_commit", _after_commit):
        event.listen(real, "after_commit", _after_commit)


def _after_commit(session: Session) -> None:
    if session.in_nested_transaction():
        return
    engine = session.info.pop("eventworker.ring", None)
    if engine is not None:
        bell_of(engine).ring()


class Bell:
    """Sends NOTIFY from a thread of its own, so that no request waits for it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._pid = os.getpid()
        self._rung = threading.Event()
        self._thread: threading.Thread | None = None
        self._start = threading.Lock()
        self._pending = False
        self._closed = False

    def ring(self) -> None:
        """Wake the consumers soon; returns at once."""
        self._pending = True
        self._rung.set()
        if self._thread is None:
            with self._start:
                if self._thread is None:
                    self._thread = threading.Thread(
                        target=self._run, name="eventworker-wakeup", daemon=True
                    )
                    self._thread.start()

    def close(self) -> None:
        """End the thread, before its engine is disposed of; what was rung for is still sent."""
        self._closed = True
        self._rung.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _run(self) -> None:
        while self._pending or not self._closed:
            self._rung.wait()
            self._rung.clear()
            if self._pending:
                self._pending = False
                self._notify()
            if not self._closed:
                time.sleep(_GAP)

    def _notify(self) -> None:
        try:
            with self._engine.connect() as connection:
                connection.execution_options(isolation_level="AUTOCOMMIT")
                connection.execute(text(f"NOTIFY {CHANNEL}"))
        except SQLAlchemyError as error:
            # The consumers' poll finds the event all the same.
            log.debug("no wake-up sent: %s", error)


_bells: dict[int, Bell] = {}


def bell_of(engine: Engine) -> Bell:
    """The bell of an engine; a new one after a fork, since threads do not survive it."""
    bell = _bells.get(id(engine))
    if bell is None or bell._pid != os.getpid() or bell._engine is not engine:
        bell = _bells[id(engine)] = Bell(engine)
    return bell
