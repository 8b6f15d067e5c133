"""Upgrades that can be begun again where they ended.

MariaDB commits each statement by itself. If one fails or the upgrade is killed, those before it
stand, and the next upgrade passes over what is there. On the other databases the transaction has
undone them, and a table of that name is somebody else's.
"""

from __future__ import annotations

from typing import Any

from alembic import op
from sqlalchemy import Column
from sqlalchemy.schema import SchemaItem


def may_be_there() -> bool | None:
    """The ``if_not_exists`` of alembic's operations."""
    return True if op.get_context().dialect.name == "mariadb" else None


def add_column(table: str, column: Column[Any]) -> None:
    """Add a column, if an upgrade that did not end has not done so."""
    op.add_column(table, column, if_not_exists=may_be_there())


def create_table(name: str, *parts: SchemaItem, **options: Any) -> None:
    """Create a table, if an upgrade that did not end has not done so, with the options that all of
    ours have on MariaDB."""
    op.create_table(
        name,
        *parts,
        if_not_exists=may_be_there(),
        mariadb_engine="InnoDB",
        # Texts are compared as on the other databases: with regard to case.
        mariadb_charset="utf8mb4",
        mariadb_collate="utf8mb4_bin",
        **options,
    )
