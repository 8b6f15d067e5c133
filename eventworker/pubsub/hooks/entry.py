"""The side service ``hooks`` as the daemon finds it: what it needs is loaded in its own process."""

from __future__ import annotations

from typing import Any

from eventworker.pubsub.hooks.options import is_on
from eventworker.service import Child, Service


def _run(conf: Any, child: Child) -> None:
    from eventworker.pubsub.hooks.service import run

    run(conf, child)


service = Service(wanted=is_on, run=_run)
