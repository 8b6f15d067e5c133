"""Effects outside the database, as rows."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import LONGTEXT

from eventworker.db import EventId, UTCDateTime
from eventworker.migrations.resumable import create_table, may_be_there

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_JSON = sa.Text().with_variant(LONGTEXT(), "mariadb", "mysql")


def upgrade() -> None:
    create_table(
        "eventworker_effect",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("event_id", EventId, nullable=False),
        sa.Column("plugin", sa.SmallInteger(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("payload", _JSON, nullable=False),
        sa.Column("shared", sa.BigInteger()),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("attempts", sa.SmallInteger(), nullable=False),
        sa.Column("due_at", UTCDateTime(), nullable=False),
        sa.Column("owner", sa.String(120)),
        sa.Column("error", sa.Text()),
        sa.Column("traceback", sa.Text()),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_eventworker_effect"),
        sa.UniqueConstraint("event_id", "plugin", "n", name="uq_eventworker_effect_event_id"),
    )
    op.create_index(
        "ix_eventworker_effect_due",
        "eventworker_effect",
        ["plugin", "due_at"],
        if_not_exists=may_be_there(),
        # MariaDB has no partial index.
        postgresql_where=sa.text("state != 'dead'"),
        sqlite_where=sa.text("state != 'dead'"),
    )
    create_table(
        "eventworker_effect_shared",
        sa.Column("event_id", EventId, nullable=False),
        sa.Column("plugin", sa.SmallInteger(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("payload", _JSON, nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("event_id", "plugin", "n", name="pk_eventworker_effect_shared"),
    )
