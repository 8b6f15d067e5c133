"""The broker takes nothing for a while: nobody waits for it who need not."""

import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from tests.acceptance.outages import bring_back
from tests.acceptance.probe import once
from tests.acceptance.site import Site
from tests.helpers.events import make_event
from tests.servers import RabbitServer, wait_until


@pytest.fixture(scope="module")
def broker() -> Iterator[RabbitServer]:
    with RabbitServer() as server:
        yield server


@pytest.fixture
def own_site(broker: RabbitServer, database: str, make_site: Callable[..., Site]) -> Iterator[Site]:
    """A site whose broker may be stopped."""
    yield make_site(database, broker.add_vhost())
    bring_back(broker)


def test_an_alarm_of_the_broker_holds_up_nothing_but_publishing(
    own_site: Site, broker: RabbitServer
) -> None:
    site, probe = own_site, own_site.probe
    site.configure(plugin_alpha={"obeys": "hold"})
    daemon = site.start()
    first = site.record(make_event(resource="hold"), *(make_event() for _ in range(40)))
    wait_until(lambda: probe.call_pids(first[0].id), 20, "no call begins")
    ready = "SELECT count(*) FROM eventworker_outbox WHERE state = 0"
    wait_until(lambda: probe.number(ready) == 0, 20, "the relay does not send")
    broker.evaluate("rabbit_alarm:set_alarm({{resource_limit, memory, node()}, []})")
    try:
        # The application goes on, and so do consumers; the relay says why it does not.
        second = site.record(*(make_event() for _ in range(40)))
        daemon.says("the broker blocks those who publish: low on memory")
        probe.give_sign("released")
        site.wait_for(first, "alpha", "beta")
        assert probe.number(ready) == 40
        started = time.monotonic()
        daemon.stop()
        assert time.monotonic() - started < 8
    finally:
        broker.evaluate("rabbit_alarm:clear_alarm({resource_limit, memory, node()})")
    site.start()
    site.wait_for([*first, *second], "alpha", "beta", timeout=30)
    # What had been sent when the broker said so comes twice, at the end of the alarm.
    wait_until(site.queue_is_empty, 20, "the queue does not run empty")
    site.stop_all()
    assert probe.effects() == once([*first, *second], "alpha", "beta")
    assert probe.dead() == []


def test_a_relay_that_is_killed_while_it_waits_leaves_its_events_to_the_next_one(
    own_site: Site, broker: RabbitServer
) -> None:
    site, probe = own_site, own_site.probe
    daemon = site.start()
    site.wait_for(first := site.record(make_event()), "alpha", "beta")
    broker.evaluate("rabbit_alarm:set_alarm({{resource_limit, memory, node()}, []})")
    try:
        events = site.record(*(make_event() for _ in range(20)))
        claimed = "SELECT count(*) FROM eventworker_outbox WHERE owner IS NOT NULL"
        wait_until(lambda: probe.number(claimed) == 20, 20, "the relay does not claim them")
        (relay,) = {
            int(owner.rpartition("/")[2])
            for (owner,) in probe.rows("SELECT DISTINCT owner FROM eventworker_outbox")
            if owner
        }
        os.kill(relay, signal.SIGKILL)
        daemon.says("service relay is process", 2)
    finally:
        broker.evaluate("rabbit_alarm:clear_alarm({resource_limit, memory, node()})")
    # Its leases would have lasted for a minute and a half.
    site.wait_for([*first, *events], "alpha", "beta", timeout=30)
    ready = "SELECT count(*) FROM eventworker_outbox WHERE state = 0"
    wait_until(lambda: probe.number(ready) == 0, 20, "the outbox does not run empty")
    site.stop_all()
    assert probe.effects() == once([*first, *events], "alpha", "beta")
