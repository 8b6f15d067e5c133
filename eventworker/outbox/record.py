"""Writing an event into the outbox, in the caller's own transaction."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, insert
from sqlalchemy.orm import Session, scoped_session

from eventworker.event import Event
from eventworker.outbox import wakeup
from eventworker.outbox.table import outbox_table, row_of
from eventworker.transport import Message


def record(session: Session | scoped_session[Any] | Connection, event: Event) -> Event:
    """Put ``event`` into the outbox: it exists if and only if the caller's transaction commits.

    Neither commits nor flushes. With an ``AsyncSession``, write
    ``await session.run_sync(outbox.record, event)``.

    :param session: the session (or connection) that the change itself is written with.
    :returns: the event.
    :raises EncodeError: when the event cannot be put on the wire; nothing is written then.
    """
    session.execute(insert(outbox_table), row_of(Message.of(event)))
    if not isinstance(session, Connection):
        wakeup.ring_after_commit(session)
    return event
