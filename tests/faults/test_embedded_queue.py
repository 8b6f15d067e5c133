"""One SQLite file as database and queue: several daemons on it, and what may hold it up."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests.acceptance.site import Site
from tests.faults.scene import PLUGINS, Scene
from tests.servers import wait_until
from tests.servers.programs import programs_of

pytestmark = pytest.mark.parametrize("sql_site", ["sqlite_database"], indirect=True)
RECOVERED = 10.0
#: Pages of 4096 bytes, from which SQLite empties its log into the file.
CHECKPOINT = 1000


def file_of(site: Site) -> Path:
    return Path(str(make_url(site.url).database))


@contextmanager
def transaction(site: Site, begin: str) -> Iterator[sqlite3.Connection]:
    """Somebody else's, for the length of the block."""
    with closing(sqlite3.connect(file_of(site), isolation_level=None)) as connection:
        connection.execute(begin)
        yield connection
        connection.execute("ROLLBACK")


def test_f43_two_daemons_on_one_file(make_scene: Callable[..., Scene], sql_site: Site) -> None:
    """As many processes as two hosts would have; one of them dies without a word."""
    scene = make_scene("F43", sql_site)
    first, second = scene.start(workers=3), scene.start(workers=3)
    with scene.producer.stream(rate=60, count=100_000):
        wait_until(lambda: scene.probe.effect_count() >= 150, 30, "nothing is handled")
        first.kill()
        wait_until(lambda: not first.survivors(), 10, "its consumers outlive it")
        scene.prove("SIGKILL to one of two daemons")
        goal = scene.probe.effect_count() + 60
        wait_until(lambda: scene.probe.effect_count() >= goal, 30, "the other does not go on")
    assert len(second.children("consumer")) == 3
    third = scene.start(workers=1)
    third.says("is process")
    scene.healed()
    scene.judge(within=20)


def test_f43_a_file_that_somebody_has_locked_costs_no_attempt(
    make_scene: Callable[..., Scene], sql_site: Site
) -> None:
    """For longer than a writer waits, so that "database is locked" is what everybody hears."""
    sql_site.configure(**{f"plugin_{name}": {"max_attempts": 1} for name in PLUGINS})
    scene = make_scene("F43", sql_site)
    sql_site.configure(**{f"plugin_{name}": {"handler_timeout": 60} for name in PLUGINS})
    daemon = scene.start(workers=2)
    scene.producer.produce(50)
    wait_until(lambda: scene.probe.effect_count() >= 6, 20, "nothing is handled")
    with transaction(sql_site, "BEGIN IMMEDIATE"):
        scene.says(daemon, "database is locked", timeout=60)
    scene.healed()
    assert scene.judge(within=RECOVERED).dead == 0


def test_f43_a_long_reader_lets_the_log_grow_and_nothing_else(
    make_scene: Callable[..., Scene], sql_site: Site
) -> None:
    """What was written since a reader began cannot go into the file before it ends."""
    scene = make_scene("F43", sql_site)
    scene.start(workers=2)
    wal = Path(f"{file_of(sql_site)}-wal")
    with transaction(sql_site, "BEGIN") as reader:
        reader.execute("SELECT count(*) FROM probe_effect").fetchone()
        rounds = 0
        while wal.stat().st_size < 2 * CHECKPOINT * 4096 and rounds < 20:
            scene.producer.produce(100)
            scene.drained()
            rounds += 1
        size = wal.stat().st_size
        assert size >= 2 * CHECKPOINT * 4096, "the reader keeps nothing"
        scene.prove(f"a log of {size // 4096} pages")
    scene.healed()
    scene.producer.produce(100)
    scene.drained()
    wait_until(lambda: _left_in_log(sql_site) < CHECKPOINT, 20, "the log is never emptied")
    scene.judge(within=RECOVERED)


def _left_in_log(site: Site) -> int:
    """Pages of the log that are not in the file."""
    with closing(sqlite3.connect(file_of(site))) as connection:
        _busy, written, done = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return int(written) - int(done)


COMMIT = """
import os, sys
from sqlalchemy import text
from eventworker.db import build_engine
engine = build_engine(sys.argv[1])
with engine.connect() as connection:
    for number in range(3):
        connection.execute(text("INSERT INTO probe_lasting VALUES (:n)"), {"n": number})
        os.write(2, b"COMMIT begins")
        connection.commit()
        os.write(2, b"COMMIT returned")
"""


def test_f43_a_commit_that_returned_is_on_the_disk(sql_site: Site, tmp_path: Path) -> None:
    """A killed process shows nothing of that, since the kernel keeps its pages; the order of the
    system calls does."""
    sql_site.probe.execute("CREATE TABLE probe_lasting (n INTEGER NOT NULL)")
    trace = tmp_path / "trace"
    strace = programs_of("strace")
    watch = [strace["strace"], "-f", "-e", "trace=fsync,fdatasync,pwrite64,write", "-o", trace]
    done = subprocess.run(
        [*watch, sys.executable, "-c", COMMIT, sql_site.url], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    spans = trace.read_text().split("COMMIT begins")[1:]
    assert len(spans) == 3
    for span in spans:
        within = span.partition("COMMIT returned")[0]
        assert within.rfind("sync(") > within.rfind("pwrite64("), f"not on the disk:\n{within}"
