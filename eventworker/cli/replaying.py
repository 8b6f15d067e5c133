"""``eventworker deliveries retry`` and ``discard``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass

from oslo_config import cfg
from sqlalchemy import Connection

from eventworker.cli.arguments import UsageError
from eventworker.cli.choosing import Kind, carry_out, is_by_id
from eventworker.db import Since, refusals
from eventworker.inbox.backlog import delivery_table
from eventworker.inbox.operations import quarantined, replay
from eventworker.inbox.operations.selection import Selection, count

#: As they are chosen.
DELIVERIES = Kind("delivery", "deliveries", ("state", "plugin", "resource", "since"))


@dataclass(frozen=True, slots=True)
class Identifier:
    """The number of a delivery, or of an entry in quarantine, which is written with a q."""

    number: int
    quarantined: bool

    def __str__(self) -> str:
        return f"q{self.number}" if self.quarantined else str(self.number)


def identifier(text: str) -> Identifier:
    """``17`` or ``q12``, as ``deliveries list`` shows them."""
    digits = text[1:] if text.startswith("q") else text
    if not digits.isdecimal() or int(digits) >= 2**63:
        raise argparse.ArgumentTypeError(f"{text!r} is no id such as 17 or q12")
    return Identifier(int(digits), text.startswith("q"))


@dataclass(frozen=True, slots=True)
class Chosen:
    """What ids or filters choose.

    :ivar deliveries: None for no delivery at all.
    :ivar entries: entries in quarantine; None for all of them since ``since``.
    """

    deliveries: Selection | None
    entries: tuple[int, ...] | None
    since: Since | None = None
    by_id: bool = False


def by_filters(arguments: argparse.Namespace, *, quarantine: bool) -> Chosen:
    """What the filters of a command line choose.

    :param quarantine: whether the quarantine belongs to it when no state is given.
    """
    state, plugin, resource = arguments.state, arguments.plugin, arguments.resource
    # Bytes that are no event have neither a plugin nor a resource.
    about_events = plugin is not None or resource is not None
    if state == "quarantined" and about_events:
        raise UsageError("what is quarantined has no plugin and no resource to choose by")
    states = () if state in (None, "all") else (state,)
    with_entries = (quarantine and state is None) or state in ("quarantined", "all")
    return Chosen(
        deliveries=None
        if state == "quarantined"
        else Selection(states=states, plugin=plugin, resource=resource, since=arguments.since),
        entries=None if with_entries and not about_events else (),
        since=arguments.since,
    )


def _chosen(arguments: argparse.Namespace) -> Chosen:
    if not is_by_id(arguments, DELIVERIES):
        return by_filters(arguments, quarantine=False)
    numbers = tuple(each.number for each in arguments.ids if not each.quarantined)
    entries = tuple(each.number for each in arguments.ids if each.quarantined)
    return Chosen(Selection(ids=numbers) if numbers else None, entries, by_id=True)


@dataclass(frozen=True, slots=True)
class _Verb:
    """What is done to deliveries at rest in ``states``, and to entries in quarantine.

    ``entry`` and ``entry_refusal`` answer why they leave, or would leave, an entry alone.
    """

    done: str
    states: tuple[str, ...]
    deliveries: Callable[[Connection, Selection], int]
    entry: Callable[[Connection, int, int], str | None]
    entry_refusal: Callable[[Connection, int, int], str | None]


_RETRY = _Verb(
    done="due now",
    states=replay.RETRYABLE,
    deliveries=replay.retry,
    entry=quarantined.retry,
    entry_refusal=quarantined.refusal,
)
_DISCARD = _Verb(
    done="discarded",
    states=replay.DISCARDABLE,
    deliveries=replay.discard,
    entry=lambda connection, number, _: (
        None if quarantined.discard(connection, [number]) else quarantined.GONE
    ),
    entry_refusal=lambda connection, number, _: (
        None if quarantined.contents(connection, number) else quarantined.GONE
    ),
)


def retry(arguments: argparse.Namespace) -> int:
    """Run ``deliveries retry``."""
    return _run(arguments, _RETRY, careful=False)


def discard(arguments: argparse.Namespace) -> int:
    """Run ``deliveries discard``."""
    return _run(arguments, _DISCARD, careful=not arguments.yes and sys.stdin.isatty())


def _run(arguments: argparse.Namespace, verb: _Verb, *, careful: bool) -> int:
    choice = _chosen(arguments)

    def work_of(connection: Connection, loaded: cfg.ConfigOpts) -> _Replaying:
        max_bytes = loaded.notifications.max_event_bytes
        return _Replaying(connection, verb, choice, max_bytes)

    return carry_out(arguments, DELIVERIES, verb.done, work_of, careful=careful)


class _Replaying:
    """One verb on what was chosen, inside one transaction."""

    def __init__(self, connection: Connection, verb: _Verb, choice: Chosen, max_bytes: int) -> None:
        self._connection = connection
        self._verb = verb
        self._deliveries = choice.deliveries
        self._max_bytes = max_bytes
        self._entries = choice.entries
        if self._entries is None:
            self._entries = tuple(quarantined.ids(connection, choice.since))
        self.refused: dict[str, str] = {}
        if choice.by_id and self._deliveries:
            reasons = refusals(
                connection, delivery_table, self._deliveries.ids, verb.states, "delivery"
            )
            self.refused = {str(number): reason for number, reason in reasons.items()}

    @property
    def size(self) -> int:
        """How many are chosen; those that are refused count only among the entries."""
        return self._count() + len(self._entries or ())

    def rehearse(self) -> int:
        """How many :meth:`run` would change."""
        return self._count() + self._each_entry(self._verb.entry_refusal)

    def run(self) -> int:
        """Do it; returns how many were changed."""
        changed = self._each_entry(self._verb.entry)
        if self._deliveries is not None:
            changed += self._verb.deliveries(self._connection, self._deliveries)
        return changed

    def _count(self) -> int:
        if self._deliveries is None:
            return 0
        return count(self._connection, self._deliveries, self._verb.states)

    def _each_entry(self, action: Callable[[Connection, int, int], str | None]) -> int:
        changed = 0
        for number in self._entries or ():
            if reason := action(self._connection, number, self._max_bytes):
                self.refused[f"q{number}"] = reason
            else:
                changed += 1
        return changed
