"""The side service ``pubsub``: what becomes due by time alone, and what nobody needs any more."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Engine, exists, select

from eventworker.db import configured_engine, short_transaction
from eventworker.errors import DatabaseUnavailable
from eventworker.pubsub.backlog import behind
from eventworker.pubsub.options import Settings, settings_of
from eventworker.pubsub.service import PubSubService
from eventworker.pubsub.sweeping import sweep
from eventworker.pubsub.tables import item_table, subscription_table
from eventworker.service import Service

log = logging.getLogger(__name__)

#: Seconds between two looks, where something has an end, and where nothing has.
_BUSY, _IDLE = 2.0, 20.0
#: Seconds after which a listener counts as late, and between two looks for such.
_LATE = 600.0

#: Each does a part of what is due, and says how much that was.
CHORES: dict[str, Callable[[PubSubService], int]] = {
    "items expired": PubSubService.expire_items,
    "subscriptions ended": PubSubService.end_leases,
    "subscribers reminded": PubSubService.remind_leases,
    "rows removed": lambda service: sweep(service.connection),
}
#: The same for what is looked for seldom, since it takes a look at each row of a table.
RARE_CHORES: dict[str, Callable[[PubSubService], int]] = {
    "strangers forgotten": PubSubService.forget_strangers,
}


def keep_up(
    engine: Engine,
    settings: Settings,
    chores: Mapping[str, Callable[[PubSubService], int]] = CHORES,
) -> dict[str, int]:
    """Do all that is due; returns how much of what that was.

    :raises DatabaseUnavailable: when the database is away.
    """
    done: dict[str, int] = {}
    for what, chore in chores.items():
        while True:
            with short_transaction(engine) as connection:
                part = chore(PubSubService(connection, settings))
            if not part:
                break
            done[what] = done.get(what, 0) + part
    return done


def pause(engine: Engine) -> float:
    """Seconds until something may be due.

    :raises DatabaseUnavailable: when the database is away.
    """
    ends = [
        exists().where(table.c.expires_at.is_not(None))
        for table in (item_table, subscription_table)
    ]
    with short_transaction(engine) as connection:
        return _BUSY if any(connection.execute(select(*ends)).one()) else _IDLE


def complain(engine: Engine) -> None:
    """Log who is behind: what nobody is told is kept until somebody tells it, or ends that debt.

    :raises DatabaseUnavailable: when the database is away.
    """
    with short_transaction(engine) as connection:
        late = behind(connection, _LATE)
    for each in late:
        log.warning(
            "publish-subscribe: the listener %s has %d notices to tell, the oldest since %s; one "
            "that is gone for good has to be retired (eventworker-xmpp retire)",
            each.listener,
            each.waiting,
            each.since.isoformat(timespec="seconds"),
        )


def run(conf: Any, child: Any) -> None:
    """Keep the service up until the child is told to stop."""
    settings = settings_of(conf)
    engine = configured_engine(conf.database)
    next_look = 0.0
    while not child.stopping:
        seconds = _BUSY
        try:
            done = keep_up(engine, settings)
            seconds = pause(engine)
            if time.monotonic() >= next_look:
                complain(engine)
                done |= keep_up(engine, settings, RARE_CHORES)
                next_look = time.monotonic() + _LATE
            child.slot.note_work()
            if done:
                log.info("publish-subscribe: %s", done)
        except DatabaseUnavailable as error:
            log.warning("%s", error)
        child.wait(seconds)


def wanted(conf: Any) -> bool:
    """Always: nodes may be made at any time.

    :raises ConfigError: when a value of the group cannot be used, so that no daemon starts.
    """
    settings_of(conf)
    return True


service = Service(wanted=wanted, run=run)
