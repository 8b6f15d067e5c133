"""Sent rows of the outbox are looked at again, until their events are found handled."""

import sqlalchemy as sa
from alembic import op

from eventworker.db import UTCDateTime
from eventworker.migrations.resumable import add_column, may_be_there

revision = "0006"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # What was sent before keeps NULL in check_at: nobody looks at it.
    republished = sa.Column("republished", sa.SmallInteger(), nullable=False, server_default="0")
    add_column("eventworker_outbox", republished)
    add_column("eventworker_outbox", sa.Column("sent_at", UTCDateTime()))
    add_column("eventworker_outbox", sa.Column("check_at", UTCDateTime()))
    op.create_index(
        "ix_eventworker_outbox_check_at",
        "eventworker_outbox",
        ["check_at"],
        if_not_exists=may_be_there(),
        postgresql_where=sa.text("check_at IS NOT NULL"),
        sqlite_where=sa.text("check_at IS NOT NULL"),
    )
