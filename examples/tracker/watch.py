"""Watching eventworker's tables, and saying what happens in words."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, select

from eventworker.inbox.claims import Outcome, inbox_table
from eventworker.inbox.registry import read
from eventworker.outbox.table import outbox_table
from examples.tracker.models import Notification, User

#: A plugin that does not want an event is through with it, too.
_ENDS = (Outcome.DONE, Outcome.SKIPPED)
_COLOURS = {"event": "36", "done": "32", "other": "33", "told": "35"}


@dataclass(slots=True)
class _Seen:
    """An event that was committed, and the plugins that are through with it."""

    title: str
    outcomes: dict[int, int] = field(default_factory=dict)


class Watcher:
    """Reads the tables and prints what is new. It only reads.

    :param plugins: number of plugins that every event is owed to; set by :meth:`learn_plugins`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._events: dict[UUID, _Seen] = {}
        self._told = 0
        self._names: dict[int, str] = {}
        self._paint = sys.stdout.isatty() and "NO_COLOR" not in os.environ

    def learn_plugins(self) -> list[str]:
        """The names of the plugins that the daemon has registered as on."""
        with self._engine.connect() as connection:
            self._names = {
                each.number: each.name for each in read(connection) if each.state == "on"
            }
        return sorted(self._names.values())

    def look(self) -> None:
        """Print what happened since the last look."""
        with self._engine.connect() as connection:
            self._look_at_events(connection)
            self._look_at_outcomes(connection)
            self._look_at_notifications(connection)

    @property
    def events(self) -> int:
        """Events seen so far."""
        return len(self._events)

    @property
    def notifications(self) -> int:
        """Notifications seen so far."""
        return self._told

    def unfinished(self) -> list[str]:
        """What is not done yet, as "event: plugin"."""
        return [
            f"{seen.title}: {name}"
            for seen in self._events.values()
            for number, name in self._names.items()
            if seen.outcomes.get(number) not in _ENDS
        ]

    def _look_at_events(self, connection: Connection) -> None:
        rows = connection.execute(
            select(outbox_table.c.id, outbox_table.c.body).order_by(outbox_table.c.id)
        )
        for event_id, body in rows:
            if event_id not in self._events:
                seen = self._events[event_id] = _Seen(_title(json.loads(body)))
                self._say("event", "event", seen.title)

    def _look_at_outcomes(self, connection: Connection) -> None:
        inbox = inbox_table.c
        rows = connection.execute(
            select(inbox.event_id, inbox.plugin, inbox.outcome).order_by(inbox.at)
        )
        for event_id, plugin, outcome in rows:
            seen = self._events.get(event_id)
            if seen is not None and seen.outcomes.get(plugin) != outcome:
                seen.outcomes[plugin] = outcome
                word = Outcome(outcome).name.lower()
                colour = "done" if outcome == Outcome.DONE else "other"
                name = self._names.get(plugin, f"plugin {plugin}")
                self._say(colour, f"  {word}", f"{seen.title}  by {name}")

    def _look_at_notifications(self, connection: Connection) -> None:
        rows = connection.execute(
            select(Notification, User.name)
            .join(User, User.id == Notification.subscriber_id)
            .where(Notification.id > self._told)
            .order_by(Notification.id)
        )
        for row in rows.mappings():
            self._told = row["id"]
            what = f"{row['name']}: {row['event_type']} {row['resource']}/{row['resource_id']}"
            self._say("told", "  told", what)

    def _say(self, colour: str, word: str, text: str) -> None:
        word = f"{word:<10}"
        if self._paint:
            word = f"\x1b[{_COLOURS[colour]}m{word}\x1b[0m"
        print(f"{word} {text}", flush=True)


def _title(body: dict[str, Any]) -> str:
    title = f"{body['method']} {body['resource']}/{body['resource_id']}"
    if body["sub_resource"]:
        title += f"/{body['sub_resource']}/{body['sub_resource_id']}"
    return title
