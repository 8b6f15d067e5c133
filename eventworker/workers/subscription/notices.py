"""The one INSERT that writes a notification for each receiver."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from sqlalchemy import (
    JSON,
    ColumnElement,
    DateTime,
    Insert,
    and_,
    cast,
    exists,
    func,
    insert,
    select,
    true,
)
from sqlalchemy.types import TypeEngine

from eventworker.db import clock, insert_ignore
from eventworker.workers.subscription.comparing import are_alike, comparable, fitted
from eventworker.workers.subscription.mapping import MappedTable
from eventworker.workers.subscription.receivers import USER, Query
from eventworker.workers.subscription.values import Case, Values

#: All that a notification can say, by our names.
FACTS = (
    "subscriber_id",
    "event_id",
    "author_id",
    "event_type",
    "method",
    "resource",
    "resource_id",
    "sub_resource",
    "sub_resource_id",
    "info",
    "created_at",
)


def insert_notices(
    dialect: str,
    notifications: MappedTable,
    query: Query,
    values: Values,
    may_hear: Callable[[ColumnElement[Any]], list[ColumnElement[bool]]],
    *,
    without_author: bool,
) -> Insert:
    """One row for each receiver who has none of this event yet.

    :param query: users in its only column.
    :param may_hear: what has to hold for each of them.
    """
    receiver = query.subquery("receiver")
    user = receiver.columns[USER]
    conditions = may_hear(user)
    if without_author:
        author = values.open(user.type, lambda case: fitted(case.event.author_id, user.type))
        conditions.append(user != author)
    if not notifications.is_own and "event_id" in notifications.columns:
        conditions.append(~_is_there(notifications, user, values))
    facts = _facts(dialect, notifications, user, values)
    # SQLite takes ON CONFLICT after a SELECT only if that has a WHERE.
    selected = select(*facts).where(and_(true(), *conditions))
    table = notifications.table
    statement = insert_ignore(dialect, table) if notifications.is_own else insert(table)
    written: Insert = statement.from_select(list(notifications.columns.values()), selected)
    return written


def _is_there(notifications: MappedTable, user: ColumnElement[Any], values: Values) -> Any:
    existing = notifications.table.alias("existing")
    event_id = existing.columns[notifications["event_id"].name]
    own_id = values.open(event_id.type, lambda case: fitted(case.event.id, event_id.type))
    left, right = comparable(existing.columns[notifications["subscriber_id"].name], user)
    return exists().where(event_id == own_id, left == right)


def _facts(
    dialect: str, notifications: MappedTable, user: ColumnElement[Any], values: Values
) -> list[ColumnElement[Any]]:
    """An expression for each mapped column, in the order of the mapping."""
    found: list[ColumnElement[Any]] = []
    for name, column in notifications.columns.items():
        if name == "subscriber_id":
            found.append(user if are_alike(user, column) else cast(user, column.type))
        elif name == "created_at":
            found.append(_now(dialect, column.type))
        else:
            found.append(values.open(column.type, _FINDERS[name](column.type)))
    return found


def _id(name: str) -> Callable[[TypeEngine[Any]], Callable[[Case], Any]]:
    return lambda kind: lambda case: fitted(getattr(case.event, name), kind)


def _word(find: Callable[[Case], str | None]) -> Callable[[TypeEngine[Any]], Callable[[Case], Any]]:
    def finder(kind: TypeEngine[Any]) -> Callable[[Case], Any]:
        longest = getattr(kind, "length", None)
        return lambda case: (find(case) or "")[:longest] or None

    return finder


def _info(kind: TypeEngine[Any]) -> Callable[[Case], Any]:
    if isinstance(kind, JSON):
        return lambda case: case.info
    longest = getattr(kind, "length", None)

    def as_text(case: Case) -> str:
        text = json.dumps(case.info, ensure_ascii=False)
        return text if longest is None or len(text) <= longest else "{}"

    return as_text


#: How each fact is found for an event, given the type of its column.
_FINDERS: dict[str, Callable[[TypeEngine[Any]], Callable[[Case], Any]]] = {
    "event_id": _id("id"),
    "author_id": _id("author_id"),
    "resource_id": _id("resource_id"),
    "sub_resource_id": _id("sub_resource_id"),
    "event_type": _word(lambda case: case.word),
    "method": _word(lambda case: case.event.method),
    "resource": _word(lambda case: case.event.resource),
    "sub_resource": _word(lambda case: case.event.sub_resource),
    "info": _info,
}


def _now(dialect: str, kind: TypeEngine[Any]) -> ColumnElement[Any]:
    """The database's time; in UTC also where the column knows no time zone."""
    if dialect == "postgresql" and isinstance(kind, DateTime) and not kind.timezone:
        return func.timezone("UTC", clock())
    return clock()
