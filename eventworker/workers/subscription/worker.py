"""The plugin: one event in, one INSERT out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cached_property, partial
from typing import Any, ClassVar

from sqlalchemy import ColumnElement, Connection, Insert, delete, tuple_
from sqlalchemy.orm import Session

from eventworker.erasure import Erasure
from eventworker.event import Event
from eventworker.plugin import WorkerTaskBase
from eventworker.workers.subscription.comparing import fitted
from eventworker.workers.subscription.concern import Shape, changed_kind, places_of
from eventworker.workers.subscription.details import details_of
from eventworker.workers.subscription.functions import Functions
from eventworker.workers.subscription.notices import insert_notices
from eventworker.workers.subscription.options import GROUP, OPTIONS
from eventworker.workers.subscription.permitted import Permissions
from eventworker.workers.subscription.receivers import Followers, Query
from eventworker.workers.subscription.rules import Rules, rules_of
from eventworker.workers.subscription.schema import Schema, look_up
from eventworker.workers.subscription.tables import notification_table
from eventworker.workers.subscription.values import Case, KnownId, Values
from eventworker.workers.subscription.words import TypeRule, event_type, info_of, type_rules

log = logging.getLogger(__name__)

#: Statements that are kept; an application has some dozens of shapes of events.
_MOST_STATEMENTS = 500


class SubscriptionWorker(WorkerTaskBase):
    """Writes a notification for each subscriber of what changed and of what it belongs to.

    Events have no order among each other: one that is handled after the deletion of its resource
    finds nobody who followed it.
    """

    transactional: ClassVar[bool] = True
    options: ClassVar[Any] = OPTIONS

    def enabled(self) -> bool:
        """Whether ``[plugin:subscription] enabled`` says so.

        :raises ConfigError: when an option cannot be used.
        """
        if not self._options.enabled:
            return False
        _ = self._rules, self._types, self._functions
        return True

    def check_database(self, connection: Connection) -> None:
        """Look the tables up.

        :raises ConfigError: when they are not as configured.
        """
        self._known = look_up(connection, self._options, self._rules)
        self._statements.clear()

    def handle(self, session: Session, event: Event) -> None:
        """Notify, then forget the subscriptions of what is gone.

        :raises ConfigError: when the tables are not as configured; nothing else can be done.
        """
        connection = session.connection()
        schema = self._schema(connection)
        if word := self._functions.event_type(event, event_type(event, self._types)):
            self._notify(connection, schema, event, word)
        if event.method == "DELETE":
            self._forget(connection, schema, event)

    def _notify(self, connection: Connection, schema: Schema, event: Event, word: str) -> None:
        if not self._rules.knows(changed_kind(event)):
            log.debug("no rule says what a %s belongs to", changed_kind(event))
        places = places_of(event, self._rules)
        statement, values = self._statement(schema, event, [place.shape for place in places])
        if statement is None:
            return
        before, after = self.get_changed_properties(event.resource_before, event.resource_after)
        info = info_of(event, {**before, **after})
        info |= details_of(connection, schema.named, self._rules, event, places)
        case = Case(event, places, word, self._functions.info(event, info))
        connection.execute(statement, values.of(case))

    def _statement(
        self, schema: Schema, event: Event, shapes: Sequence[Shape]
    ) -> tuple[Insert | None, Values]:
        """The INSERT for events of this shape; building one takes longer than executing it."""
        user = schema.subscriptions["user_id"]
        is_by_user = fitted(event.author_id, user.type) is not None
        without_author = is_by_user and not self._options.notify_author
        if self._functions.choose_receivers:  # by whatever they see in the event
            choose = partial(self._functions.receivers, event)
            return self._build(schema, shapes, without_author, choose)
        key = tuple(shapes), without_author
        if key not in self._statements:
            if len(self._statements) >= _MOST_STATEMENTS:
                self._statements.clear()
            self._statements[key] = self._build(schema, shapes, without_author, lambda query: query)
        return self._statements[key]

    def _build(
        self, schema: Schema, shapes: Sequence[Shape], without_author: bool, choose: Any
    ) -> tuple[Insert | None, Values]:
        values = Values()
        followers = Followers(schema.subscriptions, schema.named, self._rules, values)
        query: Query | None = choose(followers.of(shapes))
        if query is None:
            return None, values
        permissions = Permissions(self._rules, schema.named, values)

        def may_hear(user: ColumnElement[Any]) -> list[ColumnElement[bool]]:
            return [
                condition
                for index, shape in enumerate(shapes)
                if shape.is_about
                for condition in permissions.of_place(user, shape, index, KnownId(values, index))
            ]

        statement = insert_notices(
            schema.dialect,
            schema.notifications,
            query,
            values,
            may_hear,
            without_author=without_author,
        )
        return statement, values

    def _forget(self, connection: Connection, schema: Schema, event: Event) -> None:
        """Remove the subscriptions of what was deleted.

        A sub-resource was deleted only if it exists nowhere else: a project that is deleted under
        a group is only taken out of it.
        """
        gone = event.resource, event.resource_id
        if event.sub_resource is not None:
            if event.sub_resource not in self._options.deleted_with_parent:
                return
            gone = event.sub_resource, event.sub_resource_id
        subscriptions = schema.subscriptions
        target_type, target_id = subscriptions["target_type"], subscriptions["target_id"]
        kind, own_id = fitted(gone[0], target_type.type), fitted(gone[1], target_id.type)
        if kind is not None and own_id is not None:
            connection.execute(
                delete(subscriptions.table).where(target_type == kind, target_id == own_id)
            )

    def erase(self, connection: Connection, erasure: Erasure) -> int:
        """Delete the notifications about it; in a table of the application's that is its own to do.

        :returns: their number.
        """
        if not self._schema(connection).notifications.is_own:
            return 0
        table = notification_table.c
        about: ColumnElement[bool]
        if erasure.event is not None:
            about = table.event_id == erasure.event
        elif erasure.author is not None:
            about = table.author_id == erasure.author
        else:
            about = tuple_(table.resource, table.resource_id) == erasure.resource
        return connection.execute(delete(notification_table).where(about)).rowcount

    @property
    def _options(self) -> Any:
        return self.config[GROUP]

    @cached_property
    def _rules(self) -> Rules:
        return rules_of(self._options, GROUP)

    @cached_property
    def _types(self) -> tuple[TypeRule, ...]:
        return type_rules(self._options.event_types, f"[{GROUP}] event_types")

    @cached_property
    def _functions(self) -> Functions:
        return Functions(self._options, GROUP)

    @cached_property
    def _statements(self) -> dict[Any, tuple[Insert | None, Values]]:
        return {}

    _known: Schema | None = None

    def _schema(self, connection: Connection) -> Schema:
        if self._known is None:
            self.check_database(connection)
        assert self._known is not None
        return self._known
