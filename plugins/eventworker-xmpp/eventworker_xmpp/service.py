"""The component as a side service of the daemon."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from eventworker.db import build_engine, first_line
from eventworker.errors import DatabaseUnavailable
from eventworker.service import Child, Service
from eventworker_xmpp.component import Component
from eventworker_xmpp.options import GROUP, Options, options_of, register

log = logging.getLogger(__name__)

_AWAY_PAUSE = 2.0


def wanted(conf: Any) -> bool:
    """Whether the configuration names the component's secret."""
    register(conf)
    return bool(conf[GROUP].secret)


def run(conf: Any, child: Child) -> None:
    """Be the component until the child is told to stop."""
    options = options_of(conf)
    while not child.stopping:
        try:
            asyncio.run(_run(options, conf, child))
        except DatabaseUnavailable as error:
            log.warning("the XMPP component waits: %s", first_line(error))
            child.wait(_AWAY_PAUSE)


async def _run(options: Options, conf: Any, child: Child) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    child.at_stop(lambda: loop.call_soon_threadsafe(stopping.set))
    if child.stopping:
        return
    engine = build_engine(
        conf.database.connection,
        pool_size=options.threads,
        silence_timeout=conf.database.silence_timeout,
    )
    try:
        component = Component(options, engine, child.slot.note_work)
        await component.run(stopping, insist=True)
    finally:
        engine.dispose()


service = Service(wanted=wanted, run=run)
