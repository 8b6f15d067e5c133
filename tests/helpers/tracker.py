"""The example tracker in the test's own process, and the plugin on its database."""

from pathlib import Path
from typing import Any

from flask.testing import FlaskClient
from sqlalchemy import Engine

from eventworker.db import metadata
from eventworker.event import Event
from eventworker.workers.subscription import SubscriptionWorker
from examples.tracker.app import create_app
from tests.helpers.stories import events_in
from tests.helpers.subscriptions import handle, worker_of

RULES = Path(__file__).parents[2] / "examples" / "tracker" / "subscription.conf"


class Tracker:
    """The API as its users see it, and the plugin on its database."""

    def __init__(self, engine: Engine, client: FlaskClient) -> None:
        self.engine = engine
        self._client = client
        self._handled: set[object] = set()
        self.plugin: SubscriptionWorker = worker_of(RULES)

    def ask(self, method: str, path: str, body: Any = None, user: int | None = None) -> Any:
        """The decoded answer of a request that succeeds."""
        status, answer = self.refused(method, path, body, user)
        assert status < 400, answer
        return answer

    def refused(
        self, method: str, path: str, body: Any = None, user: object = None
    ) -> tuple[int, Any]:
        """Status and decoded answer."""
        headers = {} if user is None else {"X-User-Id": str(user)}
        kind = {"data": body} if isinstance(body, bytes) else {"json": body}
        answer = self._client.open(f"/v1{path}", method=method, headers=headers, **kind)
        return answer.status_code, answer.json if answer.data else None

    def make(self, collection: str, **values: Any) -> int:
        """The id of a new member of a collection."""
        made: int = self.ask("POST", f"/{collection}", values)["id"]
        return made

    def follow(self, user: int, kind: str, own_id: int) -> None:
        self.make("subscriptions", user_id=user, target_type=kind, target_id=own_id)

    def pending(self) -> list[Event]:
        """The events since the last call; nobody has handled them."""
        found = [event for event in events_in(self.engine) if event.id not in self._handled]
        self._handled.update(event.id for event in found)
        return found

    def new_events(self) -> list[Event]:
        """The events since the last call; the plugin has handled them."""
        found = self.pending()
        handle(self.plugin, self.engine, *found)
        return found

    def told(self, user: int) -> list[str]:
        """What a user was told, the oldest first."""
        found = self.ask("GET", f"/notifications?user_id={user}")
        return [each["event_type"] for each in reversed(found)]


def tracker_at(engine: Engine) -> Tracker:
    """A tracker without any content on an empty database."""
    metadata.create_all(engine)
    url = engine.url.render_as_string(hide_password=False)
    return Tracker(engine, create_app(url).test_client())
