"""The tables that the configuration names, all looked up at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table

from eventworker.workers.subscription import mapping
from eventworker.workers.subscription.mapping import MappedTable
from eventworker.workers.subscription.notices import FACTS
from eventworker.workers.subscription.options import GROUP
from eventworker.workers.subscription.rules import Rules
from eventworker.workers.subscription.tables import notification_table, subscription_table

SUBSCRIPTION_FACTS = ("user_id", "target_type", "target_id")


@dataclass(frozen=True)
class Schema:
    """All tables that the plugin works on.

    :param named: those that the rules name, by the names there.
    """

    dialect: str
    subscriptions: MappedTable
    notifications: MappedTable
    named: Mapping[str, Table]


def look_up(connection: Connection, options: Any, rules: Rules) -> Schema:
    """The tables as they are in the database.

    :raises ConfigError: naming the first option that does not fit them, and what to write.
    """
    return Schema(
        connection.dialect.name,
        _subscriptions(connection, options),
        _notifications(connection, options),
        _named(connection, rules),
    )


def _subscriptions(connection: Connection, options: Any) -> MappedTable:
    name, renamed = options.subscription_table, options.subscription_columns
    if name == subscription_table.name and not renamed:
        return mapping.own(subscription_table, SUBSCRIPTION_FACTS)
    table = mapping.reflected(connection, name, f"[{GROUP}] subscription_table")
    option = f"[{GROUP}] subscription_columns"
    columns = mapping.mapped(table, SUBSCRIPTION_FACTS, renamed, option)
    mapping.require(columns, SUBSCRIPTION_FACTS, table, option)
    return MappedTable(table, columns)


def _notifications(connection: Connection, options: Any) -> MappedTable:
    name, renamed = options.notification_table, options.notification_columns
    if name == notification_table.name and not renamed:
        return mapping.own(notification_table, FACTS)
    table = mapping.reflected(connection, name, f"[{GROUP}] notification_table")
    option = f"[{GROUP}] notification_columns"
    columns = mapping.mapped(table, FACTS, renamed, option)
    mapping.require(columns, ("subscriber_id",), table, option)
    mapping.require_insertable(columns, table, option)
    return MappedTable(table, columns)


def _named(connection: Connection, rules: Rules) -> dict[str, Table]:
    found: dict[str, Table] = {}
    for name, table, columns, where in rules.columns():
        option = f"[{GROUP}] {name}"
        if table not in found:
            found[table] = mapping.reflected(connection, table, option)
        mapping.require_named(found[table], columns, where, option)
    return found
