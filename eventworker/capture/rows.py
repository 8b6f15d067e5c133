"""Rows as the database holds them at the moment when a flush is about to change them.

Between the SELECT that loaded an object and the UPDATE that changes it, others commit. Under
READ COMMITTED, PostgreSQL's default, the UPDATE then applies to their row, and what the session
remembers was never there. So the rows are read once more, and locked, since between this look and
the UPDATE there is time as well. The lock is the one that the UPDATE is about to take, no stronger:
FOR NO KEY UPDATE lets others refer to the row (PostgreSQL's manual, 13.3.2).

MariaDB's UPDATE applies to the present row, too, under every level of isolation, and its FOR UPDATE
reads that one.

SQLite has no such lock, and needs none where the transaction has begun before the look: a write
after somebody else's commit fails then (SQLITE_BUSY_SNAPSHOT). A connection of Python's sqlite3 in
its default mode begins with the first write; there, a commit just between goes unseen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Column, Connection, Select, select, tuple_
from sqlalchemy.orm import InstanceState, Mapper, Session

Rows = dict[InstanceState[Any], Mapping[str, Any]]

#: Objects in one statement: SQLite takes 32766 parameters, and a key may have many columns.
BATCH = 500


def present(statement: Select[Any], connection: Connection) -> Select[Any]:
    """The statement as it has to be asked to see what the UPDATE before it has left.

    Under MariaDB's default, REPEATABLE READ, a SELECT reads the past in which the transaction
    began, also a row that an UPDATE has found as it would have it, and so has not written. A
    reader with a lock sees the present; the lock is one that the transaction has already.
    """
    if connection.dialect.name in ("mariadb", "mysql"):
        return statement.with_for_update(read=True)
    return statement


def locked_rows(
    session: Session,
    mapper: Mapper[Any],
    columns: Mapping[str, Column[Any]],
    states: Iterable[InstanceState[Any]],
) -> Rows:
    """The rows of these objects, each as a mapping of ``columns``'s names; without those gone."""
    by_key = {state.identity: state for state in states if state.identity is not None}
    key = mapper.primary_key
    identities = sorted(by_key, key=str)
    found: Rows = {}
    connection = session.connection(bind_arguments={"mapper": mapper})
    for start in range(0, len(identities), BATCH):
        keys = identities[start : start + BATCH]
        one_of_them = (
            key[0].in_([part for (part,) in keys]) if len(key) == 1 else tuple_(*key).in_(keys)
        )
        rows = connection.execute(
            select(*key, *columns.values())
            .select_from(mapper.persist_selectable)
            .where(one_of_them)
            # In one order for all, so that two sessions do not wait for each other.
            .order_by(*key)
            .with_for_update(key_share=True)
        )
        for row in rows:
            if state := by_key.get(tuple(row[: len(key)])):
                found[state] = dict(zip(columns, row[len(key) :], strict=True))
    return found
