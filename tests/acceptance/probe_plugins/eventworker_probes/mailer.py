"""A plugin with an effect outside: a request to a server, which counts them by their key."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import ClassVar
from urllib.request import Request, urlopen

from oslo_config import cfg
from sqlalchemy.orm import Session

from eventworker import effects
from eventworker.effects import Effect
from eventworker.event import Event
from eventworker_probes.behaviours import BEHAVIOURS
from eventworker_probes.probe import Probe


class Mailer(Probe):
    """Misbehaves in ``handle()``, after it has added its effect, and in ``perform()``."""

    name = "mailer"
    options: ClassVar[list[cfg.Opt]] = [
        *Probe.options,
        cfg.StrOpt("url", help="The server that mails go to."),
        cfg.ListOpt("performs", default=[], help="Resources that are orders to perform()."),
    ]

    def handle(self, session: Session, event: Event) -> None:
        effects.add(session, {"about": event.resource})
        super().handle(session, event)

    def perform(self, effect: Effect) -> None:
        options = self.config["plugin:mailer"]
        about = effect.payload["about"]
        if about in options.performs:
            BEHAVIOURS[about](None, Path(options.folder))
        headers = {"Idempotency-Key": effect.key, "Content-Type": "application/json"}
        body = json.dumps({"about": about, "attempt": effect.attempt, "pid": os.getpid()})
        with urlopen(Request(options.url, body.encode(), headers), timeout=30) as answer:
            answer.read()
