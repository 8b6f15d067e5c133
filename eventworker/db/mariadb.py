"""What is particular to MariaDB: how a connection is set up, and the proof of a commit.

MariaDB goes on after what ends a transaction: a deadlock rolls all of it back, DDL commits it, and
the next statement silently begins another one. Neither COMMIT nor the flags in the server's answers
tell them apart, and asking for a transaction's number takes a privilege that applications lack. A
savepoint does tell: it ends with its transaction, however that ends.
"""

from __future__ import annotations

import re
import secrets
from typing import Any

from sqlalchemy import URL, Connection, Engine, event, exc

from eventworker.db.failures import mariadb_code
from eventworker.errors import ConfigError, DatabaseUnavailable, TransactionLost

#: SKIP LOCKED came with this release, INSERT ... RETURNING just before it.
OLDEST = (10, 6)
#: As they may stand in a configuration written for MySQL.
DRIVERS = ("mysql", "mysql+pymysql", "mariadb", "mariadb+pymysql")
#: As on PostgreSQL: under MariaDB's default, REPEATABLE READ, who waited for another's row goes on
#: reading a past without that row, and gap locks make deadlocks out of inserts that do not touch
#: each other.
ISOLATION = "READ COMMITTED"
#: Bytes are marked as such, so that the server does not look for characters in them.
CONNECT_ARGS = {"binary_prefix": True}
_NO_SUCH_SAVEPOINT = 1305
#: Bytes of a statement beside its one long value.
_OTHER_WORDS = 2**17


def normalized(url: URL) -> URL:
    """The URL with our driver and with all of Unicode, whatever its ``charset`` says."""
    return url.set(drivername="mariadb+pymysql").update_query_dict({"charset": "utf8mb4"})


def set_up(engine: Engine) -> None:
    """Prepare each new connection; one to a server that cannot do what is needed is refused."""
    asks_for_tls = any(name.startswith("ssl_") for name in engine.url.query)

    @event.listens_for(engine, "connect", insert=True)
    def on_connect(driver_connection: Any, _record: Any) -> None:
        if asks_for_tls and not driver_connection._secure:
            # PyMySQL's first releases go on without TLS where a server offers none.
            driver_connection.close()
            raise DatabaseUnavailable(
                "the database is away: the server has TLS switched off; switch it on there"
            )
        _refuse_unfit(driver_connection.get_server_info())
        with driver_connection.cursor() as cursor:
            # Otherwise a text that is too long is cut, and only a warning says so.
            cursor.execute(
                "SET SESSION sql_mode = CONCAT_WS(',', @@sql_mode, 'STRICT_TRANS_TABLES')"
            )


def _refuse_unfit(server: str) -> None:
    """
    :param server: what the server says of itself, such as ``10.11.6-MariaDB-1``; some put
        ``5.5.5-`` before it, for the sake of old clients.
    """
    found = re.match(r"(?:5\.5\.5-)?(\d+)\.(\d+)\S*", server)
    known = "mariadb" in server.lower() and found is not None
    if not known or (int(found[1]), int(found[2])) < OLDEST:  # type: ignore[index]
        kind = "" if "mariadb" in server.lower() else "MySQL "
        raise ConfigError(
            f"[database] connection: the server is {kind}{server}; eventworker needs MariaDB "
            f"{OLDEST[0]}.{OLDEST[1]} or newer (or PostgreSQL, or SQLite)"
        )


def longest_value(connection: Connection) -> int | None:
    """Bytes that a value may have to be sure to reach the server; None if nothing limits them.

    MariaDB cuts the connection of whoever sends a longer statement than ``max_allowed_packet``,
    which looks like a database that is away. On its way a byte may become two.
    """
    if connection.dialect.name not in ("mariadb", "mysql"):
        return None
    allowed: int = connection.exec_driver_sql("SELECT @@max_allowed_packet").scalar_one()
    return max(allowed - _OTHER_WORDS, 0) // 2


def set_mark(connection: Connection) -> str:
    """At the very start of a transaction: a savepoint with a name that nobody else uses."""
    driver = connection.connection.driver_connection
    assert driver is not None
    # A plugin before us may have set it behind SQLAlchemy's back; known without asking the server.
    if driver.get_autocommit():
        driver.autocommit(False)
    name = f"eventworker_{secrets.token_hex(8)}"
    connection.exec_driver_sql(f"SAVEPOINT {name}")
    return name


def prove_mark(connection: Connection, name: str) -> None:
    """Return if the transaction is still the one in which ``name`` was set.

    Between this and COMMIT only the server can end it, and then it answers COMMIT with an error.

    :raises TransactionLost: when it is another one.
    """
    try:
        connection.exec_driver_sql(f"RELEASE SAVEPOINT {name}")
    except exc.DBAPIError as error:
        if mariadb_code(error) != _NO_SUCH_SAVEPOINT:
            raise
        # Nobody knows what else was done to it, such as LOCK TABLES.
        connection.invalidate()
        raise TransactionLost(
            "the transaction was ended by an error that the plugin swallowed, by DDL or by a raw "
            "commit"
        ) from error
