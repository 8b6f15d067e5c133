"""Plugins that leave two traces of every call.

The *effect* is a row of ``probe_effect``, a table without any key, written through the session: a
second effect would not be refused, it would be counted. The *call* is a line in the file ``calls``
of the plugin's folder, which no rollback takes back.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, ClassVar

from oslo_config import cfg
from sqlalchemy import text
from sqlalchemy.orm import Session

from eventworker.db import build_engine
from eventworker.event import Event
from eventworker.plugin import WorkerTaskBase
from eventworker_probes.behaviours import BEHAVIOURS

INSERT = text(
    "INSERT INTO probe_effect (event_id, plugin, pid, at) VALUES (:event_id, :plugin, :pid, :at)"
)


class Probe(WorkerTaskBase):
    """Counts; and where the event's resource names a behaviour that it obeys, misbehaves."""

    name: ClassVar[str]
    options: ClassVar[list[cfg.Opt]] = [
        cfg.StrOpt("folder", help="Where calls are noted, and where the tests give signs."),
        cfg.ListOpt("obeys", default=[], help="Resources that are orders to this plugin."),
    ]

    def handle(self, session: Session, event: Event) -> None:
        options = self.config[f"plugin:{self.name}"]
        folder = Path(options.folder)
        note_call(folder, f"{event.id} {self.name} {os.getpid()}\n")
        effect = {"event_id": str(event.id), "plugin": self.name, "pid": os.getpid()}
        session.execute(INSERT, {**effect, "at": time.time()})
        if event.resource in options.obeys:
            BEHAVIOURS[event.resource](session, folder)


def note_call(folder: Path, line: str, file: str = "calls") -> None:
    """One write in append mode: whole lines from any number of processes, whatever follows."""
    descriptor = os.open(folder / file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


class Alpha(Probe):
    name = "alpha"


class Beta(Probe):
    name = "beta"


class Gamma(Probe):
    """The only one whose word is that all it does goes through the session."""

    name = "gamma"
    transactional = True


class InOrder(Probe):
    """Wants the events of each resource in their order."""

    name = "inorder"
    ordered = True


class Careful(Probe):
    """Looks at the database when it is asked, as many a plugin does for its table."""

    name = "careful"

    def enabled(self) -> bool:
        engine = build_engine(self.config.database.connection)
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
        engine.dispose()
        return True


class Choosy(Probe):
    """Misbehaves already when it is asked whether it wants an event; wants none of users."""

    name = "choosy"

    def wants(self, event: Event) -> bool:
        options = self.config[f"plugin:{self.name}"]
        if event.resource in options.obeys:
            BEHAVIOURS[event.resource](None, Path(options.folder))
        return event.resource != "user"


class Never(Probe):
    """Installed and not wanted."""

    name = "never"

    def enabled(self) -> bool:
        return False


class Slow(Probe):
    """Its constructor hangs, until it has been repaired."""

    name = "slow"

    def __init__(self, config: cfg.ConfigOpts) -> None:
        super().__init__(config)
        while not (Path(config["plugin:slow"].folder) / "repaired").exists():
            time.sleep(0.05)


class Unsure(Probe):
    """Fails when it is asked, until it has been repaired."""

    name = "unsure"

    def enabled(self) -> bool:
        if not (Path(self.config[f"plugin:{self.name}"].folder) / "repaired").exists():
            raise LookupError("unsure cannot say whether it is enabled")
        return True

    def handle(self, session: Session, **everything: Any) -> None:
        super().handle(session, everything["event"])
