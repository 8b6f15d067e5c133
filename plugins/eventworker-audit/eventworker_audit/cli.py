"""The command ``eventworker-audit``."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Sequence

from sqlalchemy.exc import DBAPIError

from eventworker.cli.conf import add_arguments, load
from eventworker.db import build_engine, first_line
from eventworker.errors import EventworkerError
from eventworker_audit.schema import upgrade


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is 1 when it failed."""
    parser = ArgumentParser(prog="eventworker-audit", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    add_arguments(commands.add_parser("upgrade", help="create the table or bring it up to date"))
    given = parser.parse_args(arguments)
    try:
        conf = load(given.config_file, given.config_dir)
        engine = build_engine(conf.database.connection)
        try:
            upgrade(engine)
        finally:
            engine.dispose()
    except EventworkerError as error:
        return _failed(str(error))
    except DBAPIError as error:
        return _failed(first_line(error))
    return 0


def _failed(reason: str) -> int:
    sys.stderr.write(f"eventworker-audit: {reason}\n")
    return 1
