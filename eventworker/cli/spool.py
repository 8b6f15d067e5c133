"""``eventworker spool``: the file in which a web server's events wait; also that of a dead one."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from oslo_config import cfg

from eventworker.capture.spool import salvage, waiting
from eventworker.capture.spool.alarm import Alarm, Level
from eventworker.capture.spool.drainer import drain_lock
from eventworker.capture.spool.rounds import Rounds
from eventworker.capture.spool.store import Store
from eventworker.capture.spool.targets import Outbox
from eventworker.cli import conf, output
from eventworker.cli.arguments import Verbs, add_group, add_verb, positive
from eventworker.cli.database import engine_of
from eventworker.cli.logs import AUDIT
from eventworker.errors import EventworkerError, SpoolError, TransportError
from eventworker.transport import Transport

audit = logging.getLogger(AUDIT)

_COLUMNS = ("seq", "event_id", "time", "source", "resource", "bytes")
#: Seconds for another process to end its look at the spool.
_PATIENCE = 3.0


def add(verbs: Verbs) -> None:
    """The verbs of ``eventworker spool``."""
    group = add_group(verbs, "spool", "look at a web server's spool of events, and empty it")
    status = add_verb(
        group,
        "status",
        _status,
        help="show how full a spool is, and why its events do not leave",
        more="Needs no configuration, and no database or broker.",
        example="eventworker spool status /var/lib/tracker/events.spool",
    )
    _add_path(status)
    listed = add_verb(
        group,
        "list",
        _list,
        help="list the events of a spool in the order in which they will leave",
        more="With -O json also their bodies, which may hold what users wrote.",
        example="eventworker spool list /var/lib/tracker/events.spool --limit 20",
    )
    _add_path(listed)
    listed.add_argument(
        "--refused",
        action="store_true",
        help="those that the target did not take, with the reason",
    )
    listed.add_argument(
        "--limit", type=positive, default=100, metavar="N", help="longest list (default: 100)"
    )
    drain = add_verb(
        group,
        "drain",
        _drain,
        help="deliver the events of a spool whose web server is gone",
        more="A web server that runs does that by itself, and keeps this command out while it is "
        "at it. To be run by the owner of the file, or by root.",
        example="eventworker --config-file eventworker.conf spool drain "
        "/var/lib/tracker/events.spool",
    )
    _add_path(drain)
    drain.add_argument(
        "--to",
        choices=sorted(_TARGETS),
        default="outbox",
        help="the outbox of [database] connection, where an event that is there already stays "
        "once, or the broker of [notifications] (default: outbox)",
    )
    drain.add_argument(
        "--refused",
        action="store_true",
        help="offer once more what the target did not take",
    )

    discard = add_verb(
        group,
        "discard",
        _discard,
        help="give refused events up for good",
        example="eventworker spool discard /var/lib/tracker/events.spool 17 --reason 'test data'",
    )
    _add_path(discard)
    discard.add_argument(
        "seqs", nargs="+", type=positive, metavar="SEQ", help="as list --refused shows it"
    )
    discard.add_argument("--reason", metavar="TEXT", help="why; it goes into the log")


def _add_path(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH", type=Path, help="the spool file")


def _existing(path: Path) -> Store:
    return Store(path.absolute(), create=False)


def _status(arguments: argparse.Namespace) -> int:
    with closing(_existing(arguments.path)) as store:
        found = store.read(waiting.summary)
        found["level"] = Level(found["level"]).name.lower()
        found["delivering"] = _somebody_delivers(store.path)
        damaged = [path.name for path in salvage.damaged_files(store.path, done=True)]
    found["damaged_files"] = ", ".join(damaged) or None
    output.show_one({"path": str(store.path), **found}, arguments.output)
    return 0


def _somebody_delivers(path: Path) -> bool:
    lock = drain_lock(path)
    if not lock.acquire():
        return True
    lock.release()
    return False


def _list(arguments: argparse.Namespace) -> int:
    with closing(_existing(arguments.path)) as store:
        rows = store.read(
            lambda connection: waiting.listed(
                connection, arguments.limit, refused=arguments.refused
            )
        )
    columns = (*_COLUMNS, "reason") if arguments.refused else _COLUMNS
    output.show_list(rows, columns, arguments.output)
    if len(rows) == arguments.limit:
        print(f"eventworker: --limit {arguments.limit}: there may be more", file=sys.stderr)
    return 0


def _drain(arguments: argparse.Namespace) -> int:
    loaded = conf.of(arguments)
    with closing(_existing(arguments.path)) as store, ExitStack() as stack:
        store.read(waiting.summary)  # says what is wrong with the file, if anything is
        try:
            stack.enter_context(drain_lock(store.path).held(_PATIENCE))
        except SpoolError:
            raise EventworkerError(
                f"another process is delivering from {store.path}; "
                "eventworker spool status says whether it succeeds"
            ) from None
        target = _TARGETS[arguments.to](loaded, stack)
        if arguments.refused:
            store.write(lambda connection: waiting.readmit(connection, all_of_them=True))
        moved = _move_all(store, target)
        refused = store.read(waiting.summary)["refused"]
    audit.info("spool drained", extra={"spool": store.path, "to": arguments.to, "events": moved})
    output.say(
        f"{output.plural(moved, 'event')} delivered from {store.path}"
        + (f", {refused} refused" if refused else ""),
        {"delivered": moved, "refused": refused},
        arguments.output,
    )
    return 1 if refused else 0


def _discard(arguments: argparse.Namespace) -> int:
    conf.of(arguments)  # where the log is
    with closing(_existing(arguments.path)) as store:
        gone = store.write(
            lambda connection: waiting.discard(connection, arguments.seqs), headroom=True
        )
    missing = [seq for seq in arguments.seqs if seq not in gone]
    for seq in missing:
        print(f"eventworker: {seq} is not among the refused events", file=sys.stderr)
    if gone:
        audit.info(
            "spooled events discarded",
            extra={"spool": store.path, "seqs": gone, "reason": arguments.reason},
        )
    output.say(
        f"{output.plural(len(gone), 'event')} discarded",
        {"discarded": gone, "missing": missing},
        arguments.output,
    )
    return 1 if missing else 0


def _move_all(store: Store, target: Transport) -> int:
    """Everything that waits; says at a terminal how far it is."""
    rounds = Rounds(store, Alarm(store.path), target)
    before = store.read(waiting.summary)
    moved = 0
    try:
        while count := rounds.once():
            moved += count
            if sys.stderr.isatty():
                print(f"\r{moved} of {before['waiting']}", end="", file=sys.stderr, flush=True)
    except TransportError as error:
        left = store.read(waiting.summary)
        done = left["delivered"] - before["delivered"]
        raise EventworkerError(
            f"{output.plural(done, 'event')} delivered, {left['waiting']} still in "
            f"{store.path}: {error}"
        ) from None
    finally:
        if moved and sys.stderr.isatty():
            print(file=sys.stderr)
    delivered: int = store.read(waiting.summary)["delivered"] - before["delivered"]
    return delivered


def _outbox(loaded: cfg.ConfigOpts, stack: ExitStack) -> Transport:
    return Outbox(stack.enter_context(engine_of(loaded)))


def _rabbit(loaded: cfg.ConfigOpts, stack: ExitStack) -> Transport:
    from eventworker.transports.rabbit import RabbitTransport, settings_from

    return stack.enter_context(closing(RabbitTransport(settings_from(loaded))))


_TARGETS: dict[str, Callable[[cfg.ConfigOpts, ExitStack], Any]] = {
    "outbox": _outbox,
    "rabbit": _rabbit,
}
