"""The publish-subscribe service as tests ask it: one transaction for each verb."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine

from eventworker.db import short_transaction
from eventworker.pubsub.errors import PubSubError
from eventworker.pubsub.facts import Actor, NewItem
from eventworker.pubsub.options import Settings
from eventworker.pubsub.service import PubSubService

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

    def __getattr__(self, verb: str) -> Any:
        def ask(*args: Any, **kwargs: Any) -> Any:
            with self.service() as service:
                return getattr(service, verb)(*args, **kwargs)

        return ask


@contextmanager
def refused(
    condition: str, detail: str | None = None, feature: str | None = None
) -> Iterator[None]:
    """The service refuses with this condition, and the XEP's own."""
    with pytest.raises(PubSubError) as caught:
        yield
    error = caught.value
    assert (error.condition, error.detail, error.feature) == (condition, detail, feature)
