"""Run by alembic: the migrations, on the connection that ``schema.upgrade`` hands over."""

from alembic import context

from eventworker_audit.schema import VERSION_TABLE
from eventworker_audit.table import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
)
with context.begin_transaction():
    context.run_migrations()
