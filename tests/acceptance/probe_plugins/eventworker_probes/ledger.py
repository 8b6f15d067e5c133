"""A plugin with an effect in another database, and one in the main one."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import ClassVar

from oslo_config import cfg
from sqlalchemy.orm import Session

from eventworker.event import Event
from eventworker.inbox.elsewhere import OtherDatabase
from eventworker_probes.behaviours import BEHAVIOURS
from eventworker_probes.probe import INSERT, Probe, note_call


class Ledger(Probe):
    """Misbehaves between the two commits, of which the one over there has been made."""

    name = "ledger"
    options: ClassVar[list[cfg.Opt]] = [
        *Probe.options,
        cfg.StrOpt("other", help="URL of the other database."),
    ]

    def __init__(self, config: cfg.ConfigOpts) -> None:
        super().__init__(config)
        self.other = OtherDatabase(config["plugin:ledger"].other, self.name)

    def enabled(self) -> bool:
        self.other.require_table()
        return True

    def handle(self, session: Session, event: Event) -> None:
        options = self.config["plugin:ledger"]
        folder = Path(options.folder)
        note_call(folder, f"{event.id} {self.name} {os.getpid()}\n")
        effect = {"event_id": str(event.id), "plugin": self.name, "pid": os.getpid()}
        with self.other.once(event) as there:
            if there is not None:
                there.execute(INSERT, {**effect, "at": time.time()})
        session.execute(INSERT, {**effect, "at": time.time()})
        if there is not None and event.resource in options.obeys:
            BEHAVIOURS[event.resource](session, folder)
