"""The order of the events of one resource: a counter, moved in the producer's own transaction.

The counter's row stays locked until that transaction ends. So of two transactions that touch the
same resource the one that commits first has the lower numbers, and a rollback, to a savepoint too,
takes its numbers back: there are no gaps.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import BigInteger, Column, Connection, String, Table, bindparam
from sqlalchemy.orm import Session, scoped_session

from eventworker.db import STREAM_LENGTH, insert_or_update, metadata

stream_table = Table(
    "eventworker_stream",
    metadata,
    Column("key", String(STREAM_LENGTH), primary_key=True),
    Column("seq", BigInteger, nullable=False),
)


def take(session: Session | scoped_session[Any] | Connection, key: str, number: int = 1) -> int:
    """Take the next ``number`` places of a resource; returns the last of them.

    Waits for the end of another transaction that has taken one.
    """
    taken = session.execute(_taking(dialect_of(session)), {"stream": key, "number": number})
    return int(taken.scalar_one())


def statement_for(dialect: str, key: str, number: int = 1) -> Any:
    """The statement that takes them and answers with the last."""
    return _statement(dialect, key, number)


@cache
def _taking(dialect: str) -> Any:
    number = bindparam("number", type_=BigInteger)
    return _statement(dialect, bindparam("stream", type_=String), number)


def _statement(dialect: str, key: Any, number: Any) -> Any:
    seq = stream_table.c.seq
    values, moved = {"key": key, "seq": number}, {"seq": seq + number}
    return insert_or_update(dialect, stream_table, values, moved).returning(seq)


def dialect_of(session: Session | scoped_session[Any] | Connection) -> str:
    """SQLAlchemy's name of the database behind a session or connection."""
    if isinstance(session, Connection):
        return session.dialect.name
    return session.get_bind(clause=stream_table).dialect.name
