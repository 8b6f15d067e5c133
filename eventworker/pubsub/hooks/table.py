"""The rows of hooks: what they are, what they have to do, and who has given them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from eventworker.db import PENDING, RETRY, EventId, UTCDateTime, attempt_columns, metadata, serial
from eventworker.pubsub.tables import Jid, Long, Name

#: States of a hook. One that waits has to be approved first; it is never claimed.
OK, BROKEN, WAITING = "ok", "broken", "waiting"
#: States of a run besides those that all attempts have.
DONE = "done"

# A daemon that runs hooks, for as long as it renews its lease.
session_table = Table(
    "eventworker_pubsub_hook_session",
    metadata,
    serial(),
    Column("name", String(200), nullable=False, unique=True),
    Column("lease_until", UTCDateTime, nullable=False),
)

hook_table = Table(
    "eventworker_pubsub_hook",
    metadata,
    serial(),
    # Digest of service, node, owner, type and argument, which are too long for a key.
    Column("same", String(64), nullable=False, unique=True),
    Column("service", Jid, nullable=False),
    Column("node", Name, nullable=False, index=True),
    Column("owner", Jid, nullable=False),
    Column("type", String(12), nullable=False),  # python, python_file, python_code
    Column("arg", Long, nullable=False),
    # Of the code, or of the file as it was when the hook was created or last changed; NULL for a
    # module.
    Column("sha256", String(64)),
    Column("hears_items", Boolean, nullable=False),
    Column("hears_retract", Boolean, nullable=False),
    Column("hears_delete", Boolean, nullable=False),
    Column("persistent", Boolean, nullable=False),
    # When a temporary one ends. Its session renews that; without one it is the creator's lease.
    Column("lease_until", UTCDateTime, index=True),
    Column("session_id", BigInteger),
    Column("state", String(10), nullable=False),
    Column("error", Text),
    # What the file looked like that could not be loaded.
    Column("broken_mark", String(120)),
    Column("runs", BigInteger, nullable=False),
    Column("failures", BigInteger, nullable=False),
    # It does one run at a time: until then it is in somebody's hands. In this order the hooks of an
    # owner take turns.
    Column("free_at", UTCDateTime, nullable=False),
    Column("holder", String(120)),
    # When it was claimed last; first comes the owner for whose hooks that is longest ago.
    Column("taken_at", UTCDateTime, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
)

Index("ix_eventworker_pubsub_hook_taken", hook_table.c.owner, hook_table.c.taken_at)

run_table = Table(
    "eventworker_pubsub_hook_run",
    metadata,
    serial(),
    Column("hook_id", BigInteger, nullable=False),
    # One number for all that was said at a time; and which of its items.
    Column("publication", EventId, nullable=False),
    Column("n", SmallInteger, nullable=False),
    Column("event", String(10), nullable=False),  # items, retract, delete
    Column("item_id", Name),
    Column("payload", Long),
    Column("publisher", Jid),
    # Hooks in a row that led here.
    Column("depth", SmallInteger, nullable=False),
    *attempt_columns(),
    # MariaDB counts a text's bytes, and 64 KiB of output may have more of them.
    Column("output", Long),
    Column("ended_at", UTCDateTime),
    UniqueConstraint("hook_id", "publication", "n"),
)

#: In SQL: the run is still to be made.
IS_OPEN = run_table.c.state.in_((PENDING, RETRY))

Index("ix_eventworker_pubsub_hook_run_due", run_table.c.hook_id, run_table.c.due_at)

# Only ever added to.
audit_table = Table(
    "eventworker_pubsub_hook_audit",
    metadata,
    serial(),
    Column("at", UTCDateTime, nullable=False),
    Column("actor", Jid, nullable=False),
    Column("what", String(20), nullable=False),  # create, approve, change, delete, end
    Column("hook_id", BigInteger, nullable=False),
    Column("service", Jid, nullable=False),
    Column("node", Name, nullable=False),
    Column("owner", Jid, nullable=False),
    Column("type", String(12), nullable=False),
    Column("arg", Long, nullable=False),
    Column("sha256", String(64)),
)
