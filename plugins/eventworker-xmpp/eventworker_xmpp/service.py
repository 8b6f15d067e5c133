"""The component as a side service of the daemon, which loads this module at each start."""

from __future__ import annotations

from typing import Any

from eventworker.service import Child, Service
from eventworker_xmpp.options import GROUP, register


def wanted(conf: Any) -> bool:
    """Whether the configuration names the component's secret."""
    register(conf)
    return bool(conf[GROUP].secret)


def run(conf: Any, child: Child) -> None:
    """Be the component until the child is told to stop."""
    # Slixmpp is loaded only where it is used: it would cost each start of a daemon 0.2 s.
    from eventworker_xmpp.side import run

    run(conf, child)


service = Service(wanted=wanted, run=run)
