"""Writing an event into the outbox, in the caller's own transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from msgspec.structs import replace as with_seq
from sqlalchemy import Connection, insert
from sqlalchemy.orm import Session, scoped_session

from eventworker.event import Event
from eventworker.outbox import stream, wakeup
from eventworker.outbox.table import outbox_table, row_of
from eventworker.transport import Message

_INSERT = insert(outbox_table)
Producer = Session | scoped_session[Any] | Connection


def record(session: Producer, event: Event, *, ordered: bool = False) -> Event:
    """Put ``event`` into the outbox: it exists if and only if the caller's transaction commits.

    Neither commits nor flushes. With an ``AsyncSession``, write
    ``await session.run_sync(outbox.record, event)``.

    :param session: the session (or connection) that the change itself is written with.
    :param ordered: give the event its place among those of its resource. From here to the end of
        the transaction, whoever else records an event of that resource in order waits.
    :returns: the event, with its ``seq`` if it is ordered.
    :raises EncodeError: when the event cannot be put on the wire; nothing is written then.
    :raises ValueError: when it is to be ordered and has no ``resource_id``.
    """
    if ordered:
        return record_in_order(session, [event])[0]
    _insert(session, message_of(event))
    return event


def record_in_order(session: Producer, events: Sequence[Event]) -> list[Event]:
    """Put events into the outbox, each with its place among those of its resource.

    The resources are locked in the order of their names, so that two transactions that record of
    the same ones do not wait for each other; which separate calls can.

    :returns: the events, with their ``seq``.
    :raises EncodeError: when one cannot be put on the wire; nothing is written then.
    :raises ValueError: when one has no ``resource_id``.
    """
    # All before the first lock is taken.
    messages = [message_of(event) for event in events]
    streams = [stream_of(event) for event in events]
    wanted = Counter(streams)
    next_seq = {
        key: stream.take(session, key, number) - number + 1
        for key, number in sorted(wanted.items())
    }
    placed = []
    for event, message, key in zip(events, messages, streams, strict=True):
        seq = next_seq[key]
        next_seq[key] += 1
        _insert(session, replace(message, stream=key, seq=seq))
        placed.append(with_seq(event, seq=seq))
    return placed


def message_of(event: Event) -> Message:
    """The event as a message without a place: one that it brings along is of another outbox.

    :raises EncodeError: when it cannot be put on the wire.
    """
    return replace(Message.of(event), stream=None, seq=None)


def stream_of(event: Event) -> str:
    """The resource that the event has its place in.

    :raises ValueError: when it names none.
    """
    if event.stream is None:
        raise ValueError(
            f"{event.method} {event.resource} has no resource_id, so there is no order for it"
        )
    return event.stream


def _insert(session: Producer, message: Message) -> None:
    session.execute(_INSERT, row_of(message))
    if not isinstance(session, Connection):
        wakeup.ring_after_commit(session)
