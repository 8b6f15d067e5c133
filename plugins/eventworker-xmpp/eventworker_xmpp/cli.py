"""The command ``eventworker-xmpp``."""

from __future__ import annotations

import asyncio
import signal
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from oslo_config import cfg
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from eventworker import migrations
from eventworker.cli import logs
from eventworker.cli.conf import add_arguments, load
from eventworker.config import as_config_error
from eventworker.db import build_engine, first_line, short_transaction
from eventworker.errors import ConfigError, EventworkerError
from eventworker.pubsub.deliveries import remove
from eventworker.pubsub.tables import listener_table
from eventworker.secret import hidden
from eventworker_xmpp.component import LISTENER, Component
from eventworker_xmpp.configured import options_of
from eventworker_xmpp.options import Options

_PROGRAM = "eventworker-xmpp"


def parser() -> ArgumentParser:
    """The command line."""
    top = ArgumentParser(
        prog=_PROGRAM,
        description="Connects eventworker's publish-subscribe service to an XMPP server, as an "
        "external component (XEP-0114). The daemon does the same by itself where [xmpp] secret is "
        "set; this is for running it alone.",
        epilog="Signals: SIGTERM and SIGINT answer what has arrived and end. Exit codes: 0 "
        "stopped, 1 refused by the XMPP server or no database, 2 wrong configuration. Example: "
        "%(prog)s --config-file /etc/eventworker/eventworker.conf",
    )
    add_arguments(top)
    top.add_argument("--debug", action="store_true", help="log at DEBUG")
    top.add_argument(
        "verb",
        nargs="?",
        default="run",
        choices=["run", "retire"],
        help="run (the default): be the component until told to stop; retire: owe XMPP clients no "
        "more notifications, until the component is started again",
    )
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    given = parser().parse_args(arguments)
    logs.guard_tracebacks()
    try:
        conf = load(given.config_file, given.config_dir)
        if given.debug:
            conf.set_override("debug", True)
        logs.setup(conf, program=_PROGRAM)
        return _retire(conf) if given.verb == "retire" else _run(conf, given)
    except cfg.Error as error:
        return _failed(str(as_config_error(error)), 2)
    except ConfigError as error:
        return _failed(str(error), 2)
    except EventworkerError as error:
        return _failed(str(error), 1)
    except DBAPIError as error:
        return _failed(first_line(error), 1)


def _run(conf: cfg.ConfigOpts, given: Namespace) -> int:
    options = options_of(conf)
    asyncio.run(_component(conf, options), debug=False)
    return 0


async def _component(conf: cfg.ConfigOpts, options: Options) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    engine = build_engine(
        conf.database.connection,
        pool_size=options.threads,
        silence_timeout=conf.database.silence_timeout,
    )
    try:
        migrations.check(engine)
        await Component(options, engine).run(stopping)
    finally:
        engine.dispose()


def _retire(conf: cfg.ConfigOpts) -> int:
    engine = build_engine(conf.database.connection)
    try:
        migrations.check(engine)
        with short_transaction(engine) as connection:
            name = listener_table.c.name == LISTENER
            listener = connection.scalar(select(listener_table.c.id).where(name))
            if listener is not None:
                remove(connection, listener)
    finally:
        engine.dispose()
    sys.stdout.write("there was nothing to retire\n" if listener is None else "retired\n")
    return 0


def _failed(reason: str, code: int) -> int:
    sys.stderr.write(f"{_PROGRAM}: {logs.escaped(hidden(reason))}\n")
    return code
