"""The component in a child process of the daemon."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Any

from eventworker.db import build_engine, first_line
from eventworker.errors import DatabaseUnavailable
from eventworker.service import Child
from eventworker_xmpp.component import Component
from eventworker_xmpp.configured import options_of
from eventworker_xmpp.options import Options

log = logging.getLogger(__name__)

_AWAY_PAUSE = 2.0


def run(conf: Any, child: Child) -> None:
    """Be the component until the child is told to stop; wait while the database is away."""
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

    def stop() -> None:
        with suppress(RuntimeError):  # the loop has ended already
            loop.call_soon_threadsafe(stopping.set)

    child.at_stop(stop)
    if child.stopping:
        return
    engine = build_engine(
        conf.database.connection,
        pool_size=options.threads,
        silence_timeout=conf.database.silence_timeout,
    )
    try:
        await Component(options, engine, child.slot.note_work).run(stopping, insist=True)
    finally:
        engine.dispose()
