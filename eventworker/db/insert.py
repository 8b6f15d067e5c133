"""INSERT that leaves existing rows alone, in each database's words."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Table, insert
from sqlalchemy.dialects import postgresql, sqlite


def insert_ignore(dialect: str, table: Table) -> Any:
    """An INSERT for ``table`` that does nothing, without error, where a unique key is taken.

    ``.returning()`` on it answers only for the rows that were inserted.
    """
    if dialect == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    if dialect == "sqlite":
        return sqlite.insert(table).on_conflict_do_nothing()
    return insert(table).prefix_with("IGNORE")
