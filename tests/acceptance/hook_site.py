"""A site whose daemon runs hooks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from eventworker.db import build_engine, short_transaction
from eventworker.pubsub.facts import NewItem
from eventworker.pubsub.hooks.table import hook_table
from eventworker.pubsub.options import Settings
from eventworker.pubsub.service import PubSubService
from tests.acceptance.daemon import Daemon
from tests.acceptance.site import Site
from tests.helpers.hooks import isolation_here
from tests.servers import wait_until

SETTINGS = Settings(hooks=True)
CREATE = ("pubsub", "hook", "create", "-n", "news", "-t", "python_code")


class HookSite:
    """A site whose daemon runs hooks, with the nodes `news` and `out`."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site = site
        self.engine: Engine = build_engine(site.url)
        site.configure(
            hooks={
                "enabled": True,
                "directories": folder,
                "isolation": isolation_here(),
                "poll_interval": 0.05,
                "retry_delay": 0.1,
                "timeout": 20,
            }
        )
        for node in ("news", "out"):
            self.ask(lambda service, node=node: service.create(node, SETTINGS.itself))

    def ask(self, verb: Callable[[PubSubService], Any]) -> Any:
        with short_transaction(self.engine) as connection:
            return verb(PubSubService(connection, SETTINGS))

    def publish(self, name: str) -> None:
        items = [NewItem(name, "<a xmlns='urn:a'/>")]
        self.ask(lambda service: service.publish("news", SETTINGS.itself, items))

    def out(self) -> list[str]:
        """The ids of what hooks have published."""
        part = self.ask(lambda service: service.items("out", SETTINGS.itself))
        return [each.id for each in part.entries]

    def listed(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.site.json("pubsub", "hook", "list")
        return found

    def start(self) -> Daemon:
        before = self._sessions()
        daemon = self.site.start(1)
        wait_until(lambda: self._sessions() > before, 30, "no session of hooks has begun")
        return daemon

    def _sessions(self) -> int:
        return self.site.probe.number("SELECT count(*) FROM eventworker_pubsub_hook_session")

    def holder(self) -> int | None:
        """The process that holds a hook."""
        with self.engine.connect() as connection:
            held = connection.scalar(hook_table.select().with_only_columns(hook_table.c.holder))
        return None if held is None else int(held.split("/")[2])
