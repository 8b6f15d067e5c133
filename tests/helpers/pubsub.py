"""The publish-subscribe service as tests ask it: one transaction for each verb."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, delete, insert, select

from eventworker.db import clock, short_transaction
from eventworker.pubsub.errors import PubSubError
from eventworker.pubsub.facts import Actor, NewItem
from eventworker.pubsub.jid import domain
from eventworker.pubsub.options import Settings
from eventworker.pubsub.service import PubSubService
from eventworker.pubsub.tables import delivery_table, listener_table, node_table, notice_table

ADMIN = Actor("admin@example.org", is_admin=True)
#: An account of the service's own, which may create nodes.
OWNER = Actor("tracker@pubsub.localhost")
ANN = Actor("ann@example.org/desk")
BEN = Actor("ben@example.org/phone")


def form(**fields: Any) -> dict[str, list[str]]:
    """The values of a form: `form(title="News", contact=["a@b", "c@d"])`."""
    return {
        f"pubsub#{name}": [str(each) for each in (value if isinstance(value, list) else [value])]
        for name, value in fields.items()
    }


def entry(text: str = "hello", namespace: str = "urn:example:entry") -> str:
    """A payload."""
    return f"<entry xmlns='{namespace}'>{text}</entry>"


def item(name: str | None = None, text: str = "hello") -> NewItem:
    """An item with a payload."""
    return NewItem(name, entry(text))


class Desk:
    """`desk.publish("news", OWNER, [...])` runs that verb in a transaction of its own."""

    def __init__(self, engine: Engine, settings: Settings | None = None) -> None:
        self.engine = engine
        self.settings = settings or Settings()

    @contextmanager
    def service(self) -> Iterator[PubSubService]:
        with short_transaction(self.engine) as connection:
            yield PubSubService(connection, self.settings)

    def listen_to(self, *nodes: str) -> None:
        """From now on `heard()` has what subscribers of these nodes are told."""
        row = {"name": "test", "created_at": clock()}
        with self.service() as service:
            service.connection.execute(insert(listener_table).values(row))
            for node in nodes:
                service.subscribe(node, ADMIN, ADMIN.jid)
            service.connection.execute(delete(delivery_table))
            service.connection.execute(delete(notice_table))

    def heard(self) -> list[tuple[str, Any]]:
        """The notices there are, each as its word and its content."""
        with self.service() as service:
            look = select(notice_table.c.kind, notice_table.c.content)
            rows = service.connection.execute(look.order_by(notice_table.c.id)).all()
        return [(row.kind, json.loads(row.content)) for row in rows]

    def audience(self) -> list[tuple[int, str]]:
        """Who is to be told: how far a node is above that of the notice, and its name."""
        with self.service() as service:
            look = select(delivery_table.c.level, node_table.c.name).join(
                node_table, node_table.c.id == delivery_table.c.audience_id
            )
            rows = service.connection.execute(look.order_by(delivery_table.c.level)).all()
        return [(row.level, row.name) for row in rows]

    def __getattr__(self, verb: str) -> Any:
        def ask(*args: Any, **kwargs: Any) -> Any:
            with self.service() as service:
                return getattr(service, verb)(*args, **kwargs)

        return ask


def read_roster(
    desk: Desk, *entries: tuple[str, str], owner: str = OWNER.bare, seconds: float = 60
) -> None:
    """Have the service know the roster of an account, as a component that may read it does."""
    desk.rosters_granted(domain(owner), 60)
    asked_at = desk.roster_wanted(owner)
    assert asked_at is not None, f"no node asks for the roster of {owner}"
    desk.roster_taken(owner, entries, asked_at, seconds)


@contextmanager
def refused(
    condition: str, detail: str | None = None, feature: str | None = None
) -> Iterator[None]:
    """The service refuses with this condition, and the XEP's own."""
    with pytest.raises(PubSubError) as caught:
        yield
    error = caught.value
    assert (error.condition, error.detail, error.feature) == (condition, detail, feature)
