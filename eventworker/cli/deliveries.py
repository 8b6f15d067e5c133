"""``eventworker deliveries``: what is not done, and what to do about it."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from typing import Any

from eventworker.cli import conf, output, replaying
from eventworker.cli.arguments import Verbs, add_group, add_verb, positive
from eventworker.cli.choosing import add_discarding, add_filters
from eventworker.cli.database import engine_of
from eventworker.db import short_transaction
from eventworker.errors import DecodeError, EventworkerError
from eventworker.event import WIRE_FIELDS, decode
from eventworker.inbox.operations import blocked, listing, quarantined

_COLUMNS = ("id", "state", "plugin", "resource", "attempts", "due_at", "error")
#: Dead letters with events behind them that the list speaks of.
_MOST_TOLD = 5
_ALL = ("pending", "retry", "dead", "quarantined", "all")


def add(verbs: Verbs) -> None:
    """The verbs of ``eventworker deliveries``."""
    group = add_group(verbs, "deliveries", "look at deliveries that are not done, and replay them")
    listed = add_verb(
        group,
        "list",
        _list,
        help="list deliveries that are not done, newest first",
        more="A delivery is pending (owed, not called yet), retry (failed, due again) or dead "
        "(given up). Bytes that are no event are quarantined; their ids begin with q.",
        example="eventworker deliveries list --state dead --plugin audit --since 2d",
    )
    _add_filters(listed, _ALL)
    listed.add_argument(
        "--limit",
        type=positive,
        default=100,
        metavar="N",
        help="longest list (default: 100)",
    )
    show = add_verb(
        group,
        "show",
        _show,
        help="show one delivery with its event, its error and the traceback",
        example="eventworker deliveries show 17",
    )
    show.add_argument("id", metavar="ID", type=replaying.identifier, help="17, or q12")
    retry = add_verb(
        group,
        "retry",
        replaying.retry,
        help="call again at once, with all attempts",
        more="For dead and retrying deliveries. Quarantined bytes are read again and, if they are "
        "an event now, owed to every plugin. Choose by id or by filters; all is done in one "
        "transaction.",
        example="eventworker deliveries retry --state dead --plugin audit --dry-run",
    )
    _add_choice(retry, ("retry", "dead", "quarantined", "all"))
    discard = add_verb(
        group,
        "discard",
        replaying.discard,
        help="give up for good",
        more="The deliveries are deleted, and their events will not be handled again by these "
        "plugins. Choose by id or by filters; all is done in one transaction.",
        example="eventworker deliveries discard 17 q12 --reason 'test data'",
    )
    _add_choice(discard, _ALL)
    add_discarding(discard)


def _add_filters(parser: argparse.ArgumentParser, states: tuple[str, ...]) -> None:
    about = {"metavar": "NAME", "help": "only of events about this resource"}
    add_filters(parser, states, resource=about)


def _add_choice(parser: argparse.ArgumentParser, states: tuple[str, ...]) -> None:
    parser.add_argument(
        "ids", nargs="*", metavar="ID", type=replaying.identifier, help="17, or q12"
    )
    _add_filters(parser, states)
    parser.add_argument("--dry-run", action="store_true", help="only say how many it would be")


def _list(arguments: argparse.Namespace) -> int:
    loaded = conf.of(arguments)
    chosen = replaying.by_filters(arguments, quarantine=True)
    rows: list[dict[str, Any]] = []
    with engine_of(loaded) as engine, short_transaction(engine) as connection:
        if chosen.deliveries is not None:
            found = listing.deliveries(connection, chosen.deliveries, arguments.limit)
            rows += [asdict(each) for each in found]
        if chosen.entries is None and len(rows) < arguments.limit:
            rows += [
                _quarantine_row(each)
                for each in quarantined.quarantined(
                    connection, chosen.since, arguments.limit - len(rows)
                )
            ]
        held_up = blocked.blocked(connection)
    output.show_list(rows, _COLUMNS, arguments.output)
    if len(rows) == arguments.limit:
        print(f"eventworker: --limit {arguments.limit}: there may be more", file=sys.stderr)
    for each in held_up[:_MOST_TOLD]:
        print(f"eventworker: {told(each)}", file=sys.stderr)
    if len(held_up) > _MOST_TOLD:
        rest = output.plural(len(held_up) - _MOST_TOLD, "more dead letter", "more dead letters")
        print(f"eventworker: so do events behind {rest}", file=sys.stderr)
    return 0


def told(each: blocked.Blocked) -> str:
    """What waits behind a dead letter, and what to do about it."""
    wait = output.plural(each.waiting, "event waits", "events wait")
    return (
        f"{wait} behind the dead letter {each.id} ({each.plugin}, {each.stream!a}), since "
        f"{each.plugin} is ordered; to call it again: eventworker deliveries retry {each.id}; to "
        f"give it up: eventworker deliveries discard {each.id}"
    )


def _quarantine_row(entry: quarantined.Quarantined) -> dict[str, Any]:
    return {
        "id": f"q{entry.id}",
        "state": "quarantined",
        "plugin": None,
        "event_id": None,
        "resource": None,
        "attempts": None,
        "in_call": False,
        "due_at": None,
        "created_at": entry.received_at,
        "error": entry.reason,
        "bytes": entry.size,
    }


def _show(arguments: argparse.Namespace) -> int:
    loaded = conf.of(arguments)
    with engine_of(loaded) as engine, short_transaction(engine) as connection:
        if arguments.id.quarantined:
            entry = quarantined.contents(connection, arguments.id.number)
            shown = None if entry is None else _quarantine_detail(entry)
        else:
            delivery = listing.delivery(connection, arguments.id.number)
            shown = None if delivery is None else _detail(delivery)
    if shown is None:
        raise EventworkerError(f"there is no delivery {arguments.id}")
    output.show_one(shown, arguments.output)
    return 0


def _detail(delivery: listing.Detailed) -> dict[str, Any]:
    fields = asdict(delivery)
    body, traceback = fields.pop("body"), fields.pop("traceback")
    return {**fields, "traceback": traceback, "event": None if body is None else _event(body)}


def _event(body: bytes) -> Any:
    try:
        event = decode(body, max_bytes=2**24)
    except DecodeError:
        return _readable(body)
    return {name: getattr(event, name) for name in WIRE_FIELDS}


def _quarantine_detail(entry: quarantined.Contents) -> dict[str, Any]:
    return {
        **_quarantine_row(entry),
        "properties": entry.properties,
        "body": _readable(entry.body),
    }


def _readable(body: bytes) -> str:
    return body.decode("utf-8", errors="backslashreplace")
