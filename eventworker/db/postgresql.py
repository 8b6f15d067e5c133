"""What is particular to PostgreSQL: several statements in one round trip.

The driver sends BEGIN by itself, and waits for its answer, before the first statement of each
transaction. Where we begin and end one ourselves, a simple query
(https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-MULTI-STATEMENT) carries
the statement with it, and SQLAlchemy and the driver are spared, whose share is larger than the
server's.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

#: libpq's words: nothing has begun; commands that went well.
_IDLE, _WENT_WELL = 0, (1, 2)


def begin_with(connection: Connection, statement: str) -> Any:
    """Send a statement, behind BEGIN if the transaction has not begun; returns the driver's result.

    :param statement: without parameters: a simple query has none.
    :raises psycopg.Error: the driver's own, as :func:`simple_query`.
    """
    driver: Any = connection.connection.driver_connection
    if driver.pgconn.transaction_status == _IDLE:
        statement = f"BEGIN; {statement}"
    return simple_query(connection, statement)


def simple_query(connection: Connection, statements: str) -> Any:
    """Send some statements and wait; returns the driver's result of the last one.

    :raises psycopg.Error: for the first of them that fails; those behind it were not run.
    """
    driver: Any = connection.connection.driver_connection
    psycopg: Any = connection.dialect.dbapi
    result = driver.pgconn.exec_(statements.encode())
    if result.status not in _WENT_WELL:
        if driver.closed:
            raise psycopg.OperationalError(result.get_error_message())
        raise psycopg.errors.error_from_result(result, encoding="utf-8")
    return result
