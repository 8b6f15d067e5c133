"""A plugin that tells everybody all it knows."""

from __future__ import annotations

import logging
import threading
import warnings
from typing import ClassVar

from oslo_config import cfg
from sqlalchemy.orm import Session

from eventworker.event import Event
from eventworker_probes.probe import Probe

log = logging.getLogger(__name__)


class Leaky(Probe):
    """Logs, warns, and fails with the secrets of its configuration, in each call."""

    name = "leaky"
    options: ClassVar[list[cfg.Opt]] = [
        *Probe.options,
        cfg.StrOpt("token", secret=True, help="Something that nobody else should know."),
    ]

    def handle(self, session: Session, event: Event) -> None:
        token = self.config["plugin:leaky"].token
        password = self.config.notifications.rabbit_password
        url = session.connection().engine.url.render_as_string(hide_password=False)
        log.debug("debug %s", token)
        log.info("token %s for %r", token, {"url": url}, extra={"token": token})
        log.warning("password %r", password)
        # As one that is not turned into an error, which the tests do.
        warnings.showwarning(UserWarning(f"warned of {token}"), UserWarning, __file__, 1)

        def elsewhere() -> None:
            raise RuntimeError(f"in a thread: {token} {password} {url}")

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        try:
            raise ConnectionError(f"cannot reach {url}, {password!r}")
        except ConnectionError as error:
            raise RuntimeError(f"no answer for {token}\n{token}\n{event.id}") from error
