"""Hooks in a running daemon, given and looked at by the command."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.hook_site import CREATE, HookSite
from tests.acceptance.site import Site
from tests.servers import wait_until
from tests.servers.process import is_running


@pytest.fixture
def hook_site(
    make_site: Callable[..., Site], sqlite_database: str, tmp_path: Path
) -> Iterator[HookSite]:
    folder = tmp_path / "hooks"
    folder.mkdir(mode=0o755)
    made = HookSite(make_site(sqlite_database), folder)
    yield made
    made.engine.dispose()


@pytest.mark.row("HK-6", "HK-13")
def test_a_hook_runs_in_the_daemon_and_a_temporary_one_ends_with_it(hook_site: HookSite) -> None:
    daemon = hook_site.start()
    code = "await client.pubsub.publish('out', item.payload, id='{} ' + item.id)"
    hook_site.site.command(*CREATE, code.format("temporary"))
    hook_site.site.command(*CREATE, "--persistent", code.format("persistent"))
    hook_site.publish("1")
    wait_until(lambda: sorted(hook_site.out()) == ["persistent 1", "temporary 1"], 30)
    daemon.stop()
    assert [each["persistent"] for each in hook_site.listed()] == [True]
    hook_site.publish("2")
    again = hook_site.start()
    wait_until(lambda: "persistent 2" in hook_site.out(), 30)
    assert len(hook_site.out()) == 3
    again.stop()


def test_a_runner_that_is_killed_leaves_its_run_to_the_next(hook_site: HookSite) -> None:
    """The same run, told by its key; and what it had started is gone."""
    daemon = hook_site.start()
    code = """
import time
client.pubsub.publish('out', item.payload, id=item.key)
if len(client.pubsub.get_items('out')) < 2:
    client.pubsub.publish('out', item.payload, id='begun')
    time.sleep(600)
client.pubsub.publish('out', item.payload, id='done')
"""
    hook_site.site.command(*CREATE, "--persistent", code)
    hook_site.publish("1")
    wait_until(lambda: "begun" in hook_site.out(), 30)
    runner = hook_site.holder()
    assert runner is not None
    family = [pid for pid in daemon.family() if _parent(pid) == runner]
    assert family
    os.kill(runner, signal.SIGKILL)
    wait_until(lambda: "done" in hook_site.out(), 30, "the run was not made again")
    assert len(hook_site.out()) == 3
    wait_until(lambda: not any(map(is_running, family)), 20, "a sandbox has outlived its runner")
    daemon.stop()


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


@pytest.mark.row("HK-5")
def test_a_hook_that_hangs_keeps_no_other_waiting_and_the_daemon_ends(hook_site: HookSite) -> None:
    hook_site.site.configure(hooks={"timeout": 3, "max_attempts": 1})
    daemon = hook_site.start()
    hook_site.site.command(*CREATE, "--persistent", "while True: pass")
    show = "client.pubsub.publish('out', item.payload, id=item.id)"
    hook_site.site.command(*CREATE, "--persistent", show)
    for name in "abc":
        hook_site.publish(name)
    wait_until(lambda: hook_site.out() == ["a", "b", "c"], 30, "they waited")
    wait_until(lambda: hook_site.listed()[0]["failures"] >= 1, 30)
    daemon.stop()
    assert hook_site.listed()[0]["error"] == "it took too long"


def test_without_its_isolation_no_hook_runs_and_the_daemon_does(
    hook_site: HookSite, tmp_path: Path
) -> None:
    hook_site.site.configure(hooks={"isolation": "full"})
    env = {"PATH": str(tmp_path)}
    daemon = hook_site.site.start(1, env=env)
    daemon.says("no hook runs: bubblewrap (bwrap) is not installed")
    daemon.stop()
