"""No space left: for the database, for its WAL, for SQLite's file, for the log.

On a small file system of each test's own, which only root can mount.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tests.acceptance.fixtures import make_tables
from tests.acceptance.installation import Installation
from tests.acceptance.site import Site
from tests.faults.scene import PLUGINS, Scene
from tests.servers import PostgresServer, wait_until
from tests.servers.process import give_away

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file system")
RECOVERED = 10.0
MEGABYTE = 2**20


class Disk:
    """A file system of a few megabytes in memory."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"
        folder.mkdir(exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
        subprocess.run(command, check=True)

    def fill(self, but: int = 0) -> None:
        """Take all the space that is left, but for so many bytes."""
        left = os.statvfs(self.folder)
        wanted = left.f_bavail * left.f_frsize - but
        with suppress(OSError), self._ballast.open("ab") as file:
            while wanted > 0:
                file.write(bytes(min(wanted, 65536)))
                file.flush()
                wanted -= 65536

    def free(self) -> None:
        self._ballast.unlink()

    def close(self) -> None:
        subprocess.run(["umount", "-l", str(self.folder)], check=True)


@pytest.fixture
def make_disk(tmp_path: Path) -> Iterator[Callable[..., Disk]]:
    disks: list[Disk] = []

    def make(folder: Path, megabytes: int) -> Disk:
        disks.append(Disk(folder, megabytes))
        return disks[-1]

    yield make
    for disk in disks:
        disk.close()


def frugal(scene: Scene) -> Scene:
    """One attempt is all that there is."""
    scene.site.configure(**{f"plugin_{name}": {"max_attempts": 1} for name in PLUGINS})
    return scene


def test_f25_a_database_whose_tables_find_no_space(
    make_scene: Callable[..., Scene],
    own_postgres_server: Callable[..., PostgresServer],
    make_disk: Callable[..., Disk],
    make_site: Callable[..., Site],
    installation: Installation,
    request: pytest.FixtureRequest,
) -> None:
    """A plugin's tablespace on a full disk; all else has room, so that its events are put off."""
    server = own_postgres_server()
    disk = make_disk(server.home / "small", 24)
    give_away(disk.folder)
    site = make_site(server.createdb("site"), request.getfixturevalue("vhost"))
    site.probe.execute(f"CREATE TABLESPACE small LOCATION '{disk.folder}'")
    make_tables(installation, site.url, site.folder)
    site.probe.execute("ALTER TABLE probe_effect SET TABLESPACE small")
    scene = frugal(make_scene("F25", site))
    site.configure(DEFAULT={"default_log_levels": "pika=CRITICAL"})
    daemon = scene.start(workers=2)
    scene.producer.produce(20)
    scene.drained()
    disk.fill()
    scene.producer.produce(300)
    scene.says(daemon, "No space left on device")
    wait_until(lambda: len(scene.probe.deliveries()) >= 20, 30, "nothing is put off")
    disk.free()
    scene.healed()
    assert scene.judge(within=20).dead == 0


def is_up(server: PostgresServer) -> bool:
    """After a panic it may have recovered by itself, or have ended for good."""
    if not server.process.alive():
        server.start()
    try:
        server.execute(sql.SQL("SELECT 1").format())
    except psycopg.OperationalError:
        return False
    return True


def test_f25_a_database_whose_wal_finds_no_space(
    make_scene: Callable[..., Scene],
    own_postgres_server: Callable[..., PostgresServer],
    make_disk: Callable[..., Disk],
    make_site: Callable[..., Site],
    installation: Installation,
    request: pytest.FixtureRequest,
) -> None:
    """PostgreSQL panics then, and does not start until there is space again."""
    server = own_postgres_server({"min_wal_size": "32MB", "max_wal_size": "32MB"})
    site = make_site(server.createdb("site"), request.getfixturevalue("vhost"))
    make_tables(installation, site.url, site.folder)
    server.stop()
    disk = make_disk(server.home / "wal", 112)
    give_away(disk.folder)
    wal = server.data / "pg_wal"
    subprocess.run(["cp", "-a", f"{wal}/.", str(disk.folder)], check=True)
    subprocess.run(["rm", "-r", str(wal)], check=True)
    wal.symlink_to(disk.folder)
    server.start()
    scene = frugal(make_scene("F25", site))
    daemon = scene.start(workers=2)
    scene.producer.produce(20)
    scene.drained()
    disk.fill()
    with scene.producer.stream(rate=30, count=100_000), suppress(Exception):
        # Until the segment is full that is open now.
        site.probe.execute(
            "CREATE TABLE heap AS SELECT repeat('x', 1000) FROM generate_series(1, 60000)"
        )
    log = server.home / "postgres.log"
    wait_until(lambda: "No space left on device" in log.read_text(), 30, "it finds space")
    scene.prove("the server's log: No space left on device")
    scene.says(daemon, "consumption pauses")
    disk.free()
    wait_until(lambda: is_up(server), 30, "it does not come back")
    scene.healed()
    assert scene.judge(within=RECOVERED).dead == 0


def test_f25_sqlite_on_a_full_disk(
    make_scene: Callable[..., Scene],
    make_disk: Callable[..., Disk],
    make_site: Callable[..., Site],
    installation: Installation,
    tmp_path: Path,
) -> None:
    disk = make_disk(tmp_path / "disk", 16)
    site = make_site(f"sqlite:///{disk.folder}/site.sqlite")
    make_tables(installation, site.url, tmp_path)
    scene = frugal(make_scene("F25", site))
    daemon = scene.start(workers=2)
    with scene.producer.stream(rate=50, count=100_000):
        wait_until(lambda: scene.probe.effect_count() >= 60, 30, "nothing is handled")
        disk.fill()
        scene.says(daemon, "database or disk is full", timeout=30)
        daemon.says("consumption pauses", timeout=30)
        disk.free()
        scene.healed()
        daemon.says("the database answers again; consumption goes on")
    assert scene.judge(within=RECOVERED).dead == 0


def test_f25_a_log_that_cannot_be_written_keeps_nobody_from_work(
    make_scene: Callable[..., Scene], site: Site, make_disk: Callable[..., Disk], tmp_path: Path
) -> None:
    disk = make_disk(tmp_path / "logs", 1)
    scene = make_scene("F25", site)
    site.configure(DEFAULT={"log_file": disk.folder / "eventworker.log", "debug": True})
    daemon = scene.start(workers=2, ready=False)
    scene.producer.produce(20)
    scene.drained()
    disk.fill()
    log = disk.folder / "eventworker.log"
    size = log.stat().st_size
    scene.producer.produce(200)
    scene.drained()
    assert log.stat().st_size - size < 8192, "there was space"
    scene.prove("the log did not grow while 200 events were handled")
    assert len(daemon.children("consumer")) <= 2
    disk.free()
    scene.healed()
    scene.producer.produce(20)
    scene.judge(within=RECOVERED)
    assert log.stat().st_size > size
