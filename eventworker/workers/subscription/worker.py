"""The plugin: one event in, one INSERT out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from sqlalchemy import Connection, Table, delete
from sqlalchemy.orm import Session

from eventworker.event import Event
from eventworker.plugin import WorkerTaskBase
from eventworker.workers.subscription import mapping
from eventworker.workers.subscription.mapping import MappedTable, fitted
from eventworker.workers.subscription.notices import FACTS, info_of, insert_notices
from eventworker.workers.subscription.options import GROUP, OPTIONS
from eventworker.workers.subscription.receivers import receivers
from eventworker.workers.subscription.rules import (
    Rule,
    TableRule,
    parse,
    targets_of,
    walks_from,
)
from eventworker.workers.subscription.tables import notification_table, subscription_table

SUBSCRIPTION_FACTS = ("user_id", "target_type", "target_id")


@dataclass(frozen=True)
class Tables:
    """All tables that the plugin works on; ``steps`` are those of the rules."""

    subscriptions: MappedTable
    notifications: MappedTable
    steps: Mapping[str, Table]


class SubscriptionWorker(WorkerTaskBase):
    """Writes a notification for each subscriber of what changed and of what it belongs to.

    Events have no order among each other: one that is handled after the deletion of its resource
    finds nobody who followed it.
    """

    transactional: ClassVar[bool] = True
    options: ClassVar[Any] = OPTIONS

    def enabled(self) -> bool:
        """Whether ``[plugin:subscription] enabled`` says so.

        :raises ConfigError: when a rule of ``belongs_to`` is none.
        """
        return bool(self._options.enabled and self._rules is not None)

    def handle(self, session: Session, event: Event) -> None:
        """Notify, then forget the subscriptions of what is gone.

        :raises ConfigError: when the tables are not as configured; nothing else can be done.
        """
        connection = session.connection()
        tables = self._tables(connection)
        targets = targets_of(event, self._rules)
        receiver = receivers(
            tables.subscriptions, tables.steps, targets, walks_from(targets, self._rules)
        )
        if receiver is not None:
            before, after = self.get_changed_properties(event.resource_before, event.resource_after)
            session.execute(
                insert_notices(
                    connection.dialect.name,
                    tables.notifications,
                    receiver,
                    event,
                    info_of(event, {**before, **after}),
                    notify_author=self._options.notify_author,
                )
            )
        if event.method == "DELETE" and event.sub_resource is None:
            self._forget(session, tables.subscriptions, event)

    def _forget(self, session: Session, subscriptions: MappedTable, event: Event) -> None:
        own_id = fitted(event.resource_id, subscriptions["target_id"].type)
        if own_id is None:
            return
        session.execute(
            delete(subscriptions.table).where(
                mapping.as_text(subscriptions["target_type"]) == event.resource,
                subscriptions["target_id"] == own_id,
            )
        )

    @property
    def _options(self) -> Any:
        return self.config[GROUP]

    @cached_property
    def _rules(self) -> tuple[Rule, ...]:
        return parse(self._options.belongs_to, f"[{GROUP}] belongs_to")

    _known: Tables | None = None

    def _tables(self, connection: Connection) -> Tables:
        """Looked up at the first event; ``enabled()`` is asked before there is a connection."""
        if self._known is None:
            self._known = Tables(
                self._subscriptions(connection),
                self._notifications(connection),
                self._steps(connection),
            )
        return self._known

    def _subscriptions(self, connection: Connection) -> MappedTable:
        name, renamed = self._options.subscription_table, self._options.subscription_columns
        if name == subscription_table.name and not renamed:
            return mapping.own(subscription_table, SUBSCRIPTION_FACTS)
        table = mapping.reflected(connection, name, f"[{GROUP}] subscription_table")
        option = f"[{GROUP}] subscription_columns"
        columns = mapping.mapped(table, SUBSCRIPTION_FACTS, renamed, option)
        mapping.require(columns, SUBSCRIPTION_FACTS, table, option)
        return MappedTable(table, columns)

    def _notifications(self, connection: Connection) -> MappedTable:
        name, renamed = self._options.notification_table, self._options.notification_columns
        if name == notification_table.name and not renamed:
            return mapping.own(notification_table, FACTS)
        table = mapping.reflected(connection, name, f"[{GROUP}] notification_table")
        option = f"[{GROUP}] notification_columns"
        columns = mapping.mapped(table, FACTS, renamed, option)
        mapping.require(columns, ("subscriber_id",), table, option)
        mapping.require_insertable(columns, table, option)
        return MappedTable(table, columns)

    def _steps(self, connection: Connection) -> dict[str, Table]:
        option = f"[{GROUP}] belongs_to"
        found: dict[str, Table] = {}
        for rule in self._rules:
            if isinstance(rule, TableRule):
                table = mapping.reflected(connection, rule.table, option)
                own_names = {"child": rule.child_column, "parent": rule.parent_column}
                mapping.mapped(table, ("child", "parent"), own_names, option)
                found[rule.table] = table
        return found
