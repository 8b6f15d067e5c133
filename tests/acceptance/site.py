"""A site: one database, one queue, one configuration file, and the daemons that share them."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pika
from sqlalchemy import NullPool, create_engine
from sqlalchemy.orm import Session

from eventworker import outbox
from eventworker.event import Event
from tests.acceptance import config
from tests.acceptance.daemon import Daemon
from tests.acceptance.installation import Installation
from tests.acceptance.probe import Pair, Probe, once
from tests.helpers.rabbit import channel_at
from tests.servers import Vhost, wait_until

EXCHANGE, QUEUE = "storyboard", "storyboard_events"


class Site:
    """Without a virtual host the outbox is the queue (driver = sql)."""

    def __init__(
        self, installation: Installation, folder: Path, url: str, vhost: Vhost | None = None
    ) -> None:
        self.installation = installation
        self.vhost = vhost
        self.url = url
        self.file = folder / "eventworker.conf"
        self.folder = folder
        self.probe = Probe(url, folder / "probe")
        notifications = config.rabbit(vhost) if vhost else config.sql()
        self._groups = config.groups_for(url, notifications, self.probe.folder)
        # The application's engine, which also wakes the consumers up.
        self._engine = create_engine(url, poolclass=NullPool)
        self.daemons: list[Daemon] = []
        self.configure()

    def configure(self, **changes: Mapping[str, object]) -> None:
        """Change options of the file; `plugin_alpha` is the group `[plugin:alpha]`."""
        renamed = {name.replace("_", ":"): options for name, options in changes.items()}
        self._groups = config.merged(self._groups, renamed)
        self.file.write_text(config.text_of(self._groups))

    def start(
        self,
        workers: int = 2,
        *,
        ready: bool = True,
        env: Mapping[str, str] | None = None,
        file: Path | None = None,
        options: Sequence[str] = (),
    ) -> Daemon:
        """Start a daemon; unless told otherwise, wait until its consumers consume."""
        command = [self.installation.bin / "storyboard-worker-daemon", "--config-file"]
        arguments = [file or self.file, "--worker-count", str(workers), *options]
        log = self.folder / f"daemon-{len(self.daemons) + 1}.log"
        daemon = Daemon([*command, *arguments], log, env)
        self.daemons.append(daemon)
        if ready and self.vhost:
            daemon.says(f"consuming {QUEUE}", workers, timeout=30)
        elif ready:
            daemon.says("is process", workers, timeout=30)
        return daemon

    def run_daemon(self, **more: Any) -> tuple[int, str]:
        """Start a daemon that is expected to end by itself: exit code and output."""
        daemon = self.start(ready=False, **more)
        return daemon.wait(30), daemon.output()

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The `eventworker` command with the site's configuration, which has to succeed."""
        done = self.installation.run("eventworker", "--config-file", self.file, *arguments)
        assert done.returncode == 0, f"eventworker {arguments}:\n{done.stdout}{done.stderr}"
        return done

    def json(self, *arguments: str) -> Any:
        return json.loads(self.command(*arguments, "--output", "json").stdout)

    def send(self, *events: Event) -> list[Event]:
        """Events onto the queue: to the broker, or in one transaction into the outbox."""
        if self.vhost:
            publish(self.vhost, events)
        else:
            self.record(*events)
        return list(events)

    def record(self, *events: Event, ordered: bool = False) -> list[Event]:
        """Events into the outbox, in one transaction; ``ordered``: with their places."""
        with Session(self._engine) as session, session.begin():
            return [outbox.record(session, event, ordered=ordered) for event in events]

    def age_plugins(self) -> None:
        """As though they had been on for years: order is not promised to the full in a plugin's
        first seconds, when not every process knows of it."""
        long_ago = "'2020-01-01 00:00:00.000000'"
        self.probe.execute(
            f"UPDATE eventworker_plugin SET since = {long_ago}",
            f"UPDATE eventworker_plugin SET ordered_since = {long_ago}"
            " WHERE ordered_since IS NOT NULL",
        )

    def queue_is_empty(self) -> bool:
        if self.vhost:
            return self.vhost.messages(QUEUE) == 0
        return self.probe.number("SELECT count(*) FROM eventworker_outbox WHERE state = 0") == 0

    def wait_for(self, events: Iterable[Event], *plugins: str, timeout: float = 40) -> None:
        """Wait until each plugin's effect of each event is there; more is an error, at any time."""
        wanted = once(events, *plugins)
        wait_until(
            lambda: self.probe.effect_count() >= len(wanted) and wanted <= self.probe.effects(),
            timeout,
            lambda: f"{self._missing(wanted)} of {len(wanted)} effects are missing",
        )

    def _missing(self, wanted: Mapping[Pair, int]) -> int:
        found = self.probe.effects()
        return sum(found[pair] == 0 for pair in wanted)

    def stop_all(self) -> None:
        """An orderly stop, after which nothing may be left in the queue."""
        if any(not daemon.ended for daemon in self.daemons):
            # After a death a handled event may be there once more, to be seen and passed over.
            wait_until(self.queue_is_empty, 20, "handled events are still in the queue")
        for daemon in self.daemons:
            if not daemon.ended:
                daemon.stop()
        assert self.queue_is_empty(), "handled events are still in the queue"

    def close(self) -> None:
        """End everything that still runs."""
        for daemon in self.daemons:
            daemon.close()
        self.probe.close()


def declare_queue(vhost: Vhost) -> None:
    """Exchange, queue and binding, as a daemon would have left them."""
    with channel_at(vhost) as channel:
        channel.exchange_declare(EXCHANGE, exchange_type="topic", durable=True)
        channel.queue_declare(QUEUE, durable=True)
        channel.queue_bind(QUEUE, EXCHANGE, routing_key="#")


def publish(vhost: Vhost, events: Iterable[Event]) -> None:
    """What the relay would publish; every message is confirmed."""
    with channel_at(vhost) as channel:
        channel.confirm_delivery()
        for event in events:
            properties = pika.BasicProperties(
                delivery_mode=2, message_id=str(event.id), timestamp=int(time.time())
            )
            channel.basic_publish(
                EXCHANGE, event.resource, event.encode(), properties, mandatory=True
            )
