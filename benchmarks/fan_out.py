"""One event to many followers: the subscription plugin beside the same statement typed into psql.

``python -m benchmarks.fan_out`` starts a private PostgreSQL (``make servers`` finds it), has users
follow a story, and times in turns the plugin's ``handle`` with its commit, and psql with the very
INSERT ... SELECT that the plugin had sent. The table of notifications is emptied before each. Shown
are the seconds of both, their ratio, and by how much this process grew: the rows never pass it.
"""

from __future__ import annotations

import argparse
import re
import resource
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

import psycopg
from oslo_config import cfg
from sqlalchemy import Engine, text
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy.orm import Session

from benchmarks import figures
from eventworker import Event, config, migrations
from eventworker.db import build_engine
from eventworker.workers.subscription import SubscriptionWorker
from tests.servers import PostgresServer
from tests.servers.programs import programs_of

FOLLOW = """
INSERT INTO eventworker_subscription (user_id, target_type, target_id, created_at)
SELECT number::text, 'story', :story, now() FROM generate_series(1, :followers) AS number
"""
INSERTS = "INSERT INTO eventworker_notification"


def plugin_with_defaults() -> SubscriptionWorker:
    """The plugin as it is without any option."""
    conf = cfg.ConfigOpts()
    config.plugin_group(conf, "subscription", SubscriptionWorker.options)
    conf(args=[], default_config_files=[], default_config_dirs=[])
    return SubscriptionWorker(conf)


def empty(engine: Engine) -> None:
    """No notification is left, nor any trace of one."""
    with engine.begin() as connection:
        connection.execute(text("TRUNCATE eventworker_notification"))


def count(engine: Engine) -> int:
    """Notifications."""
    with engine.connect() as connection:
        found = connection.execute(text("SELECT count(*) FROM eventworker_notification"))
        return int(found.scalar_one())


def by_plugin(engine: Engine, plugin: SubscriptionWorker, story: int) -> float:
    """Seconds of one event."""
    event = Event(
        author_id=0, method="PUT", resource="story", resource_id=story, resource_after={"a": 1}
    )
    started = time.perf_counter()
    with Session(engine) as session:
        plugin.handle(session=session, event=event)
        session.commit()
    return time.perf_counter() - started


def by_psql(psql: str, env: dict[str, str], url: str, statement: str) -> float:
    """Seconds of BEGIN, the statement and COMMIT, as psql tells them."""
    script = f"\\timing on\nBEGIN;\n{statement};\nCOMMIT;\n"
    done = subprocess.run(
        [psql, "-X", "-v", "ON_ERROR_STOP=1", url.replace("+psycopg", "")],
        input=script,
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    return sum(float(each) for each in re.findall(r"^Time: ([\d.]+) ms", done.stdout, re.M)) / 1000


def resident() -> float:
    """The most memory that this process ever had, in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Measure in turns and print one line for each number of followers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    sizes = [1, 1000, 100_000, 1_000_000]
    parser.add_argument("--followers", type=int, nargs="+", default=sizes)
    parser.add_argument("--rounds", type=int, default=3, help="runs of each")
    parser.add_argument("--psql", help="the program, if it is not beside the server's")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the table as JSON, too")
    options = parser.parse_args()
    rows: list[dict[str, str | float]] = []
    programs = programs_of("postgresql")
    psql = options.psql or str(Path(programs["postgres"]).parent / "psql")
    print(f"{'followers':>10}{'plugin s':>10}{'psql s':>10}{'ratio':>7}{'grew MB':>9}")
    with PostgresServer({"max_wal_size": "4GB"}) as postgres:
        url = postgres.createdb()
        engine = build_engine(url)
        migrations.upgrade(engine)
        plugin = plugin_with_defaults()
        sent: list[str] = []

        def note(_connection: Any, cursor: Any, statement: str, values: Any, *_rest: Any) -> None:
            if statement.startswith(INSERTS):
                sent[:] = [psycopg.ClientCursor(cursor.connection).mogrify(statement, values)]

        sqlalchemy_event.listen(engine, "before_cursor_execute", note)
        for story, followers in enumerate(options.followers):
            with engine.begin() as connection:
                connection.execute(text(FOLLOW), {"story": str(story), "followers": followers})
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.execute(text("VACUUM ANALYZE eventworker_subscription"))
            taken: dict[str, list[float]] = {"plugin": [], "psql": []}
            before = resident()
            for turn in range(options.rounds + 1):
                for name, each in taken.items():
                    empty(engine)
                    if name == "plugin":
                        took = by_plugin(engine, plugin, story)
                    else:
                        took = by_psql(psql, programs.env, url, sent[0])
                    found = count(engine)
                    assert found == followers, f"{name}: {found} of {followers} notifications"
                    if turn:  # the first of each finds cold caches and statements to be built
                        each.append(took)
            mine, typed = (statistics.median(each) for each in taken.values())
            grew, ratio = resident() - before, mine / typed
            print(f"{followers:>10}{mine:10.4f}{typed:10.4f}{ratio:7.2f}{grew:9.1f}", flush=True)
            row = {"plugin s": mine, "psql s": typed, "ratio": ratio, "grew MB": grew}
            rows.append({"Followers": followers, **row})
        engine.dispose()
    if options.out:
        figures.write(options.out, "fan-out", rows)


if __name__ == "__main__":
    main()
