"""``eventworker outbox``: what is on its way to the broker, and what got lost there."""

from __future__ import annotations

import argparse
import logging
import sys
from dataclasses import asdict
from datetime import timedelta
from typing import Any
from uuid import UUID

from eventworker import transports
from eventworker.cli import conf, output
from eventworker.cli.arguments import UsageError, Verbs, add_group, add_verb, positive
from eventworker.cli.choosing import user
from eventworker.cli.database import engine_of
from eventworker.cli.logs import AUDIT
from eventworker.db import short_transaction
from eventworker.engine import timelimit
from eventworker.engine.loader import check_databases, discover
from eventworker.engine.reconciler import Reconciler, build_judge, in_hand
from eventworker.engine.slot import Slot
from eventworker.errors import EventworkerError, TransportError
from eventworker.outbox import listing, sent

audit = logging.getLogger(AUDIT)

_COLUMNS = ("id", "resource", "time", "settled_at", "republished", "error")
#: Seconds that the broker is given for an answer.
_PATIENCE = 10.0
#: What was sent later than this may well be in somebody's hands.
_FRESH = timedelta(minutes=1)


def add(verbs: Verbs) -> None:
    """The verbs of ``eventworker outbox``."""
    group = add_group(verbs, "outbox", "look at what is on its way to the broker, and mend it")
    add_verb(
        group,
        "status",
        _status,
        help="say how many events are where",
        more="Ready: to be published. Unproven: confirmed by the broker and not known to be "
        "handled. Dead: can never be published. Lost: published again and again, and never "
        "handled. Waiting in queue: what the broker says.",
        example="eventworker outbox status -O json",
    )
    listed = add_verb(
        group,
        "list",
        _list,
        help="list events in one state, oldest first",
        example="eventworker outbox list --state lost",
    )
    listed.add_argument("--state", choices=tuple(listing.STATES), required=True)
    listed.add_argument(
        "--limit",
        type=positive,
        default=100,
        metavar="N",
        help="longest list (default: 100)",
    )
    retry = add_verb(
        group,
        "retry",
        _retry,
        help="publish dead or lost events once more",
        more="First mend what the error says. What a plugin has done already is not done again.",
        example="eventworker outbox retry --state lost",
    )
    retry.add_argument("ids", nargs="*", metavar="ID", type=_event_id, help="an event's id")
    retry.add_argument("--state", choices=listing.RETRYABLE, help="all in this state")
    retry.add_argument("--dry-run", action="store_true", help="only say how many it would be")
    now = add_verb(
        group,
        "reconcile",
        _reconcile,
        help="publish again, now, what was sent and never handled",
        more="The daemon does so by itself, but only when it is sure. This is for when you know "
        "that the broker has lost what it had. It refuses while events wait in the queue.",
        example="eventworker outbox reconcile --dry-run",
    )
    now.add_argument("--dry-run", action="store_true", help="only say how many it would be")
    now.add_argument(
        "--force",
        action="store_true",
        help="whatever waits in the queue; it is handled once all the same",
    )


def _event_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no event's id") from None


def _status(arguments: argparse.Namespace) -> int:
    loaded = conf.of(arguments)
    with engine_of(loaded) as engine:
        with short_transaction(engine) as connection:
            counts = listing.counts(connection)
        transport = transports.build(loaded, engine)
        try:
            depth, trouble = transport.depth(_PATIENCE), None
        except TransportError as error:
            depth, trouble = None, str(error)
        finally:
            transport.close()
    shown: dict[str, Any] = {"driver": loaded.notifications.driver}
    for name, (number, oldest) in counts.items():
        shown |= {name: number, f"oldest_{name}": oldest}
    output.show_one({**shown, "waiting_in_queue": depth, "trouble": trouble}, arguments.output)
    return 0


def _list(arguments: argparse.Namespace) -> int:
    with engine_of(conf.of(arguments)) as engine, short_transaction(engine) as connection:
        found = listing.rows(connection, arguments.state, arguments.limit)
    output.show_list([asdict(row) for row in found], _COLUMNS, arguments.output)
    if len(found) == arguments.limit:
        print(f"eventworker: --limit {arguments.limit}: there may be more", file=sys.stderr)
    return 0


def _retry(arguments: argparse.Namespace) -> int:
    ids, state = arguments.ids, arguments.state
    if bool(ids) == (state is not None):
        raise UsageError("name events by id, or choose them by --state")
    with engine_of(conf.of(arguments)) as engine, short_transaction(engine) as connection:
        found = listing.retryable(connection, state, ids)
        if not arguments.dry_run:
            listing.retry(connection, state, ids)
    refused = [str(each) for each in ids if each not in found]
    for each in refused:
        print(f"eventworker: {each}: it is neither dead nor lost", file=sys.stderr)
    number, dry_run = len(found), arguments.dry_run
    if number and not dry_run:
        audit.info("outbox retried: %d", number, extra={"user": user(), "chosen_state": state})
    output.say(
        f"{output.plural(number, 'event')} {_verb(number, dry_run)} published again",
        {"changed": number, "refused": refused, "dry_run": dry_run},
        arguments.output,
    )
    return 1 if refused else 0


def _reconcile(arguments: argparse.Namespace) -> int:
    loaded, dry_run = conf.of(arguments), arguments.dry_run
    if loaded.notifications.driver != "rabbit":
        raise EventworkerError("with driver = sql the outbox is the queue: nothing is sent away")
    timelimit.install()
    with engine_of(loaded) as engine:
        found = discover(loaded)
        check_databases(found, engine)
        transport = transports.build(loaded, engine)
        try:
            if not arguments.force:
                _require_empty(transport.depth(_PATIENCE) or 0)
        finally:
            transport.close()
        judge = build_judge(loaded, engine, Slot(), found)
        reconciler = Reconciler(engine, transport, judge, in_hand(loaded))
        with short_transaction(engine) as connection:
            before = sent.now(connection) - _FRESH
        tally = reconciler.sweep(before, dry_run=dry_run, forced=arguments.force, most=None)
    number = tally.republished
    if number and not dry_run:
        audit.info("outbox reconciled: %d", number, extra={"user": user()})
    text = (
        f"{output.plural(number, 'event')} {_verb(number, dry_run)} published again; "
        f"handled {tally.handled}, given up {tally.lost}, younger than a minute {tally.waiting}"
    )
    if tally.unsure:
        text += f", for plugins that are not installed here {tally.unsure}"
    output.say(text, {**asdict(tally), "dry_run": dry_run}, arguments.output)
    return 0


def _require_empty(depth: int) -> None:
    if depth:
        waits = output.plural(depth, "event waits", "events wait")
        raise EventworkerError(
            f"{waits} in the queue and would be published a second time; wait until it is empty, "
            "or add --force"
        )


def _verb(number: int, dry_run: bool) -> str:
    if dry_run:
        return "would be"
    return "is" if number == 1 else "are"
