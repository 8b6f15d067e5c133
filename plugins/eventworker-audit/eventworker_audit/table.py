"""The plugin's own table."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Integer, MetaData, String, Table, Text, Uuid

from eventworker.db import UTCDateTime

#: The plugin's own: what it creates and drops is no business of eventworker's migrations.
metadata = MetaData()

# docs: begin table
audit_table = Table(
    "eventworker_audit_entry",
    metadata,
    Column("id", Integer, primary_key=True),
    # Not unique: that an event is written down once is the inbox's doing. A unique key here would
    # hide it if that ever failed; like this, a duplicate can be seen.
    Column("event_id", Uuid, nullable=False, index=True),
    Column("at", UTCDateTime, nullable=False, index=True),
    Column("author", String(255)),
    Column("method", String(120), nullable=False),
    Column("path", Text),
    Column("resource", String(120), nullable=False),
    Column("resource_id", String(255)),
    Column("changed", JSON, nullable=False),
)
# docs: end table
