"""``eventworker plugins``: whom events are owed to."""

from __future__ import annotations

import argparse
import logging
import sys
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from oslo_config import cfg

from eventworker.cli import conf, new, output, pausing
from eventworker.cli.arguments import Verbs, add_group, add_verb, since
from eventworker.cli.database import engine_of
from eventworker.cli.logs import AUDIT
from eventworker.cli.options import distributions
from eventworker.db import short_transaction
from eventworker.effects import operations
from eventworker.engine.filters import EVERYTHING, common, configured
from eventworker.engine.loader import Discovery, Loaded, check_databases, discover
from eventworker.errors import PluginError
from eventworker.event import Event
from eventworker.inbox import registry
from eventworker.inbox.operations import backfill, blocked
from eventworker.inbox.operations.selection import Selection, count, plugin_number
from eventworker.outbox.past import past_events

audit = logging.getLogger(AUDIT)

_COLUMNS = ("name", "state", "here", "lane", "distribution", "since", "wants", "pause_reason")


def add(verbs: Verbs) -> None:
    """The verbs of ``eventworker plugins``."""
    group = add_group(
        verbs,
        "plugins",
        "show and change whom events are owed to, or begin a new one",
        also="plugin",
    )
    add_verb(
        group,
        "list",
        _list,
        help="list the plugins",
        more="The state is the database's: on (events are owed to it), paused (owed and kept), "
        "off, retired, or new (no daemon has started with it yet), since when, and why it is "
        "paused; beside it stands what became of it when it was loaded on this host, and what its "
        "filters let through.",
        example="eventworker plugins list -O json",
    )
    retire = add_verb(
        group,
        "retire",
        _retire,
        help="end the debt to a plugin that is gone for good",
        more="No further event is owed to it. Uninstall or disable it first, since a daemon that "
        "starts with it turns it on again.",
        example="eventworker plugins retire audit",
    )
    retire.add_argument("name", metavar="NAME")
    paused = add_verb(
        group,
        "pause",
        pausing.pause,
        help="stop calling a plugin; its events are kept for it",
        more="It takes effect on every host within [plugins] registry_refresh (1 s), without a "
        "restart, and lasts over restarts. A call that has begun ends as it would have.",
        example="eventworker plugins pause audit --reason 'the disk is full'",
    )
    paused.add_argument("name", metavar="NAME")
    paused.add_argument("--reason", default="", metavar="TEXT", help="why, for those who look")
    resumed = add_verb(
        group,
        "resume",
        pausing.resume,
        help="call a paused plugin again, what was kept for it included",
        example="eventworker plugins resume audit",
    )
    resumed.add_argument("name", metavar="NAME")
    past = add_verb(
        group,
        "backfill",
        _backfill,
        help="owe past events to a plugin that was added later",
        more="These are the events still in the outbox or referred to by deliveries. What it has "
        "an outcome for is left out, so running it twice does no harm.",
        example="eventworker plugins backfill audit --since 2d --dry-run",
    )
    past.add_argument("name", metavar="NAME")
    past.add_argument(
        "--since",
        type=since,
        required=True,
        metavar="WHEN",
        help="events of that age or younger: 30m, 2h, 7d, or a time such as 2026-11-21T07:00:00Z",
    )
    past.add_argument("--dry-run", action="store_true", help="only say how many events it would be")
    new.add(group)


def _list(arguments: argparse.Namespace) -> int:
    loaded = conf.of(arguments)
    found = discover(loaded)
    with engine_of(loaded) as engine:
        check_databases(found, engine)
        with short_transaction(engine) as connection:
            known = registry.read(connection)
            held_up = Counter[str]()
            for each in blocked.blocked(connection):
                held_up[each.plugin] += each.waiting
    brought_by = distributions()
    rows = [_row(each.name, each, found, brought_by) for each in known]
    registered = {each.name.lower() for each in known}
    installed = (*(each.name for each in found.loaded), *found.off, *found.broken)
    rows += [
        _row(name, None, found, brought_by)
        for name in sorted(installed)
        if name.lower() not in registered
    ]
    columns = _COLUMNS if any(each.is_paused for each in known) else _COLUMNS[:-1]
    output.show_list(rows, columns, arguments.output)
    for name, waiting in held_up.items():
        print(
            f"eventworker: {name}: {output.plural(waiting, 'event waits', 'events wait')} behind "
            "dead letters of their resources; see: "
            f"eventworker deliveries list --plugin {name} --state dead",
            file=sys.stderr,
        )
    return 0


