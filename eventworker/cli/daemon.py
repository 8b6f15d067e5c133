"""``storyboard-worker-daemon``: reads the command line, looks before it leaps, and supervises."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from typing import Any

from oslo_config import cfg

from eventworker import __version__, links
from eventworker.cli import conf as configuration
from eventworker.cli import logs, readable
from eventworker.engine.child import signals_held
from eventworker.engine.preflight import preflight
from eventworker.engine.supervisor import Supervisor
from eventworker.errors import ConfigError
from eventworker.secret import hidden

log = logging.getLogger(__name__)

_PROGRAM = "storyboard-worker-daemon"


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_PROGRAM,
        description="Hands every event of the queue to every enabled worker plugin.",
        epilog="Signals: SIGTERM and SIGINT finish what is in hand and end (a second one ends at "
        "once); SIGHUP reads the configuration file again: debug, and which plugins are on. "
        "Exit codes: 0 stopped or switched off, 1 cannot start, 2 wrong configuration. "
        "Example: %(prog)s --config-file /etc/eventworker/eventworker.conf --worker-count 4",
    )
    configuration.add_arguments(parser)
    parser.add_argument(
        "--worker-count",
        type=_positive,
        metavar="N",
        help="number of consumer processes (default: worker_count of the configuration, 5)",
    )
    parser.add_argument("--debug", action="store_true", help="log at DEBUG")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1 process is needed")
    return number


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the daemon; returns its exit code."""
    options = parser().parse_args(arguments)
    logs.guard_tracebacks()
    try:
        # The global object: plugins written for StoryBoard register their options on cfg.CONF, and
        # expect self.config to be that one.
        conf = configuration.load(options.config_file, options.config_dir, into=cfg.CONF)
        if options.debug:
            conf.set_override("debug", True)
        logs.setup(conf, program=_PROGRAM)
    except ConfigError as error:
        return _refuse(str(error), 2)
    conf.register_mutate_hook(_apply_log_level)
    if not conf.enable_notifications:
        _say("enable_notifications is False in [DEFAULT], so there is nothing to do")
        return 0
    try:
        links.check(conf)
    except ConfigError as error:
        return _refuse(str(error), 2)
    for warning in (*links.warnings(conf), *readable.warnings(conf)):
        log.warning("%s", warning)
    with signals_held():  # the preflight looks for them itself, then the supervisor takes over
        report = preflight(conf)
        if report.error:
            return _refuse(report.error, report.exit_code)
        names = ", ".join(report.plugins) or "none here"
        log.info("%s %s: plugins %s", _PROGRAM, __version__, names)
        return Supervisor(conf, report, options.worker_count or conf.worker_count).run()


def _apply_log_level(conf: Any, _fresh: Any) -> None:
    logging.getLogger().setLevel(logging.DEBUG if conf.debug else logging.INFO)


def _refuse(reason: str, code: int) -> int:
    _say(reason)
    return code


def _say(text: str) -> None:
    print(f"{_PROGRAM}: {logs.escaped(hidden(text))}", file=sys.stderr)


if __name__ == "__main__":
    raise SystemExit(main())
