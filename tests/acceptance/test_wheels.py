"""The wheels in an environment with nothing else: what they need comes with them."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from eventworker import __version__
from tests.acceptance.daemon import Daemon
from tests.acceptance.installation import (
    Installation,
    build_wheels,
    copy_of_eventworker,
    plugin_sources,
)
from tests.servers import wait_until


@pytest.fixture(scope="module")
def empty(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """An empty environment, into which pip installs the wheels and what they say they need."""
    made = Installation(tmp_path_factory.mktemp("empty") / "venv")
    made.install(wheels["eventworker"], *(wheels[name] for name in plugin_sources()))
    return made


@pytest.mark.slow
def test_the_commands_run(empty: Installation) -> None:
    version = empty.run("storyboard-worker-daemon", "--version")
    assert (version.returncode, version.stdout) == (0, f"storyboard-worker-daemon {__version__}\n")
    shown = empty.run("eventworker", "--help")
    assert shown.returncode == 0
    for verb in ("db", "config", "plugins", "deliveries", "publish"):
        assert f"\n    {verb} " in shown.stdout
    assert shown.stderr == version.stderr == ""


def test_a_wheel_is_the_same_bytes_when_it_is_built_again(
    wheels: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    sources = {"eventworker": copy_of_eventworker(tmp_path / "source")}
    built = []
    for name in ("first", "second"):
        workshop = tmp_path / name
        workshop.mkdir()
        built.append(build_wheels(sources, workshop)["eventworker"].read_bytes())
    assert built[0] == built[1]
    # Without that variable the files carry the time of the copy.
    assert built[0] != wheels["eventworker"].read_bytes()


@pytest.mark.slow
def test_the_sample_configuration_has_the_plugins_options_too(empty: Installation) -> None:
    sample = empty.run("eventworker", "config", "sample")
    assert sample.returncode == 0, sample.stderr
    for line in ("[notifications]", "[plugin:audit]", "#enable_notifications = false"):
        assert line in sample.stdout.splitlines()


@pytest.mark.slow
def test_the_daemon_runs_on_sqlite_with_nothing_else_installed(
    empty: Installation, tmp_path: Path
) -> None:
    """No broker, no driver: what the quickstart promises."""
    file = tmp_path / "eventworker.conf"
    file.write_text(
        "[DEFAULT]\nenable_notifications = True\n"
        f"[notifications]\ndriver = sql\n[database]\nconnection = sqlite:///{tmp_path}/q.sqlite\n"
    )
    assert empty.run("eventworker", "--config-file", file, "db", "upgrade").returncode == 0
    upgraded = empty.run("eventworker-audit", "upgrade", "--config-file", file)
    assert upgraded.returncode == 0, upgraded.stderr
    lines = tmp_path / "events.jsonl"
    lines.write_text('{"method": "POST", "resource": "story", "resource_id": 1}\n')
    published = empty.run("eventworker", "--config-file", file, "publish", lines)
    assert published.returncode == 0, published.stderr
    with (
        closing(
            Daemon(
                [empty.bin / "storyboard-worker-daemon", "--config-file", file],
                tmp_path / "daemon.log",
            )
        ) as daemon,
        closing(sqlite3.connect(tmp_path / "q.sqlite")) as database,
    ):
        count = "SELECT count(*) FROM eventworker_audit_entry"
        wait_until(lambda: database.execute(count).fetchone() == (1,), 20, daemon.tail)
        daemon.stop()
