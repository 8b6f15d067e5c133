"""Verbs on many rows, which are chosen by id or by filters: deliveries and effects."""

from __future__ import annotations

import argparse
import getpass
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from oslo_config import cfg
from sqlalchemy import Connection

from eventworker.cli import conf, output
from eventworker.cli.arguments import UsageError, since
from eventworker.cli.database import engine_of
from eventworker.cli.logs import AUDIT, escaped
from eventworker.db import short_transaction

audit = logging.getLogger(AUDIT)


@dataclass(frozen=True, slots=True)
class Kind:
    """What kind of rows is chosen.

    :ivar filters: the names of the filters, in the order of the help.
    """

    one: str
    many: str
    filters: tuple[str, ...]

    def plural(self, number: int) -> str:
        return output.plural(number, self.one, self.many)


def add_filters(parser: argparse.ArgumentParser, states: tuple[str, ...], **own: Any) -> None:
    """The filters that rows of every kind have, and ``own`` of this kind: name to help."""
    parser.add_argument("--state", choices=states, help="only in this state")
    parser.add_argument("--plugin", metavar="NAME", help="only of this plugin")
    for name, more in own.items():
        parser.add_argument(f"--{name}", **more)
    parser.add_argument(
        "--since",
        type=since,
        metavar="WHEN",
        help="only of that age or younger: 30m, 2h, 7d, or a time such as 2026-11-21T07:00:00Z",
    )


def add_discarding(parser: argparse.ArgumentParser) -> None:
    """What only ``discard`` has."""
    parser.add_argument("--reason", metavar="TEXT", help="why; it goes into the log")
    parser.add_argument(
        "--yes", action="store_true", help="needed at a terminal when filters choose more than one"
    )


def is_by_id(arguments: argparse.Namespace, kind: Kind) -> bool:
    """Whether ids choose, rather than filters.

    :raises UsageError: when both do, or neither.
    """
    filtered = any(getattr(arguments, name) is not None for name in kind.filters)
    if arguments.ids and filtered:
        raise UsageError("choose either by id or by filters, not by both")
    if not arguments.ids and not filtered:
        *names, last = (f"--{name}" for name in kind.filters)
        raise UsageError(f"name {kind.many} by id, or choose them by {', '.join(names)} or {last}")
    return bool(arguments.ids)


class Work(Protocol):
    """One verb on what was chosen, inside one transaction.

    :ivar refused: what was named and is left alone, with the reason.
    """

    refused: dict[str, str]

    @property
    def size(self) -> int:
        """How many are chosen."""

    def rehearse(self) -> int:
        """How many :meth:`run` would change."""

    def run(self) -> int:
        """Do it; returns how many were changed."""


def carry_out(
    arguments: argparse.Namespace,
    kind: Kind,
    done: str,
    work_of: Callable[[Connection, cfg.ConfigOpts], Work],
    *,
    careful: bool,
) -> int:
    """Do the work, or with ``--dry-run`` only say how much it is; returns the exit code.

    :param done: what the rows are then.
    :param careful: refuse to change more than one that filters have chosen.
    """
    with engine_of(loaded := conf.of(arguments)) as engine, short_transaction(engine) as connection:
        work = work_of(connection, loaded)
        if careful and not arguments.ids and not arguments.dry_run and work.size > 1:
            raise UsageError(
                f"{kind.plural(work.size)} would be {done}; add --yes if that is meant"
            )
        changed = work.rehearse() if arguments.dry_run else work.run()
    for name, reason in work.refused.items():
        print(f"eventworker: {name}: {escaped(reason)}", file=sys.stderr)
    if changed and not arguments.dry_run:
        _log(arguments, kind, done, changed)
    verb = "would be" if arguments.dry_run else "is" if changed == 1 else "are"
    output.say(
        f"{kind.plural(changed)} {verb} {done}",
        {"changed": changed, "refused": work.refused, "dry_run": arguments.dry_run},
        arguments.output,
    )
    return 1 if work.refused else 0


def _log(arguments: argparse.Namespace, kind: Kind, done: str, changed: int) -> None:
    given = {f"chosen_{name}": getattr(arguments, name) for name in kind.filters}
    given["chosen_ids"] = " ".join(str(each) for each in arguments.ids) or None
    given["reason"] = getattr(arguments, "reason", None) or None
    audit.info("%s %s: %d", kind.many, done, changed, extra={"user": user(), **given})


def user() -> str:
    """Who runs this command, for those who read the log."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return str(os.getuid())
