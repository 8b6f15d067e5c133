"""The table of audit entries."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from eventworker.db import UTCDateTime

revision = "a0001"
down_revision = None


def upgrade() -> None:
    """Create it."""
    op.create_table(
        "eventworker_audit_entry",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("event_id", sa.Uuid, nullable=False, index=True),
        sa.Column("at", UTCDateTime, nullable=False, index=True),
        sa.Column("author", sa.String(255)),
        sa.Column("method", sa.String(120), nullable=False),
        sa.Column("path", sa.Text),
        sa.Column("resource", sa.String(120), nullable=False),
        sa.Column("resource_id", sa.String(255)),
        sa.Column("changed", sa.JSON, nullable=False),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("eventworker_audit_entry")