def _row(
    name: str, known: registry.Registered | None, found: Discovery, brought_by: dict[str, str]
) -> dict[str, Any]:
    key = name.lower()
    loaded = next((each for each in found.loaded if each.name.lower() == key), None)
    here = "loaded" if loaded else "not installed"
    for word, reasons in (("off", found.off), ("broken", found.broken)):
        for other, reason in reasons.items():
            if other.lower() == key:
                here = f"{word}: {reason}"
    return {
        "name": name,
        **_state(known),
        "here": here,
        "lane": loaded.lane if loaded else None,
        "ordered": loaded.ordered if loaded else None if known is None else known.is_ordered,
        "distribution": brought_by.get(key),
        **_filters(loaded),
    }


def _state(known: registry.Registered | None) -> dict[str, Any]:
    paused = known is not None and known.is_paused
    return {
        "state": "paused" if paused else known.state if known else "new",
        "since": (known.paused_at if paused else known.since) if known else None,
        "paused_by": known.paused_by if known else None,
        "pause_reason": known.pause_reason if known else None,
    }


def _filters(loaded: Loaded | None) -> dict[str, Any]:
    """What the two filters let through; ``wants`` says it in words."""
    if loaded is None:
        return dict.fromkeys(("resources", "methods", "conditions", "wants"))
    resources = common(loaded.declared.resources, loaded.narrowing.resources)
    methods = common(loaded.declared.methods, loaded.narrowing.methods)
    conditions = [str(each) for each in loaded.narrowing.conditions]
    if loaded.condition is not None:
        conditions.append("its wants()")
    words = [
        " ".join(sorted(names)) or "nothing" for names in (resources, methods) if names is not None
    ]
    return {
        "resources": None if resources is None else sorted(resources),
        "methods": None if methods is None else sorted(methods),
        "conditions": conditions,
        "wants": "; ".join([*words, *conditions]) or "all",
    }


def _retire(arguments: argparse.Namespace) -> int:
    name = arguments.name
    with engine_of(conf.of(arguments)) as engine, short_transaction(engine) as connection:
        if not registry.retire(connection, name):
            raise PluginError(f"no plugin {name} is registered; see: eventworker plugins list")
        waiting = count(connection, Selection(plugin=name))
        number = plugin_number(connection, name)
        effects = operations.count(connection, operations.Selection(plugin=number))
    audit.info("plugin retired", extra={"plugin": name})
    text = f"plugin {name} is retired"
    if waiting:
        text += (
            f"; {output.plural(waiting, 'delivery', 'deliveries')} of it stay, to be dropped with: "
            f"eventworker deliveries discard --plugin {name}"
        )
    if effects:
        text += (
            f"; {output.plural(effects, 'effect')} of it stay, to be dropped with: "
            f"eventworker effects discard --plugin {name}"
        )
    fields = {"retired": name, "deliveries": waiting, "effects": effects}
    output.say(text, fields, arguments.output)
    return 0


def _backfill(arguments: argparse.Namespace) -> int:
    loaded = conf.of(arguments)
    request = backfill.Backfill(
        plugin=arguments.name,
        since=arguments.since,
        remembered=timedelta(days=loaded.retention.inbox_days),
        past=past_events(),
        wanted=_wanted_by(loaded, arguments.name),
    )
    with engine_of(loaded) as engine:
        owed = (backfill.count if arguments.dry_run else backfill.run)(engine, request)
    if not arguments.dry_run:
        audit.info("plugin backfilled", extra={"plugin": arguments.name, "events": owed})
    verb = "would be owed" if arguments.dry_run else "owed"
    output.say(
        f"{output.plural(owed, 'past event')} {verb} to {arguments.name}",
        {"plugin": arguments.name, "owed": owed, "dry_run": arguments.dry_run},
        arguments.output,
    )
    return 0


def _wanted_by(loaded: cfg.ConfigOpts, name: str) -> Callable[[Event], bool]:
    """What a backfill owes to a plugin: as dispatch does it, as far as it is known here."""
    found = discover(loaded)
    plugin = next((each for each in found.loaded if each.name.lower() == name.lower()), None)
    if plugin is None:
        # Of a broken one's group nothing is sure; who can load it skips what it does not want.
        return (EVERYTHING if found.is_broken(name) else configured(loaded, name)).admits

    def wanted(event: Event) -> bool:
        if not plugin.admits(event):
            return False
        try:
            return plugin.condition is None or plugin.condition(event) is not False
        except Exception:
            return True  # the call will fail by it, in the open, and be tried again

    return wanted
