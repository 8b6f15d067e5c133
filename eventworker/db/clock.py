"""The database's clock: due times and leases are decided by it alone, never by a host's.

Two hosts with clocks an hour apart would otherwise steal each other's leases.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import BindParameter, DateTime, literal
from sqlalchemy.dialects.mysql import DATETIME
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator

#: A point in time, or how long ago by the database's clock.
Since = datetime | timedelta


class UTCDateTime(TypeDecorator[datetime]):
    """An aware datetime in UTC on every database, also where the database knows no time zones."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        if dialect.name in ("mariadb", "mysql"):
            return dialect.type_descriptor(DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime says no point in time; give it a time zone")
        value = value.astimezone(UTC)
        return value if dialect.name == "postgresql" else value.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class clock(FunctionElement[datetime]):  # noqa: N801 - used like a SQL function
    """SQL expression: the database's time now, plus ``seconds``.

    Real time, not the start of the transaction, so that a long transaction does not date its rows
    back.
    """

    type = UTCDateTime()
    inherit_cache = True
    name = "eventworker_clock"

    def __init__(self, seconds: float | BindParameter[float] = 0.0) -> None:
        bound = isinstance(seconds, BindParameter)
        super().__init__(seconds if bound else literal(float(seconds)))


@compiles(clock, "postgresql")
def _postgresql(element: clock, compiler: Any, **kw: Any) -> str:
    offset = compiler.process(element.clauses, **kw)
    return f"(clock_timestamp() + make_interval(secs => {offset}))"


@compiles(clock, "sqlite")
def _sqlite(element: clock, compiler: Any, **kw: Any) -> str:
    # The format is the one SQLAlchemy stores, so that text order is time order.
    offset = compiler.process(element.clauses, **kw)
    return f"(strftime('%Y-%m-%d %H:%M:%f', 'now', ({offset}) || ' seconds') || '000')"


@compiles(clock, "mariadb")
@compiles(clock, "mysql")
def _mariadb(element: clock, compiler: Any, **kw: Any) -> str:
    # Not NOW(), which is in the time zone of the session.
    offset = compiler.process(element.clauses, **kw)
    return f"(UTC_TIMESTAMP(6) + INTERVAL {offset} SECOND)"


def moment(since: Since) -> Any:
    """``since`` as a value or expression to compare a column with."""
    return clock(-since.total_seconds()) if isinstance(since, timedelta) else since
