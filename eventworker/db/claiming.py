"""Taking rows out of a table that serves as a queue, so that nobody else takes them too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from sqlalchemy import (
    ARRAY,
    BindParameter,
    ColumnElement,
    Connection,
    FromClause,
    Integer,
    Row,
    Select,
    Table,
    any_,
    bindparam,
    select,
    type_coerce,
    update,
)

#: Candidates looked at for each row wanted, since others may be taking some of them right now.
_CANDIDATES = 8


def among(
    dialect: str, column: ColumnElement[Any], keys: Sequence[Any] | BindParameter[Any]
) -> ColumnElement[bool]:
    """Whether the column has one of these values.

    On PostgreSQL they are one parameter: hundreds of them cost SQLAlchemy and the driver more than
    the server needs for its work.
    """
    if dialect == "postgresql":
        if not isinstance(keys, BindParameter):
            keys = bindparam(None, list(keys))
        return column == any_(type_coerce(keys, ARRAY(column.type)))
    return column.in_(keys)


class RowClaim:
    """An UPDATE of the first rows, in an order, that nobody holds.

    Kept where it is made often: to build the statement takes longer than to run it.

    :param where: which rows may be taken, by columns of ``table`` alone.
    :param order_by: one expression, or several.
    :param answer: the columns wanted of these rows, as they are after the update; in no order.
    :param among: a join that has ``table`` in it, where only its rows may be taken.
    """

    def __init__(
        self,
        table: Table,
        where: ColumnElement[bool],
        order_by: ColumnElement[Any] | Sequence[ColumnElement[Any]],
        values: Mapping[str, Any],
        answer: Sequence[ColumnElement[Any]],
        *,
        among: FromClause | None = None,
    ) -> None:
        self._table = table
        self._where = where
        self._values = values
        self._answer = answer
        (self._key,) = table.primary_key.columns
        source = table if among is None else among
        order = [order_by] if isinstance(order_by, ColumnElement) else order_by
        self._chosen = select(self._key).select_from(source).where(where).order_by(*order)

    def rows(
        self, connection: Connection, limit: int, parameters: Mapping[str, Any] | None = None
    ) -> Sequence[Row[Any]]:
        """Take up to ``limit`` rows.

        :param parameters: values of the bound parameters, which are named like no column.
        """
        parameters = {**(parameters or {}), "most": limit}
        if connection.dialect.name == "postgresql":
            # Statistics of a quiet time say that next to nothing waits. When a million does, the
            # server would by them read and sort all of it for each few, instead of the first of an
            # index.
            connection.exec_driver_sql("SET LOCAL enable_bitmapscan = off")
        if connection.dialect.update_returning:
            return connection.execute(self._update, parameters).all()
        # MariaDB locks every row that it sorts, not only those within the LIMIT. So the order is
        # found without a lock, and then only rows that are looked up by their key are locked.
        first = self._chosen.limit(limit * _CANDIDATES)
        candidates = connection.scalars(first, parameters).all()
        if not candidates:
            return []
        # They are locked in the order of their keys. Where but one is wanted, that is the first.
        keys: Sequence[Any] = []
        for some in [[each] for each in candidates] if limit == 1 else [candidates]:
            lock = _by_key(self._table, some).where(self._where).limit(limit)
            keys = connection.scalars(lock.with_for_update(skip_locked=True), parameters).all()
            if keys:
                break
        return _update_locked(connection, self._table, keys, self._values, self._answer, parameters)

    @cached_property
    def _update(self) -> Any:
        picked = self._chosen.limit(bindparam("most", type_=Integer))
        locked = picked.with_for_update(skip_locked=True, of=self._table).cte("picked")
        changed = update(self._table).where(self._key.in_(select(locked))).values(**self._values)
        return changed.returning(*self._answer)


def claim_rows(
    connection: Connection,
    table: Table,
    where: ColumnElement[bool],
    order_by: ColumnElement[Any] | Sequence[ColumnElement[Any]],
    limit: int,
    values: Mapping[str, Any],
    answer: Sequence[ColumnElement[Any]],
    *,
    among: FromClause | None = None,
) -> Sequence[Row[Any]]:
    """Take up to ``limit`` rows by a :class:`RowClaim` that is made for once."""
    return RowClaim(table, where, order_by, values, answer, among=among).rows(connection, limit)


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
    parameters: Mapping[str, Any] | None = None,
) -> Sequence[Row[Any]]:
    if not keys:
        return []
    (key,) = table.primary_key.columns
    connection.execute(update(table).where(key.in_(keys)).values(**values), parameters)
    return connection.execute(select(*answer).where(key.in_(keys))).all()
