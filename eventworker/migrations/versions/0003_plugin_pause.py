"""A plugin can be paused: since when, by whom and why."""

import sqlalchemy as sa

from eventworker.db import UTCDateTime
from eventworker.migrations.resumable import add_column

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    add_column("eventworker_plugin", sa.Column("paused_at", UTCDateTime()))
    add_column("eventworker_plugin", sa.Column("paused_by", sa.String(120)))
    add_column("eventworker_plugin", sa.Column("pause_reason", sa.String(500)))
