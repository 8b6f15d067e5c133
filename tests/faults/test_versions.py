"""Two versions at once: of the code, of the tables, and of what travels between them."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pika
import pytest

from tests.acceptance.daemon import Daemon
from tests.acceptance.installation import ROOT, Installation, build_wheels
from tests.acceptance.probe import TABLE
from tests.acceptance.site import EXCHANGE, Site
from tests.faults.scene import Scene
from tests.helpers.events import make_event
from tests.helpers.rabbit import channel_at
from tests.servers import PostgresServer, Vhost, wait_until

MakeScene = Callable[..., Scene]
PROGRAM = "storyboard-worker-daemon"


def before_the_newest_tables(folder: Path) -> Path:
    """The sources as they were before the newest revision of the tables came."""
    newest = max((ROOT / "eventworker/migrations/versions").glob("0*.py"))
    added = git("log", "--diff-filter=A", "--format=%H", "-1", "--", str(newest))
    if not added:
        pytest.skip("needs the repository's history")
    folder.mkdir()
    wanted = git("ls-tree", "--name-only", f"{added}^").split()
    kept = [name for name in wanted if name.startswith(("eventworker", "setup", "README", "LIC"))]
    archive = folder / "sources.tar"
    git("archive", "--output", str(archive), f"{added}^", *kept, "pyproject.toml")
    subprocess.run(["tar", "-xf", archive, "-C", folder], check=True)
    archive.unlink()
    return folder


def git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def older(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """The version before the newest tables, with the same plugins."""
    workshop = tmp_path_factory.mktemp("older")
    sources = before_the_newest_tables(workshop / "sources")
    made = Installation(workshop / "venv")
    made.link_dependencies()
    built = build_wheels({"eventworker": sources}, workshop)
    made.install("--no-deps", built["eventworker"], wheels["eventworker-probes"])
    return made


def test_f37_the_version_before_works_on_while_its_tables_are_upgraded(
    make_scene: MakeScene,
    make_site: Callable[..., Site],
    older: Installation,
    postgres_server: PostgresServer,
    vhost: Vhost,
    tmp_path: Path,
) -> None:
    """The upgrade comes first, under a daemon that works; then both versions side by side; then
    the older one goes, and would not come back: it says so in one line."""
    url = postgres_server.createdb()
    site = make_site(url, vhost)
    made = older.run("eventworker", "--config-file", site.file, "db", "upgrade")
    assert made.returncode == 0, made.stderr
    site.probe.execute(TABLE)
    scene = make_scene("F37", site)
    command = [older.bin / PROGRAM, "--config-file", site.file, "--worker-count", "1"]
    old = Daemon(command, tmp_path / "older.log")
    site.daemons.append(old)
    old.says("consuming", 1, timeout=30)

    for number in range(50):
        (event,) = site.send(make_event())
        scene.probe.execute(f"INSERT INTO probe_change VALUES ('{event.id}', 'story', {number})")
        if number == 20:
            site.command("db", "upgrade")
    new = scene.start(workers=1)
    with scene.producer.stream(rate=100, count=300):
        wait_until(lambda: scene.producer.committed >= 300, 60, "the producer stands still")
    scene.drained()
    pids = {pid for (pid,) in scene.probe.rows("SELECT DISTINCT pid FROM probe_effect")}
    assert pids == {*old.children("consumer"), *new.children("consumer")}
    old.stop()
    scene.producer.produce(20)
    again = older.run(PROGRAM, "--config-file", site.file)
    assert again.returncode == 1
    (line,) = (each for each in again.stderr.splitlines() if each.startswith(PROGRAM))
    assert "which this version of eventworker does not know" in line
    scene.prove(line)
    scene.judge()
    postgres_server.dropdb(url.rpartition("/")[2])


def test_f37_tables_of_another_version_are_refused_in_one_line(
    make_scene: MakeScene, sql_site: Site
) -> None:
    scene = make_scene("F37", sql_site)
    ((current,),) = scene.probe.rows("SELECT version_num FROM eventworker_alembic_version")
    for revision, said in (
        ("9999", "which this version of eventworker does not know"),
        ("0001", f"this version needs {current}; run: eventworker"),
    ):
        set_revision(scene, revision)
        code, output = sql_site.run_daemon()
        assert code == 1
        (line,) = (each for each in output.splitlines() if each.startswith(PROGRAM))
        assert f"the tables are at revision {revision}" in line
        assert said in line
        assert "Traceback" not in output
        scene.prove(line)
    set_revision(scene, current)
    scene.start()
    scene.producer.produce(20)
    scene.judge()


def set_revision(scene: Scene, revision: str) -> None:
    scene.probe.execute(f"UPDATE eventworker_alembic_version SET version_num = '{revision}'")


def test_f37_an_envelope_of_a_later_version_is_handled(make_scene: MakeScene, site: Site) -> None:
    """What is not known is not looked at; what is known means what it meant."""
    assert site.vhost
    scene = make_scene("F37", site)
    scene.start()
    event = make_event()
    body = {**json.loads(event.encode()), "priority": 9, "links": [{"to": "x"}], "v": 2}
    with channel_at(site.vhost) as channel:
        channel.confirm_delivery()
        properties = pika.BasicProperties(message_id=str(event.id), headers={"x-later": [1, None]})
        channel.basic_publish(EXCHANGE, "story", json.dumps(body), properties, mandatory=True)
    scene.probe.execute(f"INSERT INTO probe_change VALUES ('{event.id}', 'story', 1)")
    scene.prove("a body with unknown fields")
    scene.producer.produce(5)
    assert scene.judge().events == 6
    assert scene.probe.number("SELECT count(*) FROM eventworker_quarantine") == 0
