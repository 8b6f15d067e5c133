"""Who may hear of a resource: conditions on a user, evaluated inside the INSERT.

So they hold at the moment when the notification is written, not when the event was captured. All
are made of EXISTS, which is true or false and never NULL.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Table, and_, exists, literal, not_, or_, select

from eventworker.workers.subscription.comparing import comparable, fitted, holds, is_up
from eventworker.workers.subscription.concern import Shape
from eventworker.workers.subscription.rules import (
    PreferenceRule,
    PrivateRule,
    Rules,
    Step,
    TableRule,
    VisibleRule,
)
from eventworker.workers.subscription.values import FoundId, Id, Values

Condition = ColumnElement[bool]
User = ColumnElement[Any]


class Permissions:
    """The rules of who may hear of what, as conditions of one statement.

    :param tables: the tables of the rules, by the names in the rules.
    """

    def __init__(self, rules: Rules, tables: Mapping[str, Table], values: Values) -> None:
        self._rules = rules
        self._tables = tables
        self._values = values

    def of_place(self, user: User, shape: Shape, index: int, own_id: Id) -> list[Condition]:
        """The user may hear of a place of the event, of which the image knows something, too."""
        return self._all(user, shape.kind, own_id, (shape.kind,), (shape, index))

    def of_found(self, user: User, kind: str, own_id: Id) -> list[Condition]:
        """The user may hear of a resource that a way leads over."""
        return self._all(user, kind, own_id, (kind,), None)

    def _all(
        self,
        user: User,
        kind: str,
        own_id: Id,
        passed: tuple[str, ...],
        place: tuple[Shape, int] | None,
    ) -> list[Condition]:
        found = [self._wants(user, rule) for rule in self._rules.preferences.get(kind, ())]
        if kind in self._rules.private or kind in self._rules.visible:
            found.append(self._sees(user, kind, own_id, place))
        for rule in self._rules.parents:
            if isinstance(rule, TableRule) and rule.child == kind and rule.is_part:
                found += self._hears_of_whole(user, rule, own_id, passed)
        return found

    def _wants(self, user: User, rule: PreferenceRule) -> Condition:
        table, where = self._rows(rule.step.table, rule.step.where)
        left, right = comparable(table.columns[rule.step.origin], user)
        switch = table.columns[rule.step.target]
        own = and_(left == right, switch.is_not(None), *where)
        if rule.unless_set:
            return not_(_there_is([table], own, not_(is_up(switch))))
        return _there_is([table], own, is_up(switch))

    def _sees(
        self, user: User, kind: str, own_id: Id, place: tuple[Shape, int] | None
    ) -> Condition:
        """It is not private, or the user is one of those who may see it all the same."""
        ways = [
            self._is_permitted(user, rule, own_id)
            for rule in self._rules.visible.get(kind, ())
            if rule.key is None
        ]
        private = self._rules.private.get(kind)
        was_private = place[0].was_private if place else None
        if private is not None and was_private is not True:
            ways.append(self._is_open(private, own_id))
        if place is not None:
            ways += self._sees_by_image(user, private, own_id, *place)
        return or_(*ways) if ways else _never()

    def _sees_by_image(
        self, user: User, private: PrivateRule | None, own_id: Id, shape: Shape, index: int
    ) -> list[Condition]:
        """Once the row is gone, the image is all that is left to say who might see it."""
        ways = [
            self._is_named(user, rule, index, number) for number, rule in enumerate(shape.naming)
        ]
        if shape.was_private is False:
            ways = [literal(1) == 1]
        if private is None or not ways:
            return ways
        table, own = self._own_row(private, own_id)
        return [and_(not_(_there_is([table], *own)), or_(*ways))]

    def _is_open(self, rule: PrivateRule, own_id: Id) -> Condition:
        """There is a row, and it does not say private."""
        table, own = self._own_row(rule, own_id)
        flag = table.columns[rule.flag]
        is_private = is_up(flag) if rule.value is None else holds(flag, rule.value)
        return _there_is([table], *own, or_(flag.is_(None), not_(is_private)))

    def _own_row(self, rule: PrivateRule, own_id: Id) -> tuple[FromClause, list[Condition]]:
        table, where = self._rows(rule.table, rule.where)
        return table, [own_id.equals(table.columns[rule.id]), *where]

    def _is_permitted(self, user: User, rule: VisibleRule, own_id: Id) -> Condition:
        return self._leads_to(user, rule.steps, own_id.equals)

    def _is_named(self, user: User, rule: VisibleRule, index: int, number: int) -> Condition:
        """The user is named by the image, or by what the image names."""

        def is_one(column: ColumnElement[Any]) -> Condition:
            kind = column.type
            ids = self._values.open(
                kind,
                lambda case: [
                    fit
                    for each in case.places[index].named[number]
                    if (fit := fitted(each, kind)) is not None
                ],
                is_list=True,
            )
            return column.in_(ids)

        return self._leads_to(user, rule.steps, is_one)

    def _leads_to(
        self,
        user: User,
        steps: tuple[Step, ...],
        is_start: Callable[[ColumnElement[Any]], Condition],
    ) -> Condition:
        """The steps lead to the user from a row whose first column is the start."""
        if not steps:
            return is_start(user)
        tables: list[FromClause] = []
        conditions: list[Condition] = []
        is_next = is_start
        for step in steps:
            table, where = self._rows(step.table, step.where)
            tables.append(table)
            conditions += [is_next(table.columns[step.origin]), *where]
            is_next = FoundId(table.columns[step.target]).equals
        return _there_is(tables, *conditions, is_next(user))

    def _hears_of_whole(
        self, user: User, rule: TableRule, own_id: Id, passed: tuple[str, ...]
    ) -> list[Condition]:
        """There is nothing that it is part of of which the user may not hear."""
        if rule.parent in passed:
            return []
        table, where = self._rows(rule.step.table, rule.step.where)
        whole = table.columns[rule.step.target]
        inner = self._all(user, rule.parent, FoundId(whole), (*passed, rule.parent), None)
        if not inner:
            return []
        own = own_id.equals(table.columns[rule.step.origin])
        return [not_(_there_is([table], own, whole.is_not(None), *where, not_(and_(*inner))))]

    def _rows(
        self, name: str, where: tuple[tuple[str, str], ...]
    ) -> tuple[FromClause, list[Condition]]:
        """A table, and what holds for those of its rows that count."""
        table = self._tables[name].alias()
        return table, [holds(table.columns[column], value) for column, value in where]


def _there_is(tables: list[FromClause], *conditions: Condition) -> Condition:
    query = select(literal(1)).select_from(*tables).where(*conditions)
    # Said, since SQLAlchemy guesses right for one level only, and these are nested.
    return exists(query.correlate_except(*tables))


def _never() -> Condition:
    return literal(1) == 0
