"""Transactional capture for Django: an event in the outbox, through Django's own connection.

::

    with transaction.atomic():
        note.save()
        record(Event(method="PUT", resource="note", resource_id=note.pk))

Django's ORM and SQLAlchemy have no transaction in common, so the row is written with Django's
cursor: the INSERT that SQLAlchemy compiles for ``outbox.record()``, sent by Django's hand.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from typing import Any

from django.db import DEFAULT_DB_ALIAS, NotSupportedError, connections, transaction
from msgspec import structs
from sqlalchemy import Dialect, insert
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.compiler import SQLCompiler

from eventworker.capture.request import RequestFacts, current_facts
from eventworker.event import Event
from eventworker.outbox.record import message_of, stream_of
from eventworker.outbox.stream import statement_for
from eventworker.outbox.table import outbox_table, row_of
from eventworker.outbox.wakeup import CHANNEL
from eventworker.transport import Message

__all__ = ["record"]

#: By Django's names. Django's cursors take %s on every database.
_DIALECTS: dict[str, Dialect] = {
    "postgresql": postgresql.dialect(paramstyle="format"),  # type: ignore[no-untyped-call]
    "sqlite": sqlite.dialect(paramstyle="format"),
}


def record(event: Event, using: str = DEFAULT_DB_ALIAS, *, ordered: bool = False) -> Event:
    """Put ``event`` into the outbox: it exists if and only if the surrounding ``atomic()`` commits.

    A middleware around the request stays silent about the resource then.

    :param using: the database, by its name in ``DATABASES``; eventworker's tables are there.
    :param ordered: give the event its place among those of its resource, as
        :func:`eventworker.outbox.record` does.
    :returns: the event, with its ``seq`` if it is ordered.
    :raises TransactionManagementError: outside of ``atomic()``, where every statement is a
        transaction of its own.
    :raises EncodeError: when the event cannot be put on the wire; nothing is written then.
    :raises ValueError: when it is to be ordered and has no ``resource_id``.
    :raises NotSupportedError: on a database other than PostgreSQL and SQLite.
    """
    connection = connections[using]
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError(
            "record() has to be called in transaction.atomic(), together with the change"
        )
    if connection.vendor not in _DIALECTS:
        raise NotSupportedError(
            f"record() knows PostgreSQL and SQLite, and not {connection.display_name}; there, let "
            "the middleware around the application make the events"
        )
    dialect, message = _DIALECTS[connection.vendor], message_of(event)
    stream = stream_of(event) if ordered else None
    with connection.cursor() as cursor:
        if stream is not None:
            place = statement_for(dialect.name, stream).compile(dialect=dialect)
            cursor.execute(str(place), [place.params[name] for name in place.positiontup])
            event = structs.replace(event, seq=cursor.fetchone()[0])
            message = replace(message, stream=stream, seq=event.seq)
        statement = _insert(connection.vendor)
        cursor.execute(str(statement), _values(statement, dialect, row_of(message)))
    told = partial(_after_commit, using, current_facts(), event.resource)
    transaction.on_commit(told, using=using, robust=True)
    return event


@cache
def _insert(vendor: str) -> SQLCompiler:
    columns = list(row_of(Message.of(Event(method="POST", resource="any"))))
    compiled = insert(outbox_table).compile(dialect=_DIALECTS[vendor], column_keys=columns)
    assert isinstance(compiled, SQLCompiler)
    return compiled


def _values(statement: SQLCompiler, dialect: Dialect, row: dict[str, Any]) -> list[Any]:
    """As the driver takes them, in the order of the statement."""
    values = []
    for name in statement.positiontup or ():
        kind = outbox_table.c[name].type.dialect_impl(dialect)
        processed = kind.bind_processor(dialect)
        values.append(processed(row[name]) if processed else row[name])
    return values


def _after_commit(using: str, facts: RequestFacts | None, resource: str) -> None:
    if facts is not None:
        facts.recorded.add(resource)
    connection = connections[using]
    if connection.vendor == "postgresql":
        # After the commit and outside of it, for the reason that eventworker.outbox.wakeup gives.
        with connection.cursor() as cursor:
            cursor.execute(f"NOTIFY {CHANNEL}")
