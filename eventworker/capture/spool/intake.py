"""Putting events into the spool; threads that come together share one transaction.

The fsync is what an event costs, and one fsync serves all that wait for it.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import deque

from eventworker.capture.spool import waiting
from eventworker.capture.spool.alarm import Alarm, Say
from eventworker.capture.spool.store import Store
from eventworker.errors import SpoolError, SpoolFull
from eventworker.transport import Message


class _Ticket:
    """One message, and what became of it."""

    __slots__ = ("error", "message", "settled")

    def __init__(self, message: Message) -> None:
        self.message = message
        self.settled = False
        self.error: SpoolError | None = None


class Intake:
    """The way in."""

    def __init__(self, store: Store, alarm: Alarm) -> None:
        self._store = store
        self._alarm = alarm
        self.after_fork_in_child()

    def after_fork_in_child(self) -> None:
        """Those who waited are the parent's."""
        self._arrived: deque[_Ticket] = deque()
        self._turn = threading.Lock()

    def put(self, message: Message) -> None:
        """Returns when the message is on disk, behind all that were there before.

        :raises SpoolFull: when there is no room for it.
        :raises SpoolError: when the file cannot be used.
        """
        ticket = _Ticket(message)
        self._arrived.append(ticket)
        # Whoever gets the turn takes all that have arrived; the others find theirs settled.
        with self._turn:
            if not ticket.settled:
                self._take_in([self._arrived.popleft() for _ in range(len(self._arrived))])
        if ticket.error is not None:
            raise ticket.error

    def _take_in(self, tickets: list[_Ticket]) -> None:
        try:
            self._write(tickets)
        except SpoolFull:
            # Some of them may fit where all do not.
            for ticket in tickets:
                self._write_alone(ticket)
            self._count_overflow(tickets)
        except SpoolError as error:
            for ticket in tickets:
                ticket.error = error
        finally:
            for ticket in tickets:
                if not ticket.settled and ticket.error is None:
                    ticket.error = SpoolError(f"writing to {self._store.path} was interrupted")
                ticket.settled = True

    def _write(self, tickets: list[_Ticket]) -> None:
        def work(connection: sqlite3.Connection) -> Say | None:
            waiting.append(connection, [ticket.message for ticket in tickets])
            return self._alarm.look(connection)

        say = self._store.write(work)
        for ticket in tickets:
            ticket.settled = True
        if say is not None:
            say()

    def _write_alone(self, ticket: _Ticket) -> None:
        try:
            self._write([ticket])
        except SpoolError as error:
            ticket.error = error

    def _count_overflow(self, tickets: list[_Ticket]) -> None:
        errors = [ticket.error for ticket in tickets if isinstance(ticket.error, SpoolFull)]
        if not errors:
            return
        try:
            first = self._store.write(
                lambda connection: self._alarm.overflowed(connection, len(errors))
            )
        except SpoolError:
            self._alarm.tell_full(str(errors[0]), None)
        else:
            self._alarm.tell_full(str(errors[0]), first)
