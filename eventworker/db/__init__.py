"""Contract with the database: engine, clock, the event-scoped session, and what an error means."""

from eventworker.db.attempts import (
    DEAD,
    LONGEST_DELAY,
    PENDING,
    RETRY,
    Failure,
    at_rest,
    attempt_columns,
    failed,
    in_call,
    refusals,
)
from eventworker.db.claiming import RowClaim, among, claim_rows, update_rows
from eventworker.db.clock import Since, UTCDateTime, clock, moment
from eventworker.db.columns import STREAM_LENGTH, EventId, binary, message_columns, serial
from eventworker.db.engine import build_engine, configured_engine, metadata
from eventworker.db.failures import (
    first_line,
    is_stale_snapshot,
    is_transient,
    is_unavailable,
    translated,
)
from eventworker.db.group import GroupBroken, GroupSession, GroupTransaction
from eventworker.db.insert import insert_ignore, insert_new, insert_or_update
from eventworker.db.mariadb import longest_value
from eventworker.db.session import EventSession, Origin
from eventworker.db.transaction import (
    OwnedTransaction,
    Superseded,
    short_transaction,
    transaction_identity,
)

__all__ = [
    "DEAD",
    "LONGEST_DELAY",
    "PENDING",
    "RETRY",
    "STREAM_LENGTH",
    "EventId",
    "EventSession",
    "Failure",
    "GroupBroken",
    "GroupSession",
    "GroupTransaction",
    "Origin",
    "OwnedTransaction",
    "RowClaim",
    "Since",
    "Superseded",
    "UTCDateTime",
    "among",
    "at_rest",
    "attempt_columns",
    "binary",
    "build_engine",
    "claim_rows",
    "clock",
    "configured_engine",
    "failed",
    "first_line",
    "in_call",
    "insert_ignore",
    "insert_new",
    "insert_or_update",
    "is_stale_snapshot",
    "is_transient",
    "is_unavailable",
    "longest_value",
    "message_columns",
    "metadata",
    "moment",
    "refusals",
    "serial",
    "short_transaction",
    "transaction_identity",
    "translated",
    "update_rows",
]
