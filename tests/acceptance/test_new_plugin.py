"""A plugin that `eventworker plugin new` has written, on its way into a running daemon."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.acceptance.daemon import Daemon
from tests.acceptance.installation import Installation, build_wheels
from tests.servers import wait_until

NAME = "chat-sync"
DISTRIBUTION = "eventworker-chat-sync"


@pytest.fixture(scope="module")
def source(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an installed eventworker writes into an empty folder."""
    folder = tmp_path_factory.mktemp("empty")
    made = installation.run("eventworker", "plugin", "new", NAME, cwd=folder)
    assert made.returncode == 0, made.stderr
    assert [found.name for found in folder.iterdir()] == [DISTRIBUTION]
    return folder / DISTRIBUTION


@pytest.fixture(scope="module")
def home(
    source: Path, wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Installation:
    """An environment with eventworker and the new plugin, both as wheels."""
    wheel = build_wheels({DISTRIBUTION: source}, tmp_path_factory.mktemp("new"))[DISTRIBUTION]
    made = Installation(tmp_path_factory.mktemp("home") / "venv")
    made.link_dependencies()
    made.install("--no-deps", wheels["eventworker"], wheel)
    return made


def test_its_own_tests_pass(home: Installation, source: Path) -> None:
    done = home.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=source)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


@pytest.mark.long
def test_its_types_are_right(home: Installation, source: Path) -> None:
    done = home.run("python", "-m", "mypy", "--cache-dir=/dev/null", cwd=source)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_daemon_runs_it(home: Installation, tmp_path: Path) -> None:
    file = tmp_path / "eventworker.conf"
    file.write_text(
        "[DEFAULT]\nenable_notifications = True\n[notifications]\ndriver = sql\n"
        f"[database]\nconnection = sqlite:///{tmp_path}/q.sqlite\n"
        f"[plugin:{NAME}]\nnote = from the file\n"
    )
    (tmp_path / "events.jsonl").write_text('{"method": "POST", "resource": "story"}\n')

    def run(command: str, *arguments: str | Path) -> None:
        done = home.run(command, "--config-file", file, *arguments)
        assert done.returncode == 0, done.stderr

    run("eventworker", "db", "upgrade")
    upgraded = home.run(DISTRIBUTION, "upgrade", "--config-file", file)
    assert upgraded.returncode == 0, upgraded.stderr
    run("eventworker", "publish", tmp_path / "events.jsonl")
    with (
        closing(
            Daemon(
                [home.bin / "storyboard-worker-daemon", "--config-file", file],
                tmp_path / "daemon.log",
            )
        ) as daemon,
        closing(sqlite3.connect(tmp_path / "q.sqlite")) as database,
    ):
        written = "SELECT resource, note FROM eventworker_chat_sync_entry"
        wait_until(
            lambda: database.execute(written).fetchall() == [("story", "from the file")],
            20,
            daemon.tail,
        )
        daemon.stop()
