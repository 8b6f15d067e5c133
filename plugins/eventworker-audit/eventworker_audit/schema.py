"""Making the plugin's table, and finding out whether it has been made."""

from __future__ import annotations

from importlib.resources import files

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from eventworker.db import build_engine, translated
from eventworker.errors import PluginError

#: The plugin's own, so that its migrations and eventworker's do not meet in one table.
VERSION_TABLE = "eventworker_audit_alembic_version"


def upgrade(engine: Engine) -> None:
    """Create the table or bring it up to date; doing it again changes nothing."""
    with engine.begin() as connection:
        alembic = _alembic()
        alembic.attributes["connection"] = connection
        command.upgrade(alembic, "head")


def is_current(engine: Engine) -> bool:
    """Whether the table is there, in the version that this release needs."""
    needed = ScriptDirectory.from_config(_alembic()).get_current_head()
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        return context.get_current_revision() == needed


def require_current_schema(url: str | None) -> None:
    """Look at the table in the database at ``url``.

    :raises PluginError: when it is missing or of another version; says what to run.
    :raises DatabaseUnavailable: when the database is away.
    """
    engine = build_engine(url)
    try:
        if not is_current(engine):
            raise PluginError(
                "the table eventworker_audit_entry "
                "is missing or of another version; "
                "run: eventworker-audit upgrade --config-file FILE"
            )
    except DBAPIError as error:
        raise translated(error) from error
    finally:
        engine.dispose()


def _alembic() -> Config:
    config = Config()
    # ConfigParser reads % as the start of a reference.
    folder = str(files("eventworker_audit") / "migrations").replace("%", "%%")
    config.set_main_option("script_location", folder)
    return config
