"""What a database error means: whose fault it is, and whether trying again can help."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import exc

from eventworker.errors import DatabaseUnavailable

#: SQLSTATE classes and codes by which PostgreSQL says "not now": connection exceptions,
#: insufficient resources (disk full, too many connections), operator intervention (restart,
#: statement cancelled by an administrator).
_UNAVAILABLE_STATES = ("08", "53", "57P")
#: Serialization failure, deadlock, lock timeout, and a read-only server during a fail-over.
_TRANSIENT_STATES = (*_UNAVAILABLE_STATES, "40", "55P03", "25006")
_SQLITE_BUSY, _SQLITE_LOCKED, _SQLITE_FULL, _SQLITE_CANTOPEN = 5, 6, 13, 14
_SQLITE_BUSY_SNAPSHOT = 517


def _driver_error(error: BaseException) -> Any:
    return getattr(error, "orig", None) or error


def _sqlstate(error: BaseException) -> str:
    driver = _driver_error(error)
    return getattr(driver, "sqlstate", None) or ""


def _sqlite_code(error: BaseException) -> int | None:
    return getattr(_driver_error(error), "sqlite_errorcode", None)


def is_unavailable(error: BaseException) -> bool:
    """Whether the database itself is away: pause; no event is to blame, no attempt is spent."""
    if isinstance(error, DatabaseUnavailable):
        return True
    if isinstance(error, exc.DBAPIError) and error.connection_invalidated:
        return True
    state = _sqlstate(error)
    if state:
        return state.startswith(_UNAVAILABLE_STATES)
    if (code := _sqlite_code(error)) is not None:
        return code & 0xFF in (_SQLITE_FULL, _SQLITE_CANTOPEN)
    # psycopg's OperationalError without a SQLSTATE is the network's: refused, reset, timed out.
    kind = type(_driver_error(error))
    return kind.__name__ == "OperationalError" and kind.__module__.startswith("psycopg")


def is_transient(error: BaseException) -> bool:
    """Whether the same call may well succeed later, so that it costs the event no attempt."""
    if is_unavailable(error):
        return True
    if (code := _sqlite_code(error)) is not None:
        return code & 0xFF in (_SQLITE_BUSY, _SQLITE_LOCKED)
    return _sqlstate(error).startswith(_TRANSIENT_STATES)


def is_stale_snapshot(error: BaseException) -> bool:
    """SQLite: the transaction read before somebody else wrote, so it can no longer write.

    Waiting cannot help (https://sqlite.org/rescode.html#busy_snapshot); a transaction that takes
    the write lock at its start can.
    """
    return _sqlite_code(error) == _SQLITE_BUSY_SNAPSHOT


_URL_PASSWORD = re.compile(r"(\w://[^:/@\s]*):[^@\s]*@")


def first_line(error: BaseException) -> str:
    """One line for a log or a dead letter, without SQLAlchemy's background link or a password."""
    try:
        text = str(_driver_error(error)).strip() or type(error).__name__
    except Exception:  # a plugin's own exception may fail at that, too
        text = "its text cannot be told"
    return _URL_PASSWORD.sub(r"\1:***@", text.splitlines()[0])


def translated(error: BaseException) -> BaseException:
    """The error as one of ours where the database is away; every other one as it is."""
    if is_unavailable(error) and not isinstance(error, DatabaseUnavailable):
        return DatabaseUnavailable(f"the database is away: {first_line(error)}")
    return error
