"""Order per resource: the producers' counters, the plugins' positions, and each event's place."""

import sqlalchemy as sa
from alembic import op

from eventworker.db import UTCDateTime
from eventworker.migrations.resumable import add_column, create_table, may_be_there

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

STREAM = sa.String(376)
TABLES = ("eventworker_outbox", "eventworker_event", "eventworker_delivery")


def upgrade() -> None:
    for table in TABLES:
        add_column(table, sa.Column("stream", STREAM))
        add_column(table, sa.Column("seq", sa.BigInteger()))
    add_column("eventworker_plugin", sa.Column("ordered_since", UTCDateTime()))
    _create_index("eventworker_outbox", ["stream", "seq"])
    _create_index("eventworker_delivery", ["stream", "plugin", "seq"])
    create_table(
        "eventworker_stream",
        sa.Column("key", STREAM, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_eventworker_stream"),
    )
    create_table(
        "eventworker_cursor",
        sa.Column("plugin", sa.SmallInteger(), nullable=False),
        sa.Column("stream", STREAM, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("at", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("plugin", "stream", name="pk_eventworker_cursor"),
    )


def _create_index(table: str, columns: list[str]) -> None:
    op.create_index(
        f"ix_{table}_stream",
        table,
        columns,
        if_not_exists=may_be_there(),
        # Rows without an order cost nothing; MariaDB has no partial index.
        postgresql_where=sa.text("stream IS NOT NULL"),
        sqlite_where=sa.text("stream IS NOT NULL"),
    )
