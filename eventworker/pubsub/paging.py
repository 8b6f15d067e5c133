"""Part of a list, as Result Set Management (XEP-0059) asks for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, func, select

from eventworker.pubsub.errors import PubSubError
from eventworker.pubsub.facts import Page, Part
from eventworker.pubsub.names import can_be_name

#: No list is longer; a larger number might be more than a database counts.
MOST = 2**31 - 1


def part_of(
    connection: Connection,
    look: Select[Any],
    key: ColumnElement[Any],
    page: Page | None,
    *,
    key_of: Callable[[str], Any] | None = None,
    most: int | None = None,
) -> Part[Row[Any]]:
    """The part that ``page`` asks for of what ``look`` finds, in the order of ``key``.

    :param look: a SELECT without an order.
    :param key: a column that is different in all rows.
    :param key_of: the key of the row that ``page`` names; without it, the name is the key.
    :param most: rows in the answer, whatever is asked for.
    :raises PubSubError: ``item-not-found``, when that row is not there.
    """
    if page is None and most is None:
        rows = connection.execute(look.order_by(key)).all()
        return Part(rows, 0, len(rows))
    page = _bounded(page or Page())
    limit = page.limit if most is None else min(most, most if page.limit is None else page.limit)
    total = _count(connection, look)
    if limit == 0:
        return Part([], 0, total)
    if page.before is not None:
        return _before(connection, look, key, _key(page.before, key_of), limit, total)
    first = page.index or 0
    if page.after is not None:
        after = _key(page.after, key_of)
        first = total if after is None else total - _count(connection, look.where(key > after))
        look = look.where(key > after)
        rows = connection.execute(look.order_by(key).limit(limit)).all()
    else:
        rows = connection.execute(look.order_by(key).limit(limit).offset(first)).all()
    return Part(rows, first if rows else 0, total)


def _bounded(page: Page) -> Page:
    if min(page.limit or 0, page.index or 0) < 0:
        raise PubSubError("bad-request", text="a page has no negative numbers")
    return replace(
        page,
        limit=None if page.limit is None else min(page.limit, MOST),
        index=None if page.index is None else min(page.index, MOST),
    )


def _before(
    connection: Connection,
    look: Select[Any],
    key: ColumnElement[Any],
    before: Any,
    limit: int | None,
    total: int,
) -> Part[Row[Any]]:
    end = total
    if before is not None:
        look = look.where(key < before)
        end = _count(connection, look)
    rows: Sequence[Row[Any]] = connection.execute(look.order_by(key.desc()).limit(limit)).all()
    return Part(rows[::-1], end - len(rows), total)


def _key(name: str, key_of: Callable[[str], Any] | None) -> Any:
    """None for the end of the list, which an empty name stands for."""
    if not name:
        return None
    found = None
    if can_be_name(name):
        found = key_of(name) if key_of else name
    if found is None:
        raise PubSubError("item-not-found", text=f"{name} is not in the list")
    return found


def _count(connection: Connection, look: Select[Any]) -> int:
    counted = select(func.count()).select_from(look.subquery())
    return int(connection.scalar(counted) or 0)
