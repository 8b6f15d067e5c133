"""The query for those who follow what an event concerns. No user passes through Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import CompoundSelect, Select, Table, select, union

from eventworker.workers.subscription.comparing import fitted, holds
from eventworker.workers.subscription.concern import Shape, ways_from
from eventworker.workers.subscription.mapping import MappedTable
from eventworker.workers.subscription.permitted import Permissions
from eventworker.workers.subscription.rules import Rules, TableRule
from eventworker.workers.subscription.values import FoundId, Id, KnownId, Values

#: The one column of the query.
USER = "user_id"

Query = Select[Any] | CompoundSelect[Any]


class Followers:
    """Builds the query for places of given shapes.

    Each user is found once, who follows one of the places or what the ways from there lead to, and
    may see what lies on that way. Who may not hear of the event at all is left to the caller.
    """

    def __init__(
        self,
        subscriptions: MappedTable,
        tables: Mapping[str, Table],
        rules: Rules,
        values: Values,
    ) -> None:
        self._subscriptions = subscriptions
        self._tables = tables
        self._rules = rules
        self._values = values
        self._permissions = Permissions(rules, tables, values)

    def of(self, shapes: Sequence[Shape]) -> Query | None:
        """The query; None when there is no place that anybody could follow."""
        found: list[Select[Any]] = []
        for index, shape in enumerate(shapes):
            own_id = KnownId(self._values, index)
            found.append(self._at(shape, own_id))
            for steps in ways_from(shape.kind, shape.passed, self._rules):
                found.append(self._at_the_end(shape, own_id, steps))
        if len(found) > 1:
            return union(*found)
        return found[0].distinct() if found else None

    def _at(self, shape: Shape, own_id: Id) -> Select[Any]:
        query = self._users(shape.kind).where(own_id.equals(self._subscriptions["target_id"]))
        return query.where(*self._may_pass(shape, own_id))

    def _at_the_end(self, shape: Shape, own_id: Id, steps: tuple[TableRule, ...]) -> Select[Any]:
        """The subscriptions joined backwards, from the last step's parent to the start."""
        query = self._users(steps[-1].parent).where(*self._may_pass(shape, own_id))
        user, wanted = self._subscriptions["user_id"], self._subscriptions["target_id"]
        for rule in reversed(steps):
            table = self._tables[rule.step.table].alias()
            parent = FoundId(table.columns[rule.step.target])
            query = query.join_from(query.get_final_froms()[0], table, parent.equals(wanted)).where(
                *(holds(table.columns[column], value) for column, value in rule.step.where),
                *self._permissions.of_found(user, rule.parent, parent),
            )
            wanted = table.columns[rule.step.origin]
        return query.where(own_id.equals(wanted))

    def _may_pass(self, shape: Shape, own_id: Id) -> list[Any]:
        """What holds for a place that the event is about is asked once, of every receiver."""
        if shape.is_about:
            return []
        return self._permissions.of_found(self._subscriptions["user_id"], shape.kind, own_id)

    def _users(self, kind: str) -> Select[Any]:
        user, target_type = self._subscriptions["user_id"], self._subscriptions["target_type"]
        its_kind = self._values.open(target_type.type, lambda _: fitted(kind, target_type.type))
        return (
            select(user.label(USER))
            .select_from(self._subscriptions.table)
            .where(target_type == its_kind, user.is_not(None))
        )
