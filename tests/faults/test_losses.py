"""The broker confirmed it and lost it: the outbox still has it, and it is published again."""

from collections.abc import Callable, Iterator

import pytest

from tests.acceptance.outages import bring_back
from tests.acceptance.site import QUEUE, Site
from tests.faults.scene import Scene
from tests.helpers.rabbit import channel_at
from tests.servers import RabbitServer, wait_until

pytestmark = pytest.mark.timeout(200)


@pytest.fixture(scope="module")
def broker() -> Iterator[RabbitServer]:
    with RabbitServer() as server:
        yield server


@pytest.fixture
def own_site(broker: RabbitServer, database: str, make_site: Callable[..., Site]) -> Iterator[Site]:
    """A site on the first virtual host, which is there again after a wipe."""
    site = make_site(database, broker.at("/"))
    # No delivery is in anybody's hands for longer than ten seconds, so that is all it waits.
    site.configure(
        outbox={"reconcile_after": 0.5},
        notifications={"rabbit_ack_timeout": 20, "prefetch": 4},
    )
    yield site
    bring_back(broker)


def wipe(broker: RabbitServer, _site: Site) -> None:
    broker.wipe()


def purge(_broker: RabbitServer, site: Site) -> None:
    assert site.vhost
    with channel_at(site.vhost) as channel:
        channel.queue_purge(QUEUE)


def delete(_broker: RabbitServer, site: Site) -> None:
    assert site.vhost
    with channel_at(site.vhost) as channel:
        channel.queue_delete(QUEUE)


@pytest.mark.parametrize(("fault", "lose"), [("F14", wipe), ("F17", purge), ("F17", delete)])
def test_f14_f17_what_the_broker_loses_is_published_again(
    make_scene: Callable[..., Scene],
    own_site: Site,
    broker: RabbitServer,
    fault: str,
    lose: Callable[[RabbitServer, Site], None],
) -> None:
    scene, vhost = make_scene(fault, own_site), own_site.vhost
    assert vhost
    own_site.configure(plugin_alpha={"obeys": "hold", "handler_timeout": 9})
    scene.start(workers=2)
    # Events of a plugin's first minute are not looked after.
    scene.probe.execute("UPDATE eventworker_plugin SET since = since - INTERVAL '1 hour'")
    # Both consumers are in the middle of a call, and the queue fills behind them.
    held = scene.producer.produce(2, resource="hold")
    wait_until(lambda: all(scene.probe.call_pids(each.id) for each in held), 20, "no call begins")
    scene.producer.produce(60)
    wait_until(lambda: scene.oracle.unsettled() == 0, 20, "the relay does not send")
    queued = vhost.messages(QUEUE)
    assert queued > 50
    lose(broker, own_site)
    scene.prove(f"{queued} messages lost")
    scene.probe.give_sign("released")
    scene.healed()
    scene.judge(timeout=90)
