"""The tables that the plugin works on, looked up in the database and checked once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Column, Connection, Integer, MetaData, Table, inspect
from sqlalchemy.exc import NoSuchTableError
from sqlalchemy.types import TypeEngine

from eventworker.errors import ConfigError
from eventworker.workers.subscription.comparing import can_hold


@dataclass(frozen=True)
class MappedTable:
    """A table, and which of its columns holds what.

    :param columns: our name to the column.
    :param is_own: whether it is one of eventworker's own tables.
    """

    table: Table
    columns: Mapping[str, Column[Any]]
    is_own: bool = False

    def __getitem__(self, name: str) -> Column[Any]:
        return self.columns[name]


def own(table: Table, names: Sequence[str]) -> MappedTable:
    """One of eventworker's own tables: our names are its columns'."""
    columns = {name: table.columns[name] for name in names if name in table.columns}
    return MappedTable(table, columns, is_own=True)


def reflected(connection: Connection, name: str, option: str) -> Table:
    """A table as it is in the database; only its columns.

    :param name: its name, with its schema before a dot if it is not in the default one.
    :raises ConfigError: when there is no such table.
    """
    schema, _, plain = name.rpartition(".")
    inspector = inspect(connection)
    if schema and schema not in inspector.get_schema_names():
        raise ConfigError(f"{option}: there is no schema {schema} in the database")
    try:
        columns = inspector.get_columns(plain, schema=schema or None)
    except NoSuchTableError:
        columns = []
    if not columns:
        raise ConfigError(f"{option}: there is no table {name} in the database")
    return Table(
        plain,
        MetaData(),
        *(
            Column(
                each["name"],
                _type_of(each, connection.dialect.name),
                nullable=each["nullable"],
                info={"is_filled": _is_filled(each)},
            )
            for each in columns
        ),
        schema=schema or None,
    )


def _type_of(column: Mapping[str, Any], dialect: str) -> TypeEngine[Any]:
    """Its type; SQLite's whole numbers are large ones, whatever they are called."""
    kind: TypeEngine[Any] = column["type"]
    return BigInteger() if dialect == "sqlite" and isinstance(kind, Integer) else kind


def _is_filled(column: Mapping[str, Any]) -> bool:
    """Whether an INSERT may leave it out."""
    return bool(
        column["nullable"]
        or column.get("default") is not None
        or column.get("identity")
        or column.get("computed")
        or (column.get("primary_key") and isinstance(column["type"], Integer))
        or column.get("autoincrement") is True
    )


def mapped(
    table: Table, names: Sequence[str], renamed: Mapping[str, str], option: str
) -> dict[str, Column[Any]]:
    """Our names to the table's columns: as renamed, else those of the same name.

    :raises ConfigError: for a name that is not ours, or a column that is not there.
    """
    for ours, theirs in renamed.items():
        if ours not in names:
            raise ConfigError(f"{option}: {ours} is not one of {', '.join(names)}")
        if theirs not in table.columns:
            raise ConfigError(f"{option}: table {table.fullname} has no column {theirs}")
    found = {name: renamed.get(name, name) for name in names}
    return {ours: table.columns[name] for ours, name in found.items() if name in table.columns}


def require(columns: Mapping[str, Any], names: Sequence[str], table: Table, option: str) -> None:
    """These have to be mapped.

    :raises ConfigError: naming the first one that is not.
    """
    for name in names:
        if name not in columns:
            raise ConfigError(
                f"{option}: table {table.fullname} has no column {name}; write {name}:ITS_COLUMN"
            )


def require_insertable(columns: Mapping[str, Column[Any]], table: Table, option: str) -> None:
    """No other column of the table demands a value.

    :raises ConfigError: naming the first one that does.
    """
    written = {column.name for column in columns.values()}
    for column in table.columns:
        if column.name not in written and not column.info["is_filled"]:
            raise ConfigError(
                f"{option}: column {column.name} of table {table.fullname} must be filled, but is "
                "mapped to nothing; map it or give it a default in the database"
            )


def require_named(
    table: Table, names: Sequence[str], where: Iterable[tuple[str, str]], option: str
) -> None:
    """The table has the columns that a rule names, and they can hold what it asks for.

    :raises ConfigError: naming the first one that it has not, or that cannot: what can never be
        marked as private would be told to everybody.
    """
    for name in names:
        if name not in table.columns:
            there = ", ".join(table.columns.keys())
            raise ConfigError(
                f"{option}: table {table.fullname} has no column {name}; it has {there}"
            )
    for name, value in where:
        if not can_hold(kind := table.columns[name].type, value):
            raise ConfigError(
                f"{option}: column {name} of table {table.fullname} can never hold {value!r}, "
                f"since its type is {kind}"
            )
