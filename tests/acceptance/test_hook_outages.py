"""Hooks beside one another, and without their database for a while."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.fixtures import make_tables
from tests.acceptance.hook_site import CREATE, HookSite
from tests.acceptance.installation import Installation
from tests.acceptance.outages import bring_back
from tests.acceptance.site import Site
from tests.servers import PostgresServer, wait_until


@pytest.fixture(scope="module")
def server(
    installation: Installation, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PostgresServer]:
    """A server of the module's own, with a database that the tests' are copies of."""
    with PostgresServer() as made:
        make_tables(installation, made.createdb("template"), tmp_path_factory.mktemp("template"))
        yield made


@pytest.fixture
def hook_site(
    server: PostgresServer, make_site: Callable[..., Site], tmp_path: Path
) -> Iterator[HookSite]:
    folder = tmp_path / "hooks"
    folder.mkdir(mode=0o755)
    made = HookSite(make_site(server.createdb(template="template")), folder)
    yield made
    made.engine.dispose()
    bring_back(server)


def total(site: HookSite, name: str) -> int:
    return sum(each[name] for each in site.listed())


@pytest.mark.row("HK-10")
def test_two_daemons_share_hooks_and_each_is_called_once_for_each_item(
    hook_site: HookSite,
) -> None:
    for name in ("a", "b", "c"):
        code = f"client.pubsub.publish('out', item.payload, id='{name} ' + item.id)"
        hook_site.site.command(*CREATE, "--persistent", code)
    daemons = [hook_site.start(), hook_site.start()]
    items = [str(n) for n in range(6)]
    for item in items:
        hook_site.publish(item)
    wait_until(lambda: total(hook_site, "waiting") == 0, 60, "they are not all made")
    for daemon in daemons:
        daemon.stop()
    assert total(hook_site, "runs") == 18
    for name in ("a", "b", "c"):
        assert [each for each in hook_site.out() if each.startswith(name)] == [
            f"{name} {item}" for item in items
        ]


def test_a_database_that_goes_and_comes_costs_no_run(
    hook_site: HookSite, server: PostgresServer
) -> None:
    """Also not the one that ends while it is away: that is made again."""
    code = """
import time
client.pubsub.publish('out', item.payload, id='begun ' + item.id)
time.sleep(1)
client.pubsub.publish('out', item.payload, id='done ' + item.id)
"""
    hook_site.site.command(*CREATE, "--persistent", code)
    daemon = hook_site.start()
    hook_site.publish("1")
    wait_until(lambda: "begun 1" in hook_site.out(), 30)
    server.kill()
    hook_site.engine.dispose()
    daemon.says("hooks pause")
    server.start()
    wait_until(lambda: "done 1" in hook_site.out(), 60, "it was not made again")
    hook_site.publish("2")
    wait_until(lambda: "done 2" in hook_site.out(), 60, "hooks do not go on")
    wait_until(lambda: total(hook_site, "waiting") == 0, 30)
    assert total(hook_site, "failures") == 0
    daemon.stop()


def test_a_daemon_is_stopped_in_time_though_a_hook_hangs(hook_site: HookSite) -> None:
    hook_site.site.configure(hooks={"timeout": 600}, DEFAULT={"graceful_shutdown_timeout": 2})
    code = """
if not client.pubsub.get_items('out'):
    client.pubsub.publish('out', item.payload, id='begun')
    while True:
        pass
client.pubsub.publish('out', item.payload, id='done')
"""
    hook_site.site.command(*CREATE, "--persistent", code)
    daemon = hook_site.start()
    hook_site.publish("1")
    wait_until(lambda: "begun" in hook_site.out(), 30)
    daemon.stop()
    wait_until(lambda: not daemon.survivors(), 10, "a sandbox has outlived the daemon")
    again = hook_site.start()
    wait_until(lambda: "done" in hook_site.out(), 30, "the run was not made again")
    again.stop()
