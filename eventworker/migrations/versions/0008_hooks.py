"""Hooks on nodes: what they are, what they have to do, and who has given them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import LONGTEXT, VARCHAR

from eventworker.db import EventId, UTCDateTime
from eventworker.migrations.resumable import create_table, may_be_there

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_LONG = sa.Text().with_variant(LONGTEXT(), "mariadb", "mysql")
_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _name(length: int) -> sa.String:
    exact = VARCHAR(length, charset="utf8mb4", collation="utf8mb4_nopad_bin")
    return sa.String(length).with_variant(exact, "mariadb", "mysql")


_NAME, _JID = _name(512), _name(400)


def upgrade() -> None:
    create_table(
        "eventworker_pubsub_hook_session",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("lease_until", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_eventworker_pubsub_hook_session"),
        sa.UniqueConstraint("name", name="uq_eventworker_pubsub_hook_session_name"),
    )
    create_table(
        "eventworker_pubsub_hook",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("same", sa.String(64), nullable=False),
        sa.Column("service", _JID, nullable=False),
        sa.Column("node", _NAME, nullable=False),
        sa.Column("owner", _JID, nullable=False),
        sa.Column("type", sa.String(12), nullable=False),
        sa.Column("arg", _LONG, nullable=False),
        sa.Column("sha256", sa.String(64)),
        sa.Column("hears_items", sa.Boolean(), nullable=False),
        sa.Column("hears_retract", sa.Boolean(), nullable=False),
        sa.Column("hears_delete", sa.Boolean(), nullable=False),
        sa.Column("persistent", sa.Boolean(), nullable=False),
        sa.Column("lease_until", UTCDateTime()),
        sa.Column("session_id", sa.BigInteger()),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("error", sa.Text()),
        sa.Column("broken_mark", sa.String(120)),
        sa.Column("runs", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("free_at", UTCDateTime(), nullable=False),
        sa.Column("holder", sa.String(120)),
        sa.Column("taken_at", UTCDateTime(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_eventworker_pubsub_hook"),
        sa.UniqueConstraint("same", name="uq_eventworker_pubsub_hook_same"),
    )
    for column in ("lease_until", "node"):
        op.create_index(
            f"ix_eventworker_pubsub_hook_{column}",
            "eventworker_pubsub_hook",
            [column],
            if_not_exists=may_be_there(),
        )
    op.create_index(
        "ix_eventworker_pubsub_hook_taken",
        "eventworker_pubsub_hook",
        ["owner", "taken_at"],
        if_not_exists=may_be_there(),
    )
    create_table(
        "eventworker_pubsub_hook_run",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("hook_id", sa.BigInteger(), nullable=False),
        sa.Column("publication", EventId, nullable=False),
        sa.Column("n", sa.SmallInteger(), nullable=False),
        sa.Column("event", sa.String(10), nullable=False),
        sa.Column("item_id", _NAME),
        sa.Column("payload", _LONG),
        sa.Column("publisher", _JID),
        sa.Column("depth", sa.SmallInteger(), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("attempts", sa.SmallInteger(), nullable=False),
        sa.Column("due_at", UTCDateTime(), nullable=False),
        sa.Column("owner", sa.String(120)),
        sa.Column("error", sa.Text()),
        sa.Column("traceback", sa.Text()),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("output", _LONG),
        sa.Column("ended_at", UTCDateTime()),
        sa.PrimaryKeyConstraint("id", name="pk_eventworker_pubsub_hook_run"),
        sa.UniqueConstraint(
            "hook_id", "publication", "n", name="uq_eventworker_pubsub_hook_run_hook_id"
        ),
    )
    op.create_index(
        "ix_eventworker_pubsub_hook_run_due",
        "eventworker_pubsub_hook_run",
        ["hook_id", "due_at"],
        if_not_exists=may_be_there(),
    )
    create_table(
        "eventworker_pubsub_hook_audit",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("at", UTCDateTime(), nullable=False),
        sa.Column("actor", _JID, nullable=False),
        sa.Column("what", sa.String(20), nullable=False),
        sa.Column("hook_id", sa.BigInteger(), nullable=False),
        sa.Column("service", _JID, nullable=False),
        sa.Column("node", _NAME, nullable=False),
        sa.Column("owner", _JID, nullable=False),
        sa.Column("type", sa.String(12), nullable=False),
        sa.Column("arg", _LONG, nullable=False),
        sa.Column("sha256", sa.String(64)),
        sa.PrimaryKeyConstraint("id", name="pk_eventworker_pubsub_hook_audit"),
    )
