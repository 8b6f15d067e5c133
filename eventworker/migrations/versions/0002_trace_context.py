"""The trace context beside each event, W3C's ``traceparent`` and ``tracestate``."""

import sqlalchemy as sa

from eventworker.migrations.resumable import add_column

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES = ("eventworker_outbox", "eventworker_event")


def upgrade() -> None:
    for table in TABLES:
        add_column(table, sa.Column("traceparent", sa.String(255)))
        add_column(table, sa.Column("tracestate", sa.String(512)))
