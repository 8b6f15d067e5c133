"""After a child died inside a plugin's call: record whose call it was, and free its leases.

Runs in a short-lived child of its own, since the daemon has no connection to the database.
"""

from __future__ import annotations

import logging
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select

from eventworker import config
from eventworker.db import configured_engine, short_transaction
from eventworker.effects import estate as effects_estate
from eventworker.effects.effect import key_of
from eventworker.engine.attempt import failure_after
from eventworker.engine.child import Child
from eventworker.engine.loader import Loaded
from eventworker.engine.slot import Call
from eventworker.errors import DatabaseUnavailable, DecodeError
from eventworker.event import Event
from eventworker.inbox import backlog, estate
from eventworker.inbox.registry import plugin_table
from eventworker.outbox import queue, sent

log = logging.getLogger(__name__)


def settle_estate(conf: Any, child: Child, owner: str, call: Call | None, cause: str) -> None:
    """Blame ``call`` for the death of the process ``owner``, and free what it had leased.

    Waits for the database if it is away.

    :param call: the call it died in, or None when no plugin is to blame.
    :param cause: how it died, for the dead letter.
    """
    engine = configured_engine(conf.database)
    while not child.stopping:
        try:
            with short_transaction(engine) as connection:
                if call is not None:
                    _blame(conf, connection, call, owner, cause)
                estate.release_owner(connection, owner, uncount=True)
                effects_estate.release_owner(connection, owner, uncount=True)
                queue.release_owner(connection, owner)
            engine.dispose()
            return
        except DatabaseUnavailable as error:
            log.warning("%s", error)
            child.wait(1.0)


def _blame(conf: Any, connection: Connection, call: Call, owner: str, cause: str) -> None:
    loaded = _limits(conf, connection, call.plugin)
    if call.event_id is None:
        log.error("%s; its events come again one by one", cause, extra={"plugin": loaded.name})
        return
    fields = {"event": str(call.event_id), "plugin": loaded.name}
    if call.n:
        fields["effect"] = key_of(call.event_id, loaded.name, call.n)
        pair = (call.event_id, call.plugin, call.n)
        attempts = effects_estate.attempts_of(connection, *pair, owner)
        failure = failure_after(loaded.as_performer, max(attempts, 1), cause)
        effects_estate.blame(connection, *pair, failure, owner)
    else:
        attempts = estate.attempts_of(connection, call.event_id, call.plugin, owner)
        failure = failure_after(loaded, max(attempts, 1), cause)
        event = _known(connection, call.event_id)
        estate.blame(connection, call.event_id, call.plugin, failure, owner, event)
    log.error("%s", cause, extra=fields)


def _known(connection: Connection, event_id: UUID) -> Event | None:
    """The event as the outbox has it. It may never be delivered again: a broker may have lost it,
    and a reconciler asks about events that nobody has in hand."""
    row = sent.messages(connection, [event_id]).get(event_id)
    try:
        return None if row is None else backlog.stored_event(row)
    except DecodeError:
        return None  # a consumer puts it into the quarantine


def _limits(conf: Any, connection: Connection, number: int) -> Loaded:
    """The plugin's limits from the configuration; its code is not loaded here."""
    name = connection.scalar(select(plugin_table.c.name).where(plugin_table.c.number == number))
    options = config.plugin_group(conf, name or "unknown")
    return Loaded(
        name=name or f"number {number}",
        plugin=None,
        arguments=frozenset(),
        max_attempts=options.max_attempts,
        backoff=options.backoff,
        backoff_max=options.backoff_max,
        effect_max_attempts=options.effect_max_attempts,
    )
