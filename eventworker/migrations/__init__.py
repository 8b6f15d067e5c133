"""The tables' history: alembic's revisions inside the package, and the verbs on them.

The version table is ``eventworker_alembic_version``, so that an application that keeps its own
tables in the same database with its own alembic is not disturbed, nor are we by it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, exc, func, inspect, select, text

from eventworker.db import first_line, is_transient, short_transaction, translated
from eventworker.errors import SchemaError

# alembic is imported only where it is used, and every start of the daemon only looks at the
# revision: with all that alembic imports itself, a fifth of the daemon's imports.
if TYPE_CHECKING:
    from alembic.config import Config

__all__ = ["VERSION_TABLE", "check", "current", "head", "is_ours", "upgrade", "upgrade_sql"]

PREFIX = "eventworker_"
VERSION_TABLE = "eventworker_alembic_version"
UPGRADE_COMMAND = "eventworker --config-file FILE db upgrade"

#: Any number will do, as long as every version of eventworker takes the same one ("evwk").
_LOCK_NUMBER = 0x6576776B
#: On MariaDB, where such locks have names, of at most 64 characters, for the whole server.
_LOCK_NAME, _LOCK_SECONDS = "eventworker upgrade ", 3600

# alembic's context and op are one per process, so two threads cannot upgrade side by side.
_alembic_is_ours = threading.Lock()


def upgrade(engine: Engine) -> None:
    """Bring the tables to :func:`head`; with tables that are there already it does nothing.

    Hosts that do this at the same moment wait for each other, and the later ones find it done.

    :raises SchemaError: when the tables are of a revision that this version does not know, and on
        MariaDB for any other failure, since there it leaves behind what it has done so far.
    :raises DatabaseUnavailable: when the database is away.
    """
    from alembic import command
    from alembic.util import CommandError

    with _alembic_is_ours, short_transaction(engine) as connection, _alone(connection):
        config = _config()
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError:
            raise SchemaError(_unknown(_revision(connection))) from None
        except exc.DBAPIError as error:
            if engine.dialect.name != "mariadb" or is_transient(error):
                raise
            raise SchemaError(
                f"the upgrade ended half-way, which MariaDB cannot undo: {first_line(error)}; put "
                f"that right and do it again: {UPGRADE_COMMAND}"
            ) from error


def upgrade_sql(dialect: str, start: str | None = None) -> str:
    """The SQL that :func:`upgrade` would run, for those who let nobody but themselves run DDL.

    :param dialect: SQLAlchemy's name of the database, such as ``postgresql``.
    :param start: the revision that the tables are at; None for none yet.
    :raises SchemaError: when there is no such revision.
    """
    from alembic import command
    from alembic.util import CommandError

    written = StringIO()
    config = _config(output=written)
    config.attributes["dialect"] = dialect
    try:
        with _alembic_is_ours:
            command.upgrade(config, f"{start or 'base'}:head", sql=True)
    except CommandError:
        raise SchemaError(_unknown(start)) from None
    return written.getvalue()


def current(engine: Engine) -> str | None:
    """The revision that the tables are at; None when there are none.

    :raises DatabaseUnavailable: when the database is away.
    """
    try:
        with engine.connect() as connection:
            return _revision(connection)
    except exc.DBAPIError as error:
        raise translated(error) from error


def head() -> str:
    """The revision that this version of eventworker needs."""
    known = _revisions()
    if not known:
        raise SchemaError("this installation of eventworker lacks its migrations")
    return known[-1]


def check(engine: Engine) -> None:
    """Return if the tables are the ones that this version needs.

    :raises SchemaError: in one line, with the command that helps.
    :raises DatabaseUnavailable: when the database is away.
    """
    file = engine.url.database if engine.dialect.name == "sqlite" else None
    if file and not file.startswith((":memory:", "file:")) and not Path(file).exists():
        # Connecting would make an empty one, and a slip in the path look like missing tables.
        raise SchemaError(f"there is no database file {file}; to make it, run: {UPGRADE_COMMAND}")
    found, needed = current(engine), head()
    if found == needed:
        return
    if found is None:
        raise SchemaError(f"the tables are missing; run: {UPGRADE_COMMAND}")
    if found not in _revisions():
        raise SchemaError(_unknown(found))
    raise SchemaError(
        f"the tables are at revision {found}, this version needs {needed}; run: {UPGRADE_COMMAND}"
    )


def is_ours(name: str | None, kind: str, parents: object) -> bool:
    """alembic's ``include_name``: of the application's own tables we see nothing."""
    return kind != "table" or (name or "").startswith(PREFIX)


def _config(output: StringIO | None = None) -> Config:
    from alembic.config import Config

    config = Config(output_buffer=output)
    # A percent sign in the path would be read as an interpolation.
    location = str(Path(__file__).parent).replace("%", "%%")
    config.set_main_option("script_location", location)
    config.set_main_option("path_separator", "os")
    return config


def _revisions() -> list[str]:
    """All there are, the oldest first: each is the number that its file's name begins with."""
    files = (Path(__file__).parent / "versions").glob("[0-9]*_*.py")
    return sorted(file.name.partition("_")[0] for file in files)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}"))  # noqa: S608
    return found.scalar()


def _unknown(revision: str | None) -> str:
    return (
        f"the tables are at revision {revision}, which this version of eventworker does not know "
        f"(it needs {head()}); install the version that made them"
    )


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    """Keep other upgrades out until the transaction, or on MariaDB the block, ends.

    On SQLite the transaction has taken the only write lock already.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK_NUMBER)))
    if connection.dialect.name != "mariadb":
        yield
        return
    # There every DDL statement ends the transaction, and with it what a transaction can lock.
    lock = func.concat(_LOCK_NAME, func.sha1(func.database()))
    if not connection.scalar(select(func.get_lock(lock, _LOCK_SECONDS))):
        raise SchemaError("another upgrade holds the tables; wait for its end, and try again")
    try:
        yield
        # The new revision has to be seen by whoever gets the lock next.
        connection.exec_driver_sql("COMMIT")
    finally:
        # A connection that is lost has given it back.
        if not connection.invalidated:
            connection.execute(select(func.release_lock(lock)))
