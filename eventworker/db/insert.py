"""INSERT that leaves existing rows alone, in each database's words."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from sqlalchemy import ColumnElement, Table
from sqlalchemy.dialects import mysql

_MARIADB = ("mariadb", "mysql")


def insert_ignore(dialect: str, table: Table) -> Any:
    """An INSERT for ``table`` that does nothing, without error, where a unique key is taken.

    To be told which rows were inserted, see :func:`insert_new`.
    """
    if dialect in _MARIADB:
        # Not INSERT IGNORE, which also makes wrong values fit.
        key = next(iter(table.primary_key.columns))
        return mysql.insert(table).on_duplicate_key_update({key.name: key})
    return _kind(dialect).insert(table).on_conflict_do_nothing()


def insert_new(dialect: str, table: Table) -> Any:
    """The same, with a ``.returning()`` that answers only for the rows that were inserted.

    Only for values that are sure to fit: MariaDB can tell those rows only after INSERT IGNORE,
    which makes a warning of a text that is too long.
    """
    if dialect in _MARIADB:
        return mysql.insert(table).prefix_with("IGNORE")
    return insert_ignore(dialect, table)


def insert_or_update(
    dialect: str, table: Table, values: dict[str, Any], update: dict[str, ColumnElement[Any]]
) -> Any:
    """An INSERT of one row that, where its primary key is taken, sets ``update`` on that row.

    Unlike ignoring, that locks the row: nobody deletes it before this transaction ends.
    """
    if dialect in _MARIADB:
        return mysql.insert(table).values(values).on_duplicate_key_update(update)
    keys = list(table.primary_key.columns)
    statement = _kind(dialect).insert(table).values(values)
    return statement.on_conflict_do_update(index_elements=keys, set_=update)


def _kind(dialect: str) -> Any:
    # Only the one that is used is imported: PostgreSQL's takes as long as all of our own modules.
    return import_module(f"sqlalchemy.dialects.{'sqlite' if dialect == 'sqlite' else 'postgresql'}")
