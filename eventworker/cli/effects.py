"""``eventworker effects``: what plugins are still to do outside the database."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from eventworker.cli import conf, output
from eventworker.cli.arguments import Verbs, add_group, add_verb, positive
from eventworker.cli.choosing import Kind, add_discarding, add_filters, carry_out, is_by_id
from eventworker.cli.database import engine_of
from eventworker.db import refusals, short_transaction
from eventworker.effects import operations
from eventworker.effects.effect import decode, key_of
from eventworker.effects.operations import Selection
from eventworker.effects.table import effect_table
from eventworker.errors import EventworkerError
from eventworker.inbox import registry
from eventworker.inbox.operations.selection import plugin_number

_COLUMNS = ("id", "state", "key", "attempts", "due_at", "error")
_STATES = ("pending", "retry", "dead", "all")
_EFFECTS = Kind("effect", "effects", ("state", "plugin", "event", "since"))


def add(verbs: Verbs) -> None:
    """The verbs of ``eventworker effects``."""
    group = add_group(
        verbs, "effects", "look at effects outside the database that are not done, and retry them"
    )
    listed = add_verb(
        group,
        "list",
        _list,
        help="list effects that are not done, newest first",
        more="An effect is pending (not tried yet), retry (failed, due again) or dead (given up). "
        "Its key is what the other side is told: event, plugin and number.",
        example="eventworker effects list --state dead --plugin mailer --since 2d",
    )
    _add_filters(listed)
    listed.add_argument(
        "--limit", type=positive, default=100, metavar="N", help="longest list (default: 100)"
    )
    show = add_verb(
        group,
        "show",
        _show,
        help="show one effect with its payload, its error and the traceback",
        example="eventworker effects show 17",
    )
    show.add_argument("id", metavar="ID", type=_number, help="17")
    retry = add_verb(
        group,
        "retry",
        _retry,
        help="perform effects at once, with all attempts",
        more="Choose by id or by filters; all is done in one transaction.",
        example="eventworker effects retry --state dead --plugin mailer --dry-run",
    )
    discard = add_verb(
        group,
        "discard",
        _discard,
        help="give effects up for good",
        more="They are deleted and never performed. Choose by id or by filters; all is done in one "
        "transaction.",
        example="eventworker effects discard 17 18 --reason 'test data'",
    )
    for each in (retry, discard):
        each.add_argument("ids", nargs="*", metavar="ID", type=_number, help="17")
        _add_filters(each)
        each.add_argument("--dry-run", action="store_true", help="only say how many it would be")
    add_discarding(discard)


def _add_filters(parser: argparse.ArgumentParser) -> None:
    event = {"type": _uuid, "metavar": "UUID", "help": "only those that this event has caused"}
    add_filters(parser, _STATES, event=event)


def _number(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**63:
        raise argparse.ArgumentTypeError(f"{text!r} is no id such as 17")
    return int(text)


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no id of an event") from None


def _selection(connection: Connection, arguments: argparse.Namespace) -> Selection:
    plugin = arguments.plugin
    return Selection(
        states=() if arguments.state in (None, "all") else (arguments.state,),
        plugin=None if plugin is None else plugin_number(connection, plugin),
        event_id=arguments.event,
        since=arguments.since,
    )


def _list(arguments: argparse.Namespace) -> int:
    with engine_of(conf.of(arguments)) as engine, short_transaction(engine) as connection:
        found = operations.effects(connection, _selection(connection, arguments), arguments.limit)
        names = _names(connection)
    rows = [_row(each, names) for each in found]
    output.show_list(rows, _COLUMNS, arguments.output)
    if len(rows) == arguments.limit:
        print(f"eventworker: --limit {arguments.limit}: there may be more", file=sys.stderr)
    return 0


def _names(connection: Connection) -> dict[int, str]:
    return {each.number: each.name for each in registry.read(connection)}


def _row(effect: operations.Listed, names: dict[int, str]) -> dict[str, Any]:
    name = names[effect.plugin]
    return {**asdict(effect), "plugin": name, "key": key_of(effect.event_id, name, effect.n)}


def _show(arguments: argparse.Namespace) -> int:
    with engine_of(conf.of(arguments)) as engine, short_transaction(engine) as connection:
        effect = operations.effect(connection, arguments.id)
        names = _names(connection)
    if effect is None:
        raise EventworkerError(f"there is no effect {arguments.id}")
    fields = _row(effect, names)
    payload = decode(fields.pop("payload"), fields.pop("shared"))
    output.show_one({**fields, "payload": payload}, arguments.output)
    return 0


@dataclass(frozen=True, slots=True)
class _Verb:
    """What is done to effects at rest in ``states``."""

    done: str
    states: tuple[str, ...]
    run: Callable[[Connection, Selection], int]


_RETRY = _Verb("due now", operations.RETRYABLE, operations.retry)
_DISCARD = _Verb("discarded", operations.DISCARDABLE, operations.discard)


def _retry(arguments: argparse.Namespace) -> int:
    return _run(arguments, _RETRY, careful=False)


def _discard(arguments: argparse.Namespace) -> int:
    return _run(arguments, _DISCARD, careful=not arguments.yes and sys.stdin.isatty())


def _run(arguments: argparse.Namespace, verb: _Verb, *, careful: bool) -> int:
    by_id = is_by_id(arguments, _EFFECTS)

    def work_of(connection: Connection, _: object) -> _Work:
        if by_id:
            return _Work(connection, verb, Selection(ids=tuple(arguments.ids)))
        return _Work(connection, verb, _selection(connection, arguments))

    return carry_out(arguments, _EFFECTS, verb.done, work_of, careful=careful)


class _Work:
    """One verb on what was chosen, inside one transaction."""

    def __init__(self, connection: Connection, verb: _Verb, selection: Selection) -> None:
        self._connection = connection
        self._verb = verb
        self._selection = selection
        reasons = refusals(connection, effect_table, selection.ids, verb.states, "effect")
        self.refused = {str(number): reason for number, reason in reasons.items()}

    @property
    def size(self) -> int:
        return self.rehearse()

    def rehearse(self) -> int:
        return operations.count(self._connection, self._selection, self._verb.states)

    def run(self) -> int:
        return self._verb.run(self._connection, self._selection)
