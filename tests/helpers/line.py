"""The way of events through the outbox, a broker and an inbox, in the test's own process."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, update
from sqlalchemy.orm import Session

from eventworker import outbox
from eventworker.db import clock, short_transaction
from eventworker.engine.attempt import Caller
from eventworker.engine.filters import EVERYTHING, Filter
from eventworker.engine.reconciler import Reconciler, Tally
from eventworker.engine.reconciliation import Judge
from eventworker.engine.relay import Relay
from eventworker.event import Event
from eventworker.inbox.registry import plugin_table
from eventworker.outbox.table import outbox_table
from eventworker.transport import Subscription
from eventworker.transports.rabbit import RabbitTransport
from tests.helpers.configuration import configuration
from tests.helpers.databases import rows
from tests.helpers.deliveries import SILENCE
from tests.helpers.plugins import Plugin, Workshop, loaded
from tests.helpers.rabbit import settings_at
from tests.servers import Vhost


class Line:
    """The way of events through one database and one broker, moved step by step.

    What is sent is looked at at once, and nothing is ever in somebody's hands, unless a test says
    otherwise.
    """

    def __init__(
        self,
        engine: Engine,
        vhost: Vhost,
        *plugins: Plugin,
        in_hand: float = 0.0,
        known_here: bool = True,
        narrowing: Callable[[str], Filter] = lambda name: EVERYTHING,
    ) -> None:
        self.engine = engine
        self.workshop = Workshop(engine, *(loaded(each) for each in plugins))
        self.plugins_are_older_by(timedelta(days=1))
        self.transport = RabbitTransport(settings_at(vhost))
        self.relay = Relay(engine, self.transport, 100, "host/1/100", check_in=0.0)
        conf = configuration(notifications={"driver": "rabbit"})
        caller = Caller(engine, conf, self.workshop.slot)
        here = self.workshop.plugins if known_here else []
        judge = Judge(engine, caller, self.workshop.slot, here, narrowing, 2**20)
        self.reconciler = Reconciler(engine, self.transport, judge, in_hand)

    def plugins_are_older_by(self, age: timedelta) -> None:
        with short_transaction(self.engine) as connection:
            since = clock(-age.total_seconds())
            connection.execute(update(plugin_table).values(since=since))

    def send(self, *events: Event) -> list[Event]:
        """Through the outbox to the broker, which confirms."""
        with Session(self.engine) as session, session.begin():
            for event in events:
                outbox.record(session, event)
        self.publish()
        return list(events)

    def publish(self) -> None:
        while self.relay.run_once():
            pass

    def consume(self) -> None:
        """Dispatch what is in the queue."""
        subscription: Subscription = self.transport.subscribe(10)
        is_empty = False
        try:
            while True:
                delivery = subscription.receive(SILENCE)
                if delivery is not None:
                    self.workshop.dispatcher.dispatch(delivery)
                elif is_empty:
                    return
                # The silence before the connection is there proves nothing.
                is_empty = self.transport.depth() == 0
        finally:
            subscription.close()

    def look(self) -> Tally:
        """Two rounds: one sees that the queue is empty, and the next one acts on it."""
        first = self.reconciler.look()
        with short_transaction(self.engine) as connection:
            # What was put off is due at once.
            due = update(outbox_table).where(outbox_table.c.check_at.is_not(None))
            connection.execute(due.values(check_at=clock(-1.0)))
        second = self.reconciler.look()
        return Tally(
            first.handled + second.handled,
            first.republished + second.republished,
            first.lost + second.lost,
            second.waiting,
            second.unsure,
        )

    def sent_earlier(self, age: timedelta, *events: Event) -> None:
        with short_transaction(self.engine) as connection:
            ids = [event.id for event in events]
            connection.execute(
                update(outbox_table)
                .where(outbox_table.c.id.in_(ids))
                .values(sent_at=clock(-age.total_seconds()))
            )

    def rows(self) -> dict[UUID, Any]:
        return {row.id: row for row in rows(self.engine, outbox_table)}

    def unproven(self) -> int:
        return sum(row.check_at is not None for row in self.rows().values())
