"""Columns that several tables have."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import BINARY, BigInteger, Column, Integer, LargeBinary, String, Uuid
from sqlalchemy.dialects.mysql import LONGBLOB
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from eventworker.db.clock import UTCDateTime
from eventworker.tracecontext import MAX_TRACEPARENT, MAX_TRACESTATE

#: Characters of a resource, a slash and an id.
STREAM_LENGTH = 120 + 1 + 255


class _Sixteen(TypeDecorator[UUID]):
    """An id as its sixteen bytes."""

    impl = BINARY(16)
    cache_ok = True

    def process_bind_param(self, value: UUID | None, dialect: Dialect) -> bytes | None:
        return None if value is None else value.bytes

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> UUID | None:
        return None if value is None else UUID(bytes=bytes(value))


#: The type of an event's id. Not MariaDB's own UUID, which 10.6 lacks and which sorted version 7
#: by its random end before 10.11.5: rows are claimed in the order of their ids.
EventId: Uuid[UUID] = Uuid().with_variant(_Sixteen(), "mariadb", "mysql")


def binary(length: int) -> LargeBinary:
    """Up to ``length`` bytes. On MariaDB a BLOB would be of 64 kB, and could not be indexed."""
    kind = LONGBLOB() if length > 255 else BINARY(length)
    return LargeBinary(length).with_variant(kind, "mariadb", "mysql")


def serial() -> Column[int]:
    """``id``: a number that the database gives.

    SQLite numbers rows by itself only for a key of the type INTEGER, which has 64 bits there.
    """
    kind = BigInteger().with_variant(Integer, "sqlite")
    return Column("id", kind, primary_key=True, autoincrement=True)


def message_columns() -> list[Column[Any]]:
    """An event as it travels: its id, what is known beside the body, and the body.

    ``stream`` and ``seq`` say which resource it is about and its place there, where it has one.
    """
    return [
        Column("id", EventId, primary_key=True),
        Column("time", UTCDateTime, nullable=False),
        Column("source", String(255), nullable=False),
        Column("resource", String(120), nullable=False),
        Column("body", binary(2**24), nullable=False),
        Column("traceparent", String(MAX_TRACEPARENT)),
        Column("tracestate", String(MAX_TRACESTATE)),
        Column("stream", String(STREAM_LENGTH)),
        Column("seq", BigInteger),
    ]
