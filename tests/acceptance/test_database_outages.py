"""The database goes away and comes back: consumption pauses, and no event pays for it."""

import os
import signal
from collections.abc import Callable, Iterator

import pytest

from tests.acceptance.fixtures import make_tables
from tests.acceptance.installation import Installation
from tests.acceptance.outages import bring_back
from tests.acceptance.probe import once
from tests.acceptance.site import Site
from tests.helpers.events import make_event
from tests.servers import PostgresServer, Vhost, wait_until


@pytest.fixture(scope="module")
def server(
    installation: Installation, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PostgresServer]:
    """A server of the module's own, with a database that the tests' are copies of."""
    with PostgresServer() as made:
        folder = tmp_path_factory.mktemp("template")
        make_tables(installation, made.createdb("template"), folder)
        yield made


@pytest.fixture
def url(server: PostgresServer) -> Iterator[str]:
    yield server.createdb(template="template")
    bring_back(server)


@pytest.fixture(params=["rabbit", "sql"])
def own_site(request: pytest.FixtureRequest, url: str, make_site: Callable[..., Site]) -> Site:
    """A site whose database may be stopped. An attempt that is spent is a dead letter there."""
    vhost: Vhost | None = None
    if request.param == "rabbit":
        vhost = request.getfixturevalue("vhost")
    site = make_site(url, vhost)
    site.configure(
        plugin_alpha={"obeys": "hold", "max_attempts": 1}, plugin_beta={"max_attempts": 1}
    )
    return site


def in_the_middle_of_a_call(site: Site, calls: int) -> None:
    wait_until(lambda: len(site.probe.calls()) >= calls, 20, "the calls do not begin")


@pytest.mark.parametrize("own_site", ["rabbit"], indirect=True)
def test_an_outage_costs_no_attempt_of_a_call_from_the_backlog(
    own_site: Site, server: PostgresServer
) -> None:
    """There the attempt has been counted before the call."""
    site, probe = own_site, own_site.probe
    site.configure(plugin_alpha={"lane": "slow"})
    daemon = site.start(workers=1)
    (event,) = site.send(make_event(resource="hold"))
    wait_until(lambda: (str(event.id), "alpha") in probe.calls(), 20, "the call does not begin")
    site.wait_for([event], "beta")
    waiting = site.send(make_event(), make_event())
    site.wait_for([event, *waiting], "beta")

    server.kill()
    probe.give_sign("released")
    daemon.says("consumption pauses")
    server.start()
    site.wait_for([event, *waiting], "alpha", "beta", timeout=30)
    site.stop_all()
    assert probe.effects() == once([event, *waiting], "alpha", "beta")
    assert probe.deliveries() == {}


def test_a_daemon_without_its_database_can_be_stopped(
    own_site: Site, server: PostgresServer
) -> None:
    daemon = own_site.start(workers=2)
    (event,) = own_site.send(make_event(resource="hold"))
    in_the_middle_of_a_call(own_site, 1)
    server.stop()
    own_site.probe.give_sign("released")
    daemon.says("consumption pauses")
    daemon.stop()
    server.start()

    own_site.start()
    own_site.wait_for([event], "alpha", "beta")
    own_site.stop_all()
    assert own_site.probe.effects() == once([event], "alpha", "beta")


@pytest.mark.parametrize("own_site", ["rabbit"], indirect=True)
def test_a_database_that_is_not_there_at_the_start_is_waited_for(
    own_site: Site, server: PostgresServer
) -> None:
    server.stop()
    daemon = own_site.start(ready=False)
    daemon.says("waiting for it")
    server.start()
    events = own_site.send(make_event())
    own_site.wait_for(events, "alpha", "beta")
    own_site.stop_all()
    assert own_site.probe.effects() == once(events, "alpha", "beta")


@pytest.mark.parametrize("own_site", ["rabbit"], indirect=True)
def test_a_consumer_that_is_replaced_during_an_outage_has_its_plugins_afterwards(
    own_site: Site, server: PostgresServer
) -> None:
    """One that looked for its table in vain would be broken there for the process's whole life."""
    own_site.configure(plugins={"only": "careful"})
    daemon = own_site.start(workers=1)
    before = own_site.send(make_event())
    own_site.wait_for(before, "careful")
    server.stop()
    for pid in daemon.children("consumer"):
        os.kill(pid, signal.SIGKILL)
    daemon.says("is process", 2)
    daemon.says("waiting for it")
    server.start()
    after = own_site.send(make_event())
    own_site.wait_for([*before, *after], "careful", timeout=30)
    own_site.stop_all()
    assert own_site.probe.effects() == once([*before, *after], "careful")
