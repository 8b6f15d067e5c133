"""The wheels in an environment with nothing else: what they need comes with them."""

from pathlib import Path

import pytest

from eventworker import __version__
from tests.acceptance.installation import Installation, plugin_sources


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
    listed = empty.run("eventworker", "--config-file", file, "plugins", "list")
    assert listed.returncode == 0, listed.stderr
    assert "audit" in listed.stdout
