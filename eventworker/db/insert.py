"""INSERT that leaves existing rows alone, in each database's words."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Table
from sqlalchemy.dialects import postgresql, sqlite


def insert_ignore(dialect: str, table: Table) -> Any:
    """An INSERT for ``table`` that does nothing, without error, where a unique key is taken.

    ``.returning()`` on it answers only for the rows that were inserted.
    """
    kind = sqlite if dialect == "sqlite" else postgresql
    return kind.insert(table).on_conflict_do_nothing()


def insert_or_update(
    dialect: str, table: Table, values: dict[str, Any], update: dict[str, ColumnElement[Any]]
) -> Any:
    """An INSERT of one row that, where its primary key is taken, sets ``update`` on that row.

    Unlike ignoring, that locks the row: nobody deletes it before this transaction ends.
    """
    kind = sqlite if dialect == "sqlite" else postgresql
    keys = list(table.primary_key.columns)
    return kind.insert(table).values(values).on_conflict_do_update(index_elements=keys, set_=update)
