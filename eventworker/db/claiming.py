"""Taking rows out of a table that serves as a queue, so that nobody else takes them too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    FromClause,
    Row,
    Select,
    Table,
    any_,
    bindparam,
    select,
    update,
)

#: Candidates looked at for each row wanted, since others may be taking some of them right now.
_CANDIDATES = 8


def among(dialect: str, column: ColumnElement[Any], keys: Sequence[Any]) -> ColumnElement[bool]:
    """Whether the column has one of these values.

    On PostgreSQL they are one parameter: hundreds of them cost SQLAlchemy and the driver more than
    the server needs for its work.
    """
    if dialect == "postgresql":
        return column == any_(bindparam(None, list(keys), ARRAY(column.type)))
    return column.in_(keys)


def claim_rows(
    connection: Connection,
    table: Table,
    where: ColumnElement[bool],
    order_by: ColumnElement[Any],
    limit: int,
    values: Mapping[str, Any],
    answer: Sequence[ColumnElement[Any]],
    *,
    among: FromClause | None = None,
) -> Sequence[Row[Any]]:
    """UPDATE up to ``limit`` rows that nobody holds, the first of ``order_by``.

    :param where: which rows may be taken, by columns of ``table`` alone.
    :param answer: the columns wanted of these rows, as they are after the update; in no order.
    :param among: a join that has ``table`` in it, where only its rows may be taken.
    """
    (key,) = table.primary_key.columns
    source = table if among is None else among
    chosen = select(key).select_from(source).where(where).order_by(order_by)
    if connection.dialect.name == "postgresql":
        # Statistics of a quiet time say that next to nothing waits. When a million does, the server
        # would by them read and sort all of it for each few, instead of the first of an index.
        connection.exec_driver_sql("SET LOCAL enable_bitmapscan = off")
    if connection.dialect.update_returning:
        picked = chosen.limit(limit).with_for_update(skip_locked=True, of=table).cte("picked")
        changed = update(table).where(key.in_(select(picked))).values(**values)
        return connection.execute(changed.returning(*answer)).all()
    # MariaDB locks every row that it sorts, not only those within the LIMIT. So the order is found
    # without a lock, and then only rows that are looked up by their key are locked.
    candidates = connection.scalars(chosen.limit(limit * _CANDIDATES)).all()
    if not candidates:
        return []
    lock = _by_key(table, candidates).where(where).limit(limit).with_for_update(skip_locked=True)
    return _update_locked(connection, table, connection.scalars(lock).all(), values, answer)


def update_rows(
    connection: Connection,
    table: Table,
    keys: Sequence[Any],
    where: ColumnElement[bool],
    values: Mapping[str, Any],
    answer: Sequence[ColumnElement[Any]],
) -> Sequence[Row[Any]]:
    """UPDATE those of the rows with these keys for which ``where`` is true.

    :param answer: the columns wanted of these rows, as they are after the update; in no order.
    """
    (key,) = table.primary_key.columns
    if connection.dialect.update_returning:
        mine = among(connection.dialect.name, key, keys)
        changed = update(table).where(mine, where).values(**values)
        return connection.execute(changed.returning(*answer)).all()
    lock = _by_key(table, keys).where(where).with_for_update()
    return _update_locked(connection, table, connection.scalars(lock).all(), values, answer)


def _by_key(table: Table, keys: Sequence[Any]) -> Select[Any]:
    # The hint, since a locking read of a small table would rather scan, and so lock, all of it.
    (key,) = table.primary_key.columns
    return select(key).where(key.in_(keys)).with_hint(table, "FORCE INDEX (PRIMARY)", "mariadb")


def _update_locked(
    connection: Connection,
    table: Table,
    keys: Sequence[Any],
    values: Mapping[str, Any],
    answer: Sequence[ColumnElement[Any]],
) -> Sequence[Row[Any]]:
    if not keys:
        return []
    (key,) = table.primary_key.columns
    connection.execute(update(table).where(key.in_(keys)).values(**values))
    return connection.execute(select(*answer).where(key.in_(keys))).all()
