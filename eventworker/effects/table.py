"""The rows: effects that are not done, and what many of them have in common."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    literal_column,
)
from sqlalchemy.dialects.mysql import LONGTEXT

from eventworker.db import EventId, UTCDateTime, attempt_columns, metadata, serial

#: Not JSON types, which would write keys in another order, or refuse a NUL. TEXT has 64 kB there.
Json = Text().with_variant(LONGTEXT(), "mariadb", "mysql")

effect_table = Table(
    "eventworker_effect",
    metadata,
    serial(),
    Column("event_id", EventId, nullable=False),
    Column("plugin", SmallInteger, nullable=False),
    # From 1; of 64 bits, so that row_number() may give it.
    Column("n", BigInteger, nullable=False),
    Column("payload", Json, nullable=False),
    # The number of the row in shared_table whose fields the payload has besides its own.
    Column("shared", BigInteger),
    *attempt_columns(),
    UniqueConstraint("event_id", "plugin", "n"),
)

shared_table = Table(
    "eventworker_effect_shared",
    metadata,
    Column("event_id", EventId, nullable=False),
    Column("plugin", SmallInteger, nullable=False),
    # That of the first effect that shares it.
    Column("n", BigInteger, nullable=False),
    Column("payload", Json, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    PrimaryKeyConstraint("event_id", "plugin", "n"),
)

#: In SQL: the effect is still to be performed. The text is that of the partial index.
IS_OPEN = effect_table.c.state != literal_column("'dead'")

# A plugin whose effects wait by the thousand must not make the others' look for theirs longer; nor
# may dead ones. MariaDB has no partial index, and passes over the latter.
Index(
    "ix_eventworker_effect_due",
    effect_table.c.plugin,
    effect_table.c.due_at,
    postgresql_where=IS_OPEN,
    sqlite_where=IS_OPEN,
)
