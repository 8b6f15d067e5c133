"""What a database error means: whose fault it is, and whether trying again can help."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import exc

from eventworker.errors import DatabaseUnavailable
from eventworker.links import tls_advice
from eventworker.secret import hidden

#: SQLSTATE classes and codes by which PostgreSQL says "not now": connection exceptions,
#: insufficient resources (disk full, too many connections), operator intervention (restart,
#: session ended by an administrator), and a session that was ended for its transaction's age.
_UNAVAILABLE_STATES = ("08", "53", "57P", "25P03", "25P04")
#: Serialization failure, deadlock, lock timeout, and a read-only server during a fail-over.
_TRANSIENT_STATES = (*_UNAVAILABLE_STATES, "40", "55P03", "25006")
#: MariaDB's numbers for the same (https://mariadb.com/kb/en/mariadb-error-code-reference/; those
#: from 2000 on are the client's): disk full, too many connections, out of memory, shutdown, killed,
#: network trouble, a Galera node that is not ready.
_MARIADB_UNAVAILABLE = {1021, 1040, 1041, 1047, 1053, 1077, 1079, 1080, 1114, 1129, 1152}
_MARIADB_UNAVAILABLE |= {1158, 1159, 1160, 1161, 1203, 1226, 1927}
_MARIADB_UNAVAILABLE |= {2002, 2003, 2006, 2013, 2026, 2055}
#: The whole transaction is rolled back: changed since it was read, lock table full, deadlock.
_MARIADB_ROLLED_BACK = {1020, 1206, 1213}
#: Lock timeout, read-only server (1290 is also said of other options), changed table.
_MARIADB_TRANSIENT = _MARIADB_ROLLED_BACK | {1205, 1412, 1836}
_MARIADB_OPTION_PREVENTS = 1290
#: A limit that the server has for statements, or somebody who cancelled one.
_CANCELLED_STATE, _MARIADB_CANCELLED = "57014", {1317, 1969}
#: The operating system's "no space left on device", inside the text of several errors.
_NO_SPACE = re.compile(r"\b(?:error|errno|errcode):? 28\b", re.IGNORECASE)
_SQLITE_BUSY, _SQLITE_LOCKED, _SQLITE_FULL, _SQLITE_CANTOPEN = 5, 6, 13, 14
_SQLITE_BUSY_SNAPSHOT = 517


def _driver_error(error: BaseException) -> Any:
    return getattr(error, "orig", None) or error


def _sqlstate(error: BaseException) -> str:
    driver = _driver_error(error)
    return getattr(driver, "sqlstate", None) or ""


def _sqlite_code(error: BaseException) -> int | None:
    return getattr(_driver_error(error), "sqlite_errorcode", None)


def mariadb_code(error: BaseException) -> int | None:
    """The number of an error of MariaDB's, or of its driver's; None for all others."""
    driver = _driver_error(error)
    if not type(driver).__module__.startswith("pymysql"):
        return None
    code = driver.args[0] if driver.args else None
    return code if isinstance(code, int) else None


def is_unavailable(error: BaseException) -> bool:
    """Whether the database itself is away: pause; no event is to blame, no attempt is spent."""
    if isinstance(error, DatabaseUnavailable):
        return True
    if isinstance(error, exc.DBAPIError) and error.connection_invalidated:
        return True
    if (code := _sqlite_code(error)) is not None:
        return code & 0xFF in (_SQLITE_FULL, _SQLITE_CANTOPEN)
    if (number := mariadb_code(error)) is not None:
        return number in _MARIADB_UNAVAILABLE or bool(_NO_SPACE.search(str(_driver_error(error))))
    if state := _sqlstate(error):
        return state.startswith(_UNAVAILABLE_STATES)
    # psycopg's OperationalError without a SQLSTATE is the network's: refused, reset, timed out.
    kind = type(_driver_error(error))
    return kind.__name__ == "OperationalError" and kind.__module__.startswith("psycopg")


def is_transient(error: BaseException) -> bool:
    """Whether the same call may well succeed later, so that it costs the event no attempt."""
    if is_unavailable(error):
        return True
    if (code := _sqlite_code(error)) is not None:
        return code & 0xFF in (_SQLITE_BUSY, _SQLITE_LOCKED)
    if (number := mariadb_code(error)) is not None:
        if number == _MARIADB_OPTION_PREVENTS:
            return "read-only" in str(_driver_error(error))
        return number in _MARIADB_TRANSIENT
    return _sqlstate(error).startswith(_TRANSIENT_STATES)


def is_cancelled(error: BaseException) -> bool:
    """Whether the statement took longer than it was allowed to, or was cancelled.

    A plugin's statement that is too slow would be so again: an attempt has failed, as when the call
    is too slow. The framework's own was kept waiting by others.
    """
    return _sqlstate(error) == _CANCELLED_STATE or mariadb_code(error) in _MARIADB_CANCELLED


def has_rolled_back(error: BaseException) -> bool:
    """MariaDB: the error took the whole transaction with it, and later statements begin another."""
    return mariadb_code(error) in _MARIADB_ROLLED_BACK


def is_stale_snapshot(error: BaseException) -> bool:
    """SQLite: the transaction read before somebody else wrote, so it can no longer write.

    Waiting cannot help (https://sqlite.org/rescode.html#busy_snapshot); a transaction that takes
    the write lock at its start can.
    """
    return _sqlite_code(error) == _SQLITE_BUSY_SNAPSHOT


def first_line(error: BaseException) -> str:
    """One line for a log or a dead letter, without SQLAlchemy's background link or a secret."""
    try:
        driver = _driver_error(error)
        text = str(driver).strip() or type(error).__name__
        if (number := mariadb_code(driver)) is not None and len(driver.args) > 1:
            text = f"{driver.args[1]} (error {number})"
    except Exception:  # a plugin's own exception may fail at that, too
        text = "its text cannot be told"
    return hidden(text.splitlines()[0])


def translated(error: BaseException) -> BaseException:
    """The error as one of ours where the database is away; every other one as it is."""
    if is_unavailable(error) and not isinstance(error, DatabaseUnavailable):
        text = first_line(error)
        advice = tls_advice(
            text, ca="sslrootcert (MariaDB: ssl_ca) of the URL in [database] connection"
        )
        return DatabaseUnavailable(f"the database is away: {text}{advice}")
    return error
