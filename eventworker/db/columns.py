"""Columns that several tables have."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, String, Uuid

from eventworker.db.clock import UTCDateTime
from eventworker.tracecontext import MAX_TRACEPARENT, MAX_TRACESTATE


def serial() -> Column[int]:
    """``id``: a number that the database gives.

    SQLite numbers rows by itself only for a key of the type INTEGER, which has 64 bits there.
    """
    kind = BigInteger().with_variant(Integer, "sqlite")
    return Column("id", kind, primary_key=True, autoincrement=True)


def message_columns() -> list[Column[Any]]:
    """An event as it travels: its id, what is known beside the body, and the body."""
    return [
        Column("id", Uuid, primary_key=True),
        Column("time", UTCDateTime, nullable=False),
        Column("source", String(255), nullable=False),
        Column("resource", String(120), nullable=False),
        Column("body", LargeBinary(2**24), nullable=False),
        Column("traceparent", String(MAX_TRACEPARENT)),
        Column("tracestate", String(MAX_TRACESTATE)),
    ]
