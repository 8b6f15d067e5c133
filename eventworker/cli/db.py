"""``eventworker db``: the tables."""

from __future__ import annotations

import argparse
import sys

from eventworker import migrations
from eventworker.cli import conf, output
from eventworker.cli.arguments import Verbs, add_group, add_verb
from eventworker.cli.database import engine_of
from eventworker.db import build_engine


def add(verbs: Verbs) -> None:
    """The verbs of ``eventworker db``."""
    group = add_group(verbs, "db", "make and check eventworker's tables")
    upgrade = add_verb(
        group,
        "upgrade",
        _upgrade,
        help="make the tables, or bring them to what this version needs",
        more="Run it before the daemon of a new version starts. Doing it twice, or on two hosts at "
        "once, does no harm.",
        example="eventworker --config-file /etc/eventworker/eventworker.conf db upgrade",
    )
    upgrade.add_argument(
        "--sql",
        action="store_true",
        help="print the SQL, and neither connect nor run it",
    )
    upgrade.add_argument(
        "--from",
        dest="start",
        metavar="REVISION",
        help="with --sql: the revision that the tables are at (default: there are none)",
    )
    add_verb(
        group,
        "current",
        _current,
        help="show the revision of the tables and the one that this version needs",
        more="Exit code 1 if they differ.",
        example="eventworker db current -O json",
    )


def _upgrade(arguments: argparse.Namespace) -> int:
    loaded = conf.of(arguments)
    if arguments.sql:
        engine = build_engine(loaded.database.connection)  # which does not connect by itself
        sys.stdout.write(migrations.upgrade_sql(engine.dialect.name, arguments.start))
        return 0
    with engine_of(loaded, tables=False) as engine:
        before = migrations.current(engine)
        migrations.upgrade(engine)
        after = migrations.current(engine)
    done = f"the tables are at revision {after}"
    text = f"{done} already" if before == after else f"{done} now, before: {before or 'none'}"
    output.say(text, {"before": before, "current": after}, arguments.output)
    return 0


def _current(arguments: argparse.Namespace) -> int:
    with engine_of(conf.of(arguments), tables=False) as engine:
        current, needed = migrations.current(engine), migrations.head()
    output.show_one({"current": current, "needed": needed}, arguments.output)
    return 0 if current == needed else 1
