"""``eventworker erase``: removing what is kept of somebody, of something, or of one event."""

from __future__ import annotations

import argparse
import logging
import sys
from contextlib import closing
from pathlib import Path
from uuid import UUID

from sqlalchemy import Engine

from eventworker.capture.spool import erasing
from eventworker.capture.spool.store import Store
from eventworker.cli import conf, output
from eventworker.cli.arguments import UsageError, Verbs, add_verb
from eventworker.cli.choosing import user
from eventworker.cli.database import engine_of
from eventworker.cli.logs import AUDIT, escaped
from eventworker.cli.progress import Progress
from eventworker.db import short_transaction
from eventworker.engine.eraser import Erased, Eraser
from eventworker.engine.loader import Discovery, check_databases, discover
from eventworker.erasure import Erasure
from eventworker.inbox import registry

audit = logging.getLogger(AUDIT)


def add(verbs: Verbs) -> None:
    """The verb ``eventworker erase``."""
    parser = add_verb(
        verbs,
        "erase",
        _erase,
        help="erase what is kept of an author's changes, of a resource, or of one event",
        more="Deletes bodies, errors and tracebacks wherever they stand, and lets plugins erase "
        "their own. The ids in the inbox stay, so that nothing is handled twice. Events that are "
        "still to be handled are left, unless --open discards them. It cannot be undone; run "
        "again, it goes on with what is left.",
        example="eventworker erase --author 7 --dry-run",
    )
    about = parser.add_mutually_exclusive_group(required=True)
    about.add_argument("--author", metavar="ID", help="all events by this author")
    about.add_argument(
        "--resource",
        type=_resource,
        metavar="KIND/ID",
        help="all events about this resource, such as story/42",
    )
    about.add_argument("--event", type=_uuid, metavar="UUID", help="this event")
    parser.add_argument(
        "--open",
        action="store_true",
        dest="open_too",
        help="also events that are still to be handled; they are discarded",
    )
    parser.add_argument(
        "--spool",
        action="append",
        default=[],
        type=Path,
        metavar="PATH",
        help="also in this spool file; may be given several times",
    )
    parser.add_argument("--dry-run", action="store_true", help="only say how much it would be")
    parser.add_argument("--yes", action="store_true", help="needed at a terminal")


def _resource(text: str) -> tuple[str, str]:
    kind, _, name = text.partition("/")
    if not kind or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is no resource such as story/42")
    return kind, name


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no UUID") from None


def _erase(arguments: argparse.Namespace) -> int:
    if sys.stdin.isatty() and not arguments.yes and not arguments.dry_run:
        raise UsageError("this cannot be undone: look with --dry-run first, then add --yes")
    loaded = conf.of(arguments)
    erasure = Erasure(arguments.author, arguments.resource, arguments.event)
    with engine_of(loaded) as engine:
        plugins = discover(loaded)
        check_databases(plugins, engine)
        options = {"open_too": arguments.open_too, "dry_run": arguments.dry_run}
        eraser = Eraser(engine, erasure, **options)
        progress = Progress(
            "looked at", None if arguments.output == "json" else sys.stderr, eraser.size()
        )
        eraser.progress = progress.at
        not_here = _not_here(engine, plugins)
        spooled = 0
        try:
            # First, since what leaves a spool meanwhile is found where it arrives.
            spooled = _erase_spooled(arguments, erasure, eraser.erased)
            eraser.run()
            eraser.ask(plugins)
        finally:
            progress.clear()
            if not arguments.dry_run and eraser.erased.rows.total():
                _log(erasure, arguments, eraser.erased)
    return _report(erasure, arguments, eraser.erased, spooled, not_here)


def _not_here(engine: Engine, plugins: Discovery) -> list[str]:
    """The plugins that have ever been on, and cannot be asked here."""
    here = {each.name.lower() for each in plugins.loaded}
    with short_transaction(engine) as connection:
        known = registry.read(connection)
    return [each.name for each in known if each.name.lower() not in here]


def _erase_spooled(arguments: argparse.Namespace, erasure: Erasure, erased: Erased) -> int:
    """Erase from the spool files; returns how many events wait there and were left."""
    left = 0
    for path in arguments.spool:
        with closing(Store(path.absolute(), create=False)) as store:
            done = erasing.erase(
                store,
                lambda message: erasure.covers_body(message.id, message.body),
                waiting_too=arguments.open_too,
                dry_run=arguments.dry_run,
            )
        erased.rows[f"spool {path}"] += done.erased
        left += done.left
    return left


def _log(erasure: Erasure, arguments: argparse.Namespace, erased: Erased) -> None:
    audit.info(
        "erased: %s",
        erasure,
        extra={"user": user(), "open": arguments.open_too or None, **_rows(erased)},
    )


def _rows(erased: Erased) -> dict[str, int]:
    return {name.replace(" ", "_"): count for name, count in erased.rows.items() if count}


def _report(
    erasure: Erasure,
    arguments: argparse.Namespace,
    erased: Erased,
    spooled: int,
    not_here: list[str],
) -> int:
    waiting, held = len(erased.waiting) + spooled, len(erased.held)
    for count, reason in (
        (waiting, "still to be handled; later they can be erased, or now with --open"),
        (held, "in the hands of a process; run this again"),
    ):
        if count:
            left = output.plural(count, "event is", "events are")
            print(f"eventworker: {left} left: {reason}", file=sys.stderr)
    for name, why in erased.failed.items():
        print(f"eventworker: plugin {name}: {escaped(why)}", file=sys.stderr)
    if not_here:
        print(
            f"eventworker: not loaded here, so what they keep stays: {', '.join(not_here)}",
            file=sys.stderr,
        )
    verb = "would be erased" if arguments.dry_run else "erased"
    parts = [f"{count} of {name}" for name, count in erased.rows.items() if count]
    output.say(
        f"{erasure}: {verb}: {', '.join(parts) or 'nothing'}",
        {
            "erased": {name: count for name, count in erased.rows.items() if count},
            "waiting": waiting,
            "held": held,
            "failed": erased.failed,
            "not_here": not_here,
            "dry_run": arguments.dry_run,
        },
        arguments.output,
    )
    return 1 if waiting or held or erased.failed else 0
