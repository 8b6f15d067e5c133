"""``eventworker plugins pause`` and ``resume``."""

from __future__ import annotations

import argparse
import logging

from eventworker.cli import conf, output
from eventworker.cli.choosing import user
from eventworker.cli.database import engine_of
from eventworker.cli.logs import AUDIT
from eventworker.db import PENDING, RETRY, short_transaction
from eventworker.effects import operations
from eventworker.inbox import registry
from eventworker.inbox.operations.selection import Selection, count

audit = logging.getLogger(AUDIT)


def pause(arguments: argparse.Namespace) -> int:
    """Run ``plugins pause``."""
    by, reason = user(), arguments.reason
    with engine_of(conf.of(arguments)) as engine, short_transaction(engine) as connection:
        before = registry.pause(connection, arguments.name, by, reason)
    name = before.name
    audit.info("plugin paused", extra={"plugin": name, "user": by, "reason": reason or None})
    text = f"plugin {name} is paused; its events wait"
    if before.state == registry.OFF:
        text = f"plugin {name} is off, and will be paused when it is on again"
    changed = before.paused_at is None
    output.say(text, {"paused": name, "changed": changed}, arguments.output)
    return 0


def resume(arguments: argparse.Namespace) -> int:
    """Run ``plugins resume``."""
    with engine_of(conf.of(arguments)) as engine, short_transaction(engine) as connection:
        before = registry.resume(connection, arguments.name)
        waiting = count(connection, Selection(plugin=before.name, states=(PENDING, RETRY)))
        mine = operations.Selection(plugin=before.number, states=(PENDING, RETRY))
        effects = operations.count(connection, mine)
    name, changed = before.name, before.paused_at is not None
    text = f"plugin {name} was not paused"
    if changed:
        audit.info("plugin resumed", extra={"plugin": name, "user": user()})
        waits = output.plural(waiting, "delivery waits", "deliveries wait")
        text = f"plugin {name} is resumed; {waits} for it"
        if effects:
            text += f", and {output.plural(effects, 'effect waits', 'effects wait')}"
    fields = {"resumed": name, "changed": changed, "deliveries": waiting, "effects": effects}
    output.say(text, fields, arguments.output)
    return 0
