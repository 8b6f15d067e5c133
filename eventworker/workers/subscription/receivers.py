"""The query for those who are told of an event. It runs inside the INSERT; no user passes here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Select, Subquery, Table, select, union

from eventworker.workers.subscription.mapping import MappedTable, as_text, comparable, fitted
from eventworker.workers.subscription.rules import Target, Walk

#: The one column of the query.
USER = "user_id"


def receivers(
    subscriptions: MappedTable,
    tables: Mapping[str, Table],
    targets: Iterable[Target],
    walks: Iterable[Walk],
) -> Subquery | None:
    """Each user once who follows one of the targets or what the walks lead to.

    :param tables: the tables of the walks' steps, by the names in the rules.
    :returns: a subquery with the column ``user_id``; None when nobody can be meant.
    """
    found = [_followers(subscriptions, target) for target in targets]
    found += [_followers_at_the_end(subscriptions, tables, walk) for walk in walks]
    selects = [each for each in found if each is not None]
    if not selects:
        return None
    if len(selects) == 1:
        return selects[0].distinct().subquery("receiver")
    return union(*selects).subquery("receiver")


def _followers(subscriptions: MappedTable, target: Target) -> Select[Any] | None:
    target_id = subscriptions["target_id"]
    own_id = fitted(target.id, target_id.type)
    if own_id is None:
        return None
    return _users(subscriptions, target.kind).where(target_id == own_id)


def _followers_at_the_end(
    subscriptions: MappedTable, tables: Mapping[str, Table], walk: Walk
) -> Select[Any] | None:
    """The subscriptions joined backwards, from the last step's parent to the start."""
    query = _users(subscriptions, walk.steps[-1].parent)
    wanted = subscriptions["target_id"]
    for step in reversed(walk.steps):
        table = tables[step.table].alias()
        left, right = comparable(table.columns[step.parent_column], wanted)
        query = query.join_from(query.get_final_froms()[0], table, left == right)
        wanted = table.columns[step.child_column]
    own_id = fitted(walk.start.id, wanted.type)
    return None if own_id is None else query.where(wanted == own_id)


def _users(subscriptions: MappedTable, kind: str) -> Select[Any]:
    user = subscriptions["user_id"]
    return (
        select(user.label(USER))
        .select_from(subscriptions.table)
        .where(as_text(subscriptions["target_type"]) == kind, user.is_not(None))
    )
