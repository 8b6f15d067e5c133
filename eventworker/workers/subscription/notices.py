"""What a notification says, and the one INSERT that writes them all."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import (
    JSON,
    ColumnElement,
    DateTime,
    Insert,
    Subquery,
    and_,
    cast,
    exists,
    func,
    insert,
    literal,
    select,
    true,
)
from sqlalchemy.types import TypeEngine

from eventworker.db import clock, insert_ignore
from eventworker.event import Event
from eventworker.workers.subscription.mapping import MappedTable, are_alike, comparable, fitted
from eventworker.workers.subscription.receivers import USER

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

_VERBS = {"POST": "created", "DELETE": "deleted"}
_TITLES = ("title", "name")
_LONGEST_TITLE = 255
_MOST_CHANGED = 50


def event_type(event: Event) -> str:
    """What happened, in one word: ``story_created``, ``story_changed``, ``comment_deleted``."""
    return f"{event.sub_resource or event.resource}_{_VERBS.get(event.method, 'changed')}"


def info_of(event: Event, changed: Iterable[str]) -> dict[str, Any]:
    """What else there is to say, kept short, since every receiver's row carries it.

    :param changed: names of the properties that differ between the images.
    :returns: ``title`` of what changed, if it has one, ``changed`` for a change, and the
        sub-resource with its id.
    """
    info: dict[str, Any] = {}
    image = event.resource_after or event.resource_before or {}
    title = next((image[key] for key in _TITLES if isinstance(image.get(key), str)), None)
    if title is not None:
        info["title"] = title[:_LONGEST_TITLE]
    if event.method not in _VERBS:
        info["changed"] = sorted(changed)[:_MOST_CHANGED]
    if event.sub_resource is not None:
        info["sub_resource"] = event.sub_resource
        info["sub_resource_id"] = event.sub_resource_id
    return info


def insert_notices(
    dialect: str,
    notifications: MappedTable,
    receiver: Subquery,
    event: Event,
    info: dict[str, Any],
    *,
    notify_author: bool,
) -> Insert:
    """One row for each receiver who has none of this event yet.

    :param receiver: the query of :func:`~eventworker.workers.subscription.receivers.receivers`.
    """
    user = receiver.columns[USER]
    conditions: list[ColumnElement[bool]] = []
    author = fitted(event.author_id, user.type)
    if author is not None and not notify_author:
        conditions.append(user != author)
    if not notifications.is_own and "event_id" in notifications.columns:
        conditions.append(~_is_there(notifications, user, event))
    query = select(*_values(dialect, notifications, user, event, info))
    # SQLite takes ON CONFLICT after a SELECT only if that has a WHERE.
    query = query.where(and_(true(), *conditions))
    table = notifications.table
    statement = insert_ignore(dialect, table) if notifications.is_own else insert(table)
    written: Insert = statement.from_select(list(notifications.columns.values()), query)
    return written


def _is_there(notifications: MappedTable, user: ColumnElement[Any], event: Event) -> Any:
    existing = notifications.table.alias("existing")
    event_id = existing.columns[notifications["event_id"].name]
    left, right = comparable(existing.columns[notifications["subscriber_id"].name], user)
    return exists().where(event_id == fitted(event.id, event_id.type), left == right)


def _values(
    dialect: str,
    notifications: MappedTable,
    user: ColumnElement[Any],
    event: Event,
    info: dict[str, Any],
) -> list[ColumnElement[Any]]:
    """An expression for each mapped column, in the order of the mapping."""
    ids = {
        "event_id": event.id,
        "author_id": event.author_id,
        "resource_id": event.resource_id,
        "sub_resource_id": event.sub_resource_id,
    }
    words = {
        "event_type": event_type(event),
        "method": event.method,
        "resource": event.resource,
        "sub_resource": event.sub_resource,
    }
    found: list[ColumnElement[Any]] = []
    for name, column in notifications.columns.items():
        if name == "subscriber_id":
            found.append(user if are_alike(user, column) else cast(user, column.type))
        elif name == "created_at":
            found.append(_now(dialect, column.type))
        elif name == "info":
            found.append(_info(info, column.type))
        elif name in ids:
            found.append(literal(fitted(ids[name], column.type), column.type))
        else:
            found.append(literal(_cut(words[name], column.type), column.type))
    return found


def _cut(word: str | None, kind: TypeEngine[Any]) -> str | None:
    return word and word[: getattr(kind, "length", None)]


def _now(dialect: str, kind: TypeEngine[Any]) -> ColumnElement[Any]:
    """The database's time; in UTC also where the column knows no time zone."""
    if dialect == "postgresql" and isinstance(kind, DateTime) and not kind.timezone:
        return func.timezone("UTC", clock())
    return clock()


def _info(info: dict[str, Any], kind: TypeEngine[Any]) -> ColumnElement[Any]:
    if isinstance(kind, JSON):
        return literal(info, kind)
    text = json.dumps(info, ensure_ascii=False)
    length = getattr(kind, "length", None)
    return literal(text if length is None or len(text) <= length else "{}", kind)
