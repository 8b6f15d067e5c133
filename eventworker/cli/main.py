"""``eventworker``: everything that is not the daemon, as verbs.

Exit codes: 0 done; 1 it could not be done, or not all of it; 2 the command line or the
configuration is wrong.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from oslo_config import cfg

from eventworker import __version__
from eventworker.cli import (
    config,
    db,
    deliveries,
    effects,
    erase,
    outbox,
    plugins,
    publish,
    pubsub,
    spool,
)
from eventworker.cli.arguments import INTERRUPTED, UsageError, add_common
from eventworker.cli.logs import escaped, traceback_of
from eventworker.config import as_config_error
from eventworker.errors import ConfigError, EventworkerError
from eventworker.secret import hidden


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="eventworker",
        description="Look after eventworker: its tables, plugins, deliveries and configuration. "
        "The daemon itself is storyboard-worker-daemon.",
        epilog="Exit codes: 0 done, 1 not or not all done, 2 wrong command line or configuration. "
        "Each verb explains itself with --help.",
    )
    top.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    add_common(top, verb=False)
    verbs = top.add_subparsers(metavar="VERB", required=True)
    for module in (db, config, plugins, deliveries, effects, outbox, publish, spool, pubsub, erase):
        module.add(verbs)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    options = parser().parse_args(arguments)
    try:
        code: int = options.run(options)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader has gone, as `| head` does. Python flushes once more at its end, into this.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except cfg.Error as error:
        return _refuse(as_config_error(error), options.debug)
    except EventworkerError as error:
        return _refuse(error, options.debug)
    except Exception as error:
        if options.debug:
            print(traceback_of(error), file=sys.stderr)
        wrapped = EventworkerError(
            f"{type(error).__name__}: {error} (a fault of eventworker; --debug shows where)"
        )
        return _refuse(wrapped, debug=False)


def _refuse(error: EventworkerError, debug: bool) -> int:
    if debug:
        print(traceback_of(error), file=sys.stderr)
    print(f"eventworker: {escaped(' '.join(hidden(str(error)).split()))}", file=sys.stderr)
    return 2 if isinstance(error, ConfigError | UsageError) else 1


if __name__ == "__main__":
    raise SystemExit(main())
