"""A listener of the publish-subscribe service that hears all that it is to tell."""

import json
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row, select, update

from eventworker.db import clock, short_transaction
from eventworker.pubsub import deliveries
from eventworker.pubsub.tables import subscription_table
from tests.helpers.pubsub import Desk


@dataclass(frozen=True)
class Heard:
    """What one address was told."""

    word: str
    jid: str
    content: dict[str, Any] = field(default_factory=dict)
    subids: tuple[str, ...] = field(default=(), compare=False)
    collections: tuple[str, ...] = field(default=(), compare=False)


class Ear:
    """Listens from now on; without an address for all that are not the service's own.

    :param limit: addressees in a page.
    """

    def __init__(
        self, desk: Desk, jid: str | None = None, *, name: str = "ear", limit: int = 500
    ) -> None:
        self.desk = desk
        self.limit = limit
        with short_transaction(desk.engine) as connection:
            self.id = deliveries.register(connection, name, jid)

    def hears(self) -> list[Heard]:
        """All that it has not heard yet, in order."""
        heard = []
        with short_transaction(self.desk.engine) as connection:
            while found := deliveries.waiting(connection, self.id, 10):
                for delivery in found:
                    content = json.loads(json.dumps(delivery.content))
                    while page := self.page(connection, delivery):
                        heard += [
                            Heard(delivery.word, each.jid, content, each.subids, each.collections)
                            for each in page
                        ]
                        deliveries.told(connection, delivery, page[-1].jid)
                    deliveries.done(connection, delivery)
        return heard

    def page(self, connection: Any, delivery: deliveries.Delivery) -> list[deliveries.Addressee]:
        """The next page."""
        settings = self.desk.settings
        return deliveries.page(connection, delivery, self.limit, settings.service, settings.admins)

    def items(self) -> list[tuple[str, str]]:
        """Who was told of which items since the last look."""
        return [
            (heard.jid, item["id"])
            for heard in self.hears()
            if heard.word == "items"
            for item in heard.content["items"]
        ]


def rows(desk: Desk) -> list[Row[Any]]:
    """All subscriptions, as they are stored."""
    table = subscription_table
    with desk.engine.connect() as connection:
        return list(connection.execute(select(table).order_by(table.c.id)))


def let_leases_end(desk: Desk, seconds: float = 1) -> None:
    """Leases end so many seconds ago; below zero: in so many seconds."""
    leased = subscription_table.c.expires_at.is_not(None)
    with desk.engine.begin() as connection:
        change = update(subscription_table).where(leased)
        connection.execute(change.values(expires_at=clock(-seconds)))
