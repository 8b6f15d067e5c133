"""``eventworker deliveries retry`` and ``discard``."""

from __future__ import annotations

import argparse
import getpass
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from eventworker.cli import conf, output
from eventworker.cli.database import engine_of
from eventworker.cli.logs import AUDIT, escaped
from eventworker.db import short_transaction
from eventworker.errors import ConfigError, EventworkerError
from eventworker.inbox.operations import quarantined, replay
from eventworker.inbox.operations.selection import Selection, Since, count, refusals

audit = logging.getLogger(AUDIT)


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
    :ivar quarantine: whether entries in quarantine are chosen: ``entries``, or those since then.
    """

    deliveries: Selection | None
    quarantine: bool
    since: Since | None = None
    entries: tuple[int, ...] = ()
    by_id: bool = False


def chosen(arguments: argparse.Namespace, states: tuple[str, ...]) -> Chosen:
    """What the filters of a command line choose among the states that a verb takes."""
    state = arguments.state
    about_events = arguments.plugin is not None or arguments.resource is not None
    # Bytes that are no event have neither a plugin nor a resource.
    quarantine = state == "quarantined" or (state in (None, "all") and not about_events)
    if state == "quarantined" and about_events:
        raise ConfigError("what is quarantined has no plugin and no resource to choose by")
    selection = Selection(
        states=(state,) if state not in (None, "all") else states,
        plugin=arguments.plugin,
        resource=arguments.resource,
        since=arguments.since,
    )
    return Chosen(None if state == "quarantined" else selection, quarantine, arguments.since)
