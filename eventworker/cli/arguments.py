"""What the verbs' arguments have in common."""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from eventworker.cli import conf, output
from eventworker.db import Since
from eventworker.errors import EventworkerError

Verbs = Any  # argparse does not name the type of add_subparsers()
Run = Callable[[argparse.Namespace], int]

#: Exit code after Ctrl-C, as a shell reports it.
INTERRUPTED = 130


class UsageError(EventworkerError):
    """The command line contradicts itself, in a way that argparse cannot see."""


_WIDTH = 79
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
#: Longer ones would leave the calendars of some databases.
_LONGEST = timedelta(days=36500)
_DURATION = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>[smhdw])")


def since(text: str) -> Since:
    """``2h``, ``7d``: so long ago; or an ISO date or time, in UTC where it names no zone."""
    try:
        if match := _DURATION.fullmatch(text):
            ago = timedelta(**{_UNITS[match["unit"]]: float(match["number"])})
            return min(ago, _LONGEST)
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a duration such as 30m, 2h or 7d "
            "nor a time such as 2026-11-21T07:00:00Z"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def positive(text: str) -> int:
    """A whole number above zero."""
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above zero")
    return number


def add_common(parser: argparse.ArgumentParser, *, verb: bool = True) -> None:
    """The options that may stand before the verb or after it."""

    def default(value: Any) -> Any:
        # After the verb, an option that is not given must not undo the one given before it.
        return argparse.SUPPRESS if verb else value

    group = parser.add_argument_group("common options")
    conf.add_arguments(group, default([]))
    group.add_argument(
        "-O",
        "--output",
        choices=output.FORMATS,
        default=default("table"),
        help="how to print what was found (default: table)",
    )
    group.add_argument(
        "--debug",
        action="store_true",
        default=default(False),
        help="log at DEBUG and show tracebacks on standard error",
    )


def add_verb(
    verbs: Verbs,
    name: str,
    run: Run,
    *,
    help: str,
    example: str,
    more: str = "",
) -> argparse.ArgumentParser:
    """A verb's parser.

    :param help: what it does, in a line.
    :param more: sentences that its own help adds; ``example`` ends it.
    """
    about = f"{help[0].upper()}{help[1:]}. {more}"
    parser: argparse.ArgumentParser = verbs.add_parser(
        name,
        help=help,
        description=textwrap.fill(about, _WIDTH),
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    add_common(parser)
    return parser


def add_group(verbs: Verbs, name: str, help: str, *, also: str = "") -> Verbs:
    """A word that needs a second one, such as ``db``.

    :param also: another spelling of it.
    """
    parser = verbs.add_parser(
        name,
        help=help,
        description=f"{help[0].upper()}{help[1:]}.",
        aliases=[also] if also else [],
    )
    return parser.add_subparsers(metavar="VERB", required=True)
