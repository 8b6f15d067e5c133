"""alembic's entry: runs the revisions on the connection that it is handed.

Handed over in ``config.attributes``: ``connection``, inside a transaction of the caller's, or for
SQL to read ``dialect``. No alembic.ini and no URL: whoever calls knows its database.
"""

from alembic import context

from eventworker.db import metadata
from eventworker.migrations import VERSION_TABLE, is_ours

attributes = context.config.attributes

if context.is_offline_mode():
    context.configure(
        dialect_name=attributes["dialect"],
        target_metadata=metadata,
        version_table=VERSION_TABLE,
        literal_binds=True,
        transactional_ddl=attributes["dialect"] in ("postgresql", "sqlite"),
    )
else:
    context.configure(
        connection=attributes["connection"],
        target_metadata=metadata,
        version_table=VERSION_TABLE,
        include_name=is_ours,
        # The caller's transaction holds the lock that keeps other upgrades out.
        transaction_per_migration=False,
    )

with context.begin_transaction():
    context.run_migrations()
