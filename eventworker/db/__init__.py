"""Contract with the database: engine, clock, the event-scoped session, and what an error means."""

from eventworker.db.claiming import claim_rows, update_rows
from eventworker.db.clock import UTCDateTime, clock
from eventworker.db.columns import EventId, binary, message_columns, serial
from eventworker.db.engine import build_engine, configured_engine, metadata
from eventworker.db.failures import (
    first_line,
    is_stale_snapshot,
    is_transient,
    is_unavailable,
    translated,
)
from eventworker.db.insert import insert_ignore, insert_new, insert_or_update
from eventworker.db.mariadb import longest_value
from eventworker.db.session import EventSession
from eventworker.db.transaction import (
    OwnedTransaction,
    Superseded,
    short_transaction,
    transaction_identity,
)

__all__ = [
    "EventId",
    "EventSession",
    "OwnedTransaction",
    "Superseded",
    "UTCDateTime",
    "binary",
    "build_engine",
    "claim_rows",
    "clock",
    "configured_engine",
    "first_line",
    "insert_ignore",
    "insert_new",
    "insert_or_update",
    "is_stale_snapshot",
    "is_transient",
    "is_unavailable",
    "longest_value",
    "message_columns",
    "metadata",
    "serial",
    "short_transaction",
    "transaction_identity",
    "translated",
    "update_rows",
]
