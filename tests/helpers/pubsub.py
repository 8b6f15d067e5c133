"""A publish-subscribe service with its rows at hand."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Engine, insert, select, update

from eventworker.db import clock
from eventworker.pubsub.affiliations import Affiliations
from eventworker.pubsub.config import NodeConfig
from eventworker.pubsub.facts import Actor
from eventworker.pubsub.leases import Leases
from eventworker.pubsub.managing import SubscriptionManaging
from eventworker.pubsub.options import Settings
from eventworker.pubsub.presence import Presence
from eventworker.pubsub.subscribing import Subscribing
from eventworker.pubsub.tables import (
    affiliation_table,
    delivery_table,
    item_table,
    listener_table,
    node_table,
    notice_table,
    subscription_table,
)

DOMAIN = "pubsub.example"
OWNER = Actor("owner@example.org/desk")
ADMIN = Actor("admin@example.org", is_admin=True)
JULIET = Actor("juliet@example.org/balcony")
ROMEO = Actor("romeo@example.net/orchard")
NODE = "story/42"


class Service(Subscribing, SubscriptionManaging, Affiliations, Presence, Leases):
    """The verbs about subscribers."""


@dataclass
class House:
    """A service on a database; each `with house.open() as service` is a transaction.

    :ivar settings: of the transactions to come.
    """

    engine: Engine
    settings: Settings = field(default_factory=lambda: Settings(service=DOMAIN))

    @contextmanager
    def open(self) -> Iterator[Service]:
        with self.engine.begin() as connection:
            yield Service(connection, self.settings)

    def set(self, **settings: Any) -> None:
        self.settings = replace(self.settings, **settings)

    def make(
        self,
        name: str = NODE,
        affiliations: Mapping[str, str] | None = None,
        items: Sequence[str] = (),
        **config: Any,
    ) -> int:
        """A node by hand, with its owner; returns its id."""
        made = NodeConfig(**config)
        with self.engine.begin() as connection:
            node = connection.execute(
                insert(node_table).values(
                    name=name,
                    kind=made.node_type,
                    access_model=made.access_model,
                    config=made.to_json(),
                    creator=OWNER.bare,
                    position=len(items),
                    created_at=clock(),
                )
            ).inserted_primary_key
            assert node is not None
            for jid, what in {OWNER.bare: "owner", **(affiliations or {})}.items():
                row = {"node_id": node[0], "jid": jid, "affiliation": what}
                connection.execute(insert(affiliation_table).values(row))
            for position, item in enumerate(items):
                connection.execute(
                    insert(item_table).values(
                        node_id=node[0],
                        item_id=item,
                        position=position + 1,
                        publisher=OWNER.bare,
                        payload=f"<entry xmlns='urn:x'>{item}</entry>",
                        published_at=clock(),
                    )
                )
        return int(node[0])

    def configure(self, name: str = NODE, **config: Any) -> None:
        """Change the node's configuration by hand."""
        with self.engine.begin() as connection:
            name_is = node_table.c.name == name
            text = connection.scalar(select(node_table.c.config).where(name_is))
            made = replace(NodeConfig.from_json(str(text)), **config)
            values = {"config": made.to_json(), "access_model": made.access_model}
            connection.execute(update(node_table).where(name_is).values(values))

    def listen(self, name: str = "component") -> int:
        """A listener for everybody; returns its id."""
        with self.engine.begin() as connection:
            made = connection.execute(
                insert(listener_table).values(name=name, created_at=clock())
            ).inserted_primary_key
        assert made is not None
        return int(made[0])

    def heard(self) -> list[tuple[str, str, dict[str, Any]]]:
        """What single addresses are told: the kind, the address, the content; and no more of it."""
        with self.engine.begin() as connection:
            rows = connection.execute(
                select(notice_table.c.kind, delivery_table.c.recipient, notice_table.c.content)
                .join_from(
                    delivery_table, notice_table, notice_table.c.id == delivery_table.c.notice_id
                )
                .order_by(delivery_table.c.id)
            ).all()
            connection.execute(delivery_table.delete())
            connection.execute(notice_table.delete())
        return [(row.kind, row.recipient, json.loads(row.content)) for row in rows]

    def rows(self) -> list[Any]:
        """All subscriptions."""
        with self.engine.connect() as connection:
            table = subscription_table
            return list(connection.execute(select(table).order_by(table.c.id)))

    def age(self, seconds: float) -> None:
        """Let time pass for leases."""
        with self.engine.begin() as connection:
            connection.execute(
                update(subscription_table)
                .where(subscription_table.c.expires_at.is_not(None))
                .values(expires_at=clock(-seconds))
            )
