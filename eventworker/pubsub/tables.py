"""The rows of the service."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.mysql import LONGTEXT, VARCHAR

from eventworker.db import UTCDateTime, metadata, serial
from eventworker.pubsub.jid import MAX_JID

#: Characters of a NodeID and of an ItemID.
MAX_NAME = 512

#: Not TEXT, which has 64 kB there.
Long = Text().with_variant(LONGTEXT(), "mariadb", "mysql")


def name_type(length: int) -> String:
    """Text that is compared character by character: MariaDB would by itself take ``Ä`` for ``a``
    and leave spaces at the end out of account."""
    exact = VARCHAR(length, charset="utf8mb4", collation="utf8mb4_nopad_bin")
    return String(length).with_variant(exact, "mariadb", "mysql")


Name = name_type(MAX_NAME)
Jid = name_type(MAX_JID)
#: A key of an address and its resource has room for that much on MariaDB; a longer one is cut.
MAX_RESOURCE = 250
Resource = name_type(MAX_RESOURCE)
#: The same of a roster group. A longer one is not kept, so it admits nobody.
MAX_GROUP = 250
Group = name_type(MAX_GROUP)


#: For tables whose ids are told to others or compared. SQLite would by itself give the id of the
#: last row again once that is deleted: nobody could tell a message from one of before.
NEVER_AGAIN: dict[str, Any] = {"sqlite_autoincrement": True}


# There are no foreign keys: SQLite would not heed them, and elsewhere each row of a node would lock
# the node's own. What belongs to a deleted node is deleted by name.
def _of_node(name: str = "node_id", *, nullable: bool = False, index: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable, index=index)


node_table = Table(
    "eventworker_pubsub_node",
    metadata,
    serial(),
    # NULL once the node is deleted: the row is kept until its subscribers have been told.
    Column("name", Name, unique=True),
    Column("kind", String(10), nullable=False),  # leaf, collection
    Column("access_model", String(10), nullable=False),
    # With the access model roster, the owner whose roster is meant: who has named the groups.
    Column("roster_of", Jid, index=True),
    # All fields of the configuration, as JSON; beside it what is asked in SQL.
    Column("config", Long, nullable=False),
    Column("purge_offline", Boolean, nullable=False, default=False, index=True),
    Column("creator", Jid, nullable=False, index=True),
    # Counts publications, which gives items their order; to count is also to lock the node.
    Column("position", BigInteger, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    Column("deleted_at", UTCDateTime, index=True),
    **NEVER_AGAIN,
)

# Where a deleted node has gone, until a node of that name is made again.
redirect_table = Table(
    "eventworker_pubsub_redirect",
    metadata,
    Column("name", Name, primary_key=True),
    Column("uri", Text, nullable=False),
    # Of the node: what is left of it is still his.
    Column("creator", Jid, nullable=False, index=True),
    Column("created_at", UTCDateTime, nullable=False),
)

# XEP-0248: a node may be in several collections.
child_table = Table(
    "eventworker_pubsub_child",
    metadata,
    _of_node("collection_id"),
    _of_node(index=True),
    PrimaryKeyConstraint("collection_id", "node_id"),
)

item_table = Table(
    "eventworker_pubsub_item",
    metadata,
    serial(),
    _of_node(),
    Column("item_id", Name, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("publisher", Jid, nullable=False),
    Column("payload", Long),
    Column("published_at", UTCDateTime, nullable=False),
    Column("expires_at", UTCDateTime, index=True),
    UniqueConstraint("node_id", "item_id"),
    Index("ix_eventworker_pubsub_item_position", "node_id", "position"),
    # For purge_offline: whoever goes offline is looked for, most often in vain.
    Index("ix_eventworker_pubsub_item_publisher", "publisher", "node_id"),
)

subscription_table = Table(
    "eventworker_pubsub_subscription",
    metadata,
    serial(),
    _of_node(),
    Column("jid", Jid, nullable=False),
    Column("bare", Jid, nullable=False, index=True),
    Column("subid", String(40), nullable=False),
    # The subscriber has asked for it himself; otherwise an owner or an admin has made it.
    Column("asked_for", Boolean, nullable=False, default=True),
    Column("state", String(12), nullable=False),
    # All options, as JSON; beside it what is asked in SQL when something is delivered.
    Column("options", Long, nullable=False),
    Column("deliver", Boolean, nullable=False),
    # XEP-0248: items (of all nodes below) or nodes (news of the nodes themselves), and how deep:
    # 1, or NULL for all.
    Column("type", String(5), nullable=False),
    Column("depth", SmallInteger),
    Column("expires_at", UTCDateTime, index=True),
    # Ends when the subscriber goes offline.
    Column("temporary", Boolean, nullable=False),
    # Notifications that came back since the subscriber was last seen or heard of.
    Column("bounces", SmallInteger, nullable=False),
    # When the subscriber was told that the lease will end.
    Column("reminded_at", UTCDateTime),
    Column("created_at", UTCDateTime, nullable=False),
    UniqueConstraint("node_id", "jid", "subid"),
    **NEVER_AGAIN,
)

affiliation_table = Table(
    "eventworker_pubsub_affiliation",
    metadata,
    _of_node(),
    Column("jid", Jid, nullable=False, index=True),
    Column("affiliation", String(12), nullable=False),
    PrimaryKeyConstraint("node_id", "jid"),
)

# Who shares presence with the service (resource empty), and which resources are available.
presence_table = Table(
    "eventworker_pubsub_presence",
    metadata,
    Column("bare", Jid, nullable=False),
    Column("resource", Resource, nullable=False),
    Column("at", UTCDateTime, nullable=False),
    PrimaryKeyConstraint("bare", "resource"),
)

# Whom the access model roster admits: contacts in one of these groups.
roster_group_table = Table(
    "eventworker_pubsub_roster_group",
    metadata,
    _of_node(),
    Column("name", Group, nullable=False),
    PrimaryKeyConstraint("node_id", "name"),
)

# XMPP servers that let somebody read the rosters of their accounts, and how long that holds.
roster_host_table = Table(
    "eventworker_pubsub_roster_host",
    metadata,
    Column("domain", Jid, primary_key=True),
    Column("good_until", UTCDateTime, nullable=False),
)

# Rosters as they were when somebody asked for them. After good_until nothing is known of one.
roster_table = Table(
    "eventworker_pubsub_roster",
    metadata,
    serial(),
    Column("owner", Jid, nullable=False, unique=True),
    # Of its rows below: they are written only when it has another one.
    Column("digest", String(64), nullable=False),
    Column("asked_at", UTCDateTime, nullable=False),
    Column("good_until", UTCDateTime, nullable=False, index=True),
    **NEVER_AGAIN,
)

# Of a roster no more than concerns the nodes: contacts in groups that one of them admits.
roster_entry_table = Table(
    "eventworker_pubsub_roster_entry",
    metadata,
    Column("roster_id", BigInteger, nullable=False),
    Column("jid", Jid, nullable=False),
    Column("group_name", Group, nullable=False),
    PrimaryKeyConstraint("roster_id", "jid", "group_name"),
)

# Whom notifications are handed to: a connection to an XMPP server, or a client in some process.
listener_table = Table(
    "eventworker_pubsub_listener",
    metadata,
    serial(),
    Column("name", Name, nullable=False, unique=True),
    # The address that it listens for, full, and without resource; NULL for all that are not the
    # service's own.
    Column("jid", Jid),
    Column("bare", Jid),
    # NULL: it is owed notifications until it is removed.
    Column("lease_until", UTCDateTime),
    Column("created_at", UTCDateTime, nullable=False),
    **NEVER_AGAIN,
)

# What is said, once for all who hear it.
notice_table = Table(
    "eventworker_pubsub_notice",
    metadata,
    serial(),
    Column("node", Name, nullable=False),
    # Its row, as long as that is there.
    _of_node(nullable=True),
    Column("kind", String(20), nullable=False),
    Column("content", Long, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    **NEVER_AGAIN,
)

# Who has still to hear it: a row for each listener and each node whose subscribers it speaks to,
# however many those are. The rows of a notice are told as one. A listener takes them in the order
# of their ids and deletes them when all are told; the order of one node's is that of its notices,
# since whoever makes one has locked the node.
delivery_table = Table(
    "eventworker_pubsub_delivery",
    metadata,
    serial(),
    Column("notice_id", BigInteger, nullable=False, index=True),
    Column("listener_id", BigInteger, nullable=False),
    # To the subscribers of this node (the notice's own, or a collection above it), or to one JID.
    _of_node("audience_id", nullable=True, index=True),
    # How far the collection is above it; 0 for the node itself.
    Column("level", SmallInteger, nullable=False),
    Column("recipient", Jid),
    # Only subscriptions up to this one: later ones began after what is told.
    Column("horizon", BigInteger),
    # The subscribers up to this one have been told.
    Column("told", Jid),
    Index("ix_eventworker_pubsub_delivery_listener", "listener_id", "id"),
)
