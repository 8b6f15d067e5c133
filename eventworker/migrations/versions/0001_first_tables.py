"""The first tables: registry, inbox, backlog, quarantine, outbox, subscriptions.

Written out rather than taken from the table modules: those go on changing, and this revision is
what databases in use were made with.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from eventworker.db import EventId, UTCDateTime, binary
from eventworker.migrations.resumable import may_be_there

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _serial() -> sa.Column[int]:
    # SQLite numbers rows by itself only for a key of the type INTEGER.
    kind = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column("id", kind, autoincrement=True, nullable=False)


def upgrade() -> None:
    _registry()
    _inbox()
    _backlog()
    _quarantine()
    _anonymous()
    _outbox()
    _subscription()


def _create_table(name: str, *parts: sa.schema.SchemaItem) -> None:
    op.create_table(
        name,
        *parts,
        if_not_exists=may_be_there(),
        mariadb_engine="InnoDB",
        # Texts are compared as on the other databases: with regard to case.
        mariadb_charset="utf8mb4",
        mariadb_collate="utf8mb4_bin",
    )


def _create_index(name: str, table: str, columns: list[str], **options: Any) -> None:
    op.create_index(name, table, columns, if_not_exists=may_be_there(), **options)


def _registry() -> None:
    _create_table(
        "eventworker_plugin",
        sa.Column("number", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("key", sa.String(120), nullable=False),
        sa.Column("name", sa.String(120), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("since", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_eventworker_plugin"),
        sa.UniqueConstraint("key", name="uq_eventworker_plugin_key"),
    )


def _inbox() -> None:
    _create_table(
        "eventworker_inbox",
        sa.Column("event_id", EventId, nullable=False),
        sa.Column("plugin", sa.SmallInteger(), nullable=False),
        sa.Column("outcome", sa.SmallInteger(), nullable=False),
        sa.Column("at", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("event_id", "plugin", name="pk_eventworker_inbox"),
    )
    _create_index("ix_eventworker_inbox_at", "eventworker_inbox", ["at"])


def _backlog() -> None:
    _create_table(
        "eventworker_event",
        sa.Column("id", EventId, nullable=False),
        sa.Column("time", UTCDateTime(), nullable=False),
        sa.Column("source", sa.String(255), nullable=False),
        sa.Column("resource", sa.String(120), nullable=False),
        sa.Column("body", binary(2**24), nullable=False),
        sa.Column("stored_at", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_eventworker_event"),
    )
    _create_table(
        "eventworker_delivery",
        _serial(),
        sa.Column("event_id", EventId, nullable=False),
        sa.Column("plugin", sa.SmallInteger(), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("attempts", sa.SmallInteger(), nullable=False),
        sa.Column("due_at", UTCDateTime(), nullable=False),
        sa.Column("owner", sa.String(120)),
        sa.Column("error", sa.Text()),
        sa.Column("traceback", sa.Text()),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_eventworker_delivery"),
        sa.UniqueConstraint("event_id", "plugin", name="uq_eventworker_delivery_event_id"),
    )
    _create_index("ix_eventworker_delivery_due", "eventworker_delivery", ["state", "due_at"])


def _quarantine() -> None:
    _create_table(
        "eventworker_quarantine",
        _serial(),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("properties", sa.Text(), nullable=False),
        sa.Column("body", binary(2**30), nullable=False),
        sa.Column("received_at", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_eventworker_quarantine"),
    )


def _anonymous() -> None:
    _create_table(
        "eventworker_anonymous",
        _serial(),
        sa.Column("digest", binary(32), nullable=False),
        sa.Column("event_id", EventId, nullable=False),
        sa.Column("at", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_eventworker_anonymous"),
    )
    _create_index("ix_eventworker_anonymous_digest", "eventworker_anonymous", ["digest"])
    _create_index("ix_eventworker_anonymous_at", "eventworker_anonymous", ["at"])


def _outbox() -> None:
    _create_table(
        "eventworker_outbox",
        sa.Column("id", EventId, nullable=False),
        sa.Column("time", UTCDateTime(), nullable=False),
        sa.Column("source", sa.String(255), nullable=False),
        sa.Column("resource", sa.String(120), nullable=False),
        sa.Column("body", binary(2**24), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("claims", sa.Integer(), nullable=False),
        sa.Column("leased_until", UTCDateTime()),
        sa.Column("owner", sa.String(120)),
        sa.Column("settled_at", UTCDateTime()),
        sa.Column("error", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_eventworker_outbox"),
    )
    _create_index(
        "ix_eventworker_outbox_ready",
        "eventworker_outbox",
        # No partial index on MariaDB; the rows that were sent are passed over by the state.
        ["state", "id"] if op.get_context().dialect.name == "mariadb" else ["id"],
        postgresql_where=sa.text("state = 0"),
        sqlite_where=sa.text("state = 0"),
    )


def _subscription() -> None:
    _create_table(
        "eventworker_subscription",
        _serial(),
        sa.Column("user_id", sa.String(255), nullable=False),
        sa.Column("target_type", sa.String(120), nullable=False),
        sa.Column("target_id", sa.String(255), nullable=False),
        sa.Column("created_at", UTCDateTime()),
        sa.PrimaryKeyConstraint("id", name="pk_eventworker_subscription"),
        sa.UniqueConstraint(
            "target_type",
            "target_id",
            "user_id",
            name="uq_eventworker_subscription_target_type",
        ),
    )
    _create_index("ix_eventworker_subscription_user", "eventworker_subscription", ["user_id"])
    _create_table(
        "eventworker_notification",
        _serial(),
        sa.Column("event_id", EventId, nullable=False),
        sa.Column("subscriber_id", sa.String(255), nullable=False),
        sa.Column("author_id", sa.String(255)),
        sa.Column("event_type", sa.String(255), nullable=False),
        sa.Column("resource", sa.String(120), nullable=False),
        sa.Column("resource_id", sa.String(255)),
        sa.Column("info", sa.Text()),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_eventworker_notification"),
        sa.UniqueConstraint(
            "event_id", "subscriber_id", name="uq_eventworker_notification_event_id"
        ),
    )
    _create_index(
        "ix_eventworker_notification_subscriber",
        "eventworker_notification",
        ["subscriber_id", "id"],
    )
