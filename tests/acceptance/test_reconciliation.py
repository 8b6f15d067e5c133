"""The broker loses what it had confirmed: every event is handled all the same, and once."""

from collections.abc import Callable, Iterator

import pytest

from tests.acceptance.outages import bring_back
from tests.acceptance.probe import once
from tests.acceptance.site import QUEUE, Site
from tests.helpers.events import make_event
from tests.helpers.rabbit import channel_at, depth
from tests.servers import RabbitServer, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def broker() -> Iterator[RabbitServer]:
    with RabbitServer() as server:
        yield server


@pytest.fixture
def own_site(broker: RabbitServer, database: str, make_site: Callable[..., Site]) -> Iterator[Site]:
    """A site on the first virtual host, which is there again after a wipe."""
    site = make_site(database, broker.at("/"))
    site.configure(
        outbox={"reconcile_after": 0.5},
        notifications={"rabbit_ack_timeout": 20, "prefetch": 4},
        plugin_alpha={"obeys": "hold", "handler_timeout": 9},
        plugin_beta={"handler_timeout": 9},
    )
    yield site
    bring_back(broker)


def wipe(broker: RabbitServer, _site: Site) -> None:
    broker.wipe()


def delete_queue(_broker: RabbitServer, site: Site) -> None:
    assert site.vhost
    with channel_at(site.vhost) as channel:
        channel.queue_delete(QUEUE)


def purge_queue(_broker: RabbitServer, site: Site) -> None:
    assert site.vhost
    with channel_at(site.vhost) as channel:
        channel.queue_purge(QUEUE)


@pytest.mark.parametrize("lose", [wipe, delete_queue, purge_queue])
def test_what_the_broker_lost_is_published_again_by_itself(
    own_site: Site, broker: RabbitServer, lose: Callable[[RabbitServer, Site], None]
) -> None:
    site, probe = own_site, own_site.probe
    daemon = site.start(workers=2)
    # Events of a plugin's first minute are not looked after.
    probe.execute("UPDATE eventworker_plugin SET since = since - INTERVAL '1 hour'")
    site.wait_for(before := site.record(make_event()), "alpha", "beta")
    # Both consumers are in the middle of a call, and the queue fills.
    held = site.record(make_event(resource="hold"), make_event(resource="hold"))
    wait_until(lambda: all(probe.call_pids(event.id) for event in held), 20, "no call begins")
    lost = site.record(*(make_event(resource_id=number) for number in range(50)))
    ready = "SELECT count(*) FROM eventworker_outbox WHERE state = 0"
    wait_until(lambda: probe.number(ready) == 0, 20, "the relay does not send")
    assert site.vhost
    assert depth(site.vhost) > 30

    lose(broker, site)
    probe.give_sign("released")

    everything = [*before, *held, *lost]
    site.wait_for(everything, "alpha", "beta", timeout=60)
    daemon.says("published again")
    after = site.record(make_event())
    site.wait_for(after, "alpha", "beta")
    site.stop_all()
    assert probe.effects() == once([*everything, *after], "alpha", "beta")
    assert probe.dead() == []
    again = "SELECT sum(republished) FROM eventworker_outbox"
    assert 30 < probe.number(again) <= 52
