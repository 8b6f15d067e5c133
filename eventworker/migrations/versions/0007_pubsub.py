"""The publish-subscribe service: nodes, items, subscriptions, and who is told."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import LONGTEXT, VARCHAR

from eventworker.db import UTCDateTime
from eventworker.migrations.resumable import create_table, may_be_there

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_LONG = sa.Text().with_variant(LONGTEXT(), "mariadb", "mysql")
_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _name(length: int) -> sa.String:
    exact = VARCHAR(length, charset="utf8mb4", collation="utf8mb4_nopad_bin")
    return sa.String(length).with_variant(exact, "mariadb", "mysql")


_NAME, _JID, _RESOURCE, _GROUP = _name(512), _name(400), _name(250), _name(250)


def upgrade() -> None:
    create_table(
        "eventworker_pubsub_node",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("name", _NAME),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("access_model", sa.String(10), nullable=False),
        sa.Column("roster_of", _JID),
        sa.Column("config", _LONG, nullable=False),
        sa.Column("purge_offline", sa.Boolean(), nullable=False),
        sa.Column("creator", _JID, nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("deleted_at", UTCDateTime()),
        sa.PrimaryKeyConstraint("id", name="pk_eventworker_pubsub_node"),
        sa.UniqueConstraint("name", name="uq_eventworker_pubsub_node_name"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_eventworker_pubsub_node_creator",
        "eventworker_pubsub_node",
        ["creator"],
        if_not_exists=may_be_there(),
    )
    op.create_index(
        "ix_eventworker_pubsub_node_deleted_at",
        "eventworker_pubsub_node",
        ["deleted_at"],
        if_not_exists=may_be_there(),
    )
    op.create_index(
        "ix_eventworker_pubsub_node_purge_offline",
        "eventworker_pubsub_node",
        ["purge_offline"],
        if_not_exists=may_be_there(),
    )
    op.create_index(
        "ix_eventworker_pubsub_node_roster_of",
        "eventworker_pubsub_node",
        ["roster_of"],
        if_not_exists=may_be_there(),
    )
    create_table(
        "eventworker_pubsub_redirect",
        sa.Column("name", _NAME, nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("creator", _JID, nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_eventworker_pubsub_redirect"),
    )
    op.create_index(
        "ix_eventworker_pubsub_redirect_creator",
        "eventworker_pubsub_redirect",
        ["creator"],
        if_not_exists=may_be_there(),
    )
    create_table(
        "eventworker_pubsub_child",
        sa.Column("collection_id", sa.BigInteger(), nullable=False),
        sa.Column("node_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("collection_id", "node_id", name="pk_eventworker_pubsub_child"),
    )
    op.create_index(
        "ix_eventworker_pubsub_child_node_id",
        "eventworker_pubsub_child",
        ["node_id"],
        if_not_exists=may_be_there(),
    )
    create_table(
        "eventworker_pubsub_item",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("node_id", sa.BigInteger(), nullable=False),
        sa.Column("item_id", _NAME, nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("publisher", _JID, nullable=False),
        sa.Column("payload", _LONG),
        sa.Column("published_at", UTCDateTime(), nullable=False),
        sa.Column("expires_at", UTCDateTime()),
        sa.PrimaryKeyConstraint("id", name="pk_eventworker_pubsub_item"),
        sa.UniqueConstraint("node_id", "item_id", name="uq_eventworker_pubsub_item_node_id"),
    )
    op.create_index(
        "ix_eventworker_pubsub_item_expires_at",
        "eventworker_pubsub_item",
        ["expires_at"],
        if_not_exists=may_be_there(),
    )
    op.create_index(
        "ix_eventworker_pubsub_item_position",
        "eventworker_pubsub_item",
        ["node_id", "position"],
        if_not_exists=may_be_there(),
    )
    op.create_index(
        "ix_eventworker_pubsub_item_publisher",
        "eventworker_pubsub_item",
        ["publisher", "node_id"],
        if_not_exists=may_be_there(),
    )
    create_table(
        "eventworker_pubsub_subscription",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("node_id", sa.BigInteger(), nullable=False),
        sa.Column("jid", _JID, nullable=False),
        sa.Column("bare", _JID, nullable=False),
        sa.Column("subid", sa.String(40), nullable=False),
        sa.Column("asked_for", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("options", _LONG, nullable=False),
        sa.Column("deliver", sa.Boolean(), nullable=False),
        sa.Column("type", sa.String(5), nullable=False),
        sa.Column("depth", sa.SmallInteger()),
        sa.Column("expires_at", UTCDateTime()),
        sa.Column("temporary", sa.Boolean(), nullable=False),
        sa.Column("bounces", sa.SmallInteger(), nullable=False),
        sa.Column("reminded_at", UTCDateTime()),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_eventworker_pubsub_subscription"),
        sa.UniqueConstraint(
            "node_id", "jid", "subid", name="uq_eventworker_pubsub_subscription_node_id"
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_eventworker_pubsub_subscription_bare",
        "eventworker_pubsub_subscription",
        ["bare"],
        if_not_exists=may_be_there(),
    )
    op.create_index(
        "ix_eventworker_pubsub_subscription_expires_at",
        "eventworker_pubsub_subscription",
        ["expires_at"],
        if_not_exists=may_be_there(),
    )
    create_table(
        "eventworker_pubsub_affiliation",
        sa.Column("node_id", sa.BigInteger(), nullable=False),
        sa.Column("jid", _JID, nullable=False),
        sa.Column("affiliation", sa.String(12), nullable=False),
        sa.PrimaryKeyConstraint("node_id", "jid", name="pk_eventworker_pubsub_affiliation"),
    )
    op.create_index(
        "ix_eventworker_pubsub_affiliation_jid",
        "eventworker_pubsub_affiliation",
        ["jid"],
        if_not_exists=may_be_there(),
    )
    create_table(
        "eventworker_pubsub_presence",
        sa.Column("bare", _JID, nullable=False),
        sa.Column("resource", _RESOURCE, nullable=False),
        sa.Column("at", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("bare", "resource", name="pk_eventworker_pubsub_presence"),
    )
    create_table(
        "eventworker_pubsub_roster_group",
        sa.Column("node_id", sa.BigInteger(), nullable=False),
        sa.Column("name", _GROUP, nullable=False),
        sa.PrimaryKeyConstraint("node_id", "name", name="pk_eventworker_pubsub_roster_group"),
    )
    create_table(
        "eventworker_pubsub_roster_host",
        sa.Column("domain", _JID, nullable=False),
        sa.Column("good_until", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("domain", name="pk_eventworker_pubsub_roster_host"),
    )
    create_table(
        "eventworker_pubsub_roster",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("owner", _JID, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("asked_at", UTCDateTime(), nullable=False),
        sa.Column("good_until", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_eventworker_pubsub_roster"),
        sa.UniqueConstraint("owner", name="uq_eventworker_pubsub_roster_owner"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_eventworker_pubsub_roster_good_until",
        "eventworker_pubsub_roster",
        ["good_until"],
        if_not_exists=may_be_there(),
    )
    create_table(
        "eventworker_pubsub_roster_entry",
        sa.Column("roster_id", sa.BigInteger(), nullable=False),
        sa.Column("jid", _JID, nullable=False),
        sa.Column("group_name", _GROUP, nullable=False),
        sa.PrimaryKeyConstraint(
            "roster_id", "jid", "group_name", name="pk_eventworker_pubsub_roster_entry"
        ),
    )
    create_table(
        "eventworker_pubsub_listener",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("name", _NAME, nullable=False),
        sa.Column("jid", _JID),
        sa.Column("bare", _JID),
        sa.Column("lease_until", UTCDateTime()),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_eventworker_pubsub_listener"),
        sa.UniqueConstraint("name", name="uq_eventworker_pubsub_listener_name"),
        sqlite_autoincrement=True,
    )
    create_table(
        "eventworker_pubsub_notice",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("node", _NAME, nullable=False),
        sa.Column("node_id", sa.BigInteger()),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("content", _LONG, nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_eventworker_pubsub_notice"),
        sqlite_autoincrement=True,
    )
    create_table(
        "eventworker_pubsub_delivery",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("notice_id", sa.BigInteger(), nullable=False),
        sa.Column("listener_id", sa.BigInteger(), nullable=False),
        sa.Column("audience_id", sa.BigInteger()),
        sa.Column("level", sa.SmallInteger(), nullable=False),
        sa.Column("recipient", _JID),
        sa.Column("horizon", sa.BigInteger()),
        sa.Column("told", _JID),
        sa.PrimaryKeyConstraint("id", name="pk_eventworker_pubsub_delivery"),
    )
    op.create_index(
        "ix_eventworker_pubsub_delivery_audience_id",
        "eventworker_pubsub_delivery",
        ["audience_id"],
        if_not_exists=may_be_there(),
    )
    op.create_index(
        "ix_eventworker_pubsub_delivery_listener",
        "eventworker_pubsub_delivery",
        ["listener_id", "id"],
        if_not_exists=may_be_there(),
    )
    op.create_index(
        "ix_eventworker_pubsub_delivery_notice_id",
        "eventworker_pubsub_delivery",
        ["notice_id"],
        if_not_exists=may_be_there(),
    )
