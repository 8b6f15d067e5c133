"""Three brokers with a quorum queue: one fails, or two, or they do not see each other.

The daemon knows one address, as behind a load balancer: a proxy that is pointed at another node
when the one behind it is gone.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.installation import Installation
from tests.acceptance.site import QUEUE, Site
from tests.faults.proxy import Proxy
from tests.faults.scene import Scene
from tests.servers import RabbitServer, wait_until
from tests.servers.cluster import RabbitCluster

#: Seconds from the day that the majority is back to the last effect: an election and a connection.
RECOVERED = 20.0

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def cluster() -> Iterator[RabbitCluster]:
    with RabbitCluster() as made:
        yield made


@pytest.fixture
def balancer(cluster: RabbitCluster) -> Iterator[Proxy]:
    with Proxy(cluster.nodes[0].port) as made:
        yield made


@pytest.fixture
def cluster_site(
    cluster: RabbitCluster,
    balancer: Proxy,
    database: str,
    installation: Installation,
    tmp_path: Path,
) -> Iterator[Site]:
    """A site whose queue is a quorum queue, which its daemon declares."""
    cluster.heal()
    vhost = cluster.nodes[0].add_vhost()
    site = Site(installation, tmp_path, database, vhost)
    site.configure(
        notifications={
            "rabbit_port": balancer.port,
            "rabbit_heartbeat": 2,
            "rabbit_queue_type": "quorum",
        }
    )
    yield site
    site.close()
    cluster.heal()


def point_at(balancer: Proxy, node: RabbitServer) -> None:
    """The load balancer has noticed that the node behind it is gone."""
    balancer.target = node.port
    balancer.cut()


def at_work(scene: Scene, more: int = 20) -> None:
    goal = scene.probe.effect_count() + more
    wait_until(lambda: scene.probe.effect_count() >= goal, 60, "nothing is handled")


def test_f22_the_leader_of_the_queue_dies_and_another_one_goes_on(
    make_scene: Callable[..., Scene],
    cluster_site: Site,
    cluster: RabbitCluster,
    balancer: Proxy,
) -> None:
    scene, vhost = make_scene("F22", cluster_site), cluster_site.vhost
    assert vhost
    scene.start(workers=2)
    with scene.producer.stream(rate=8, count=1000):
        at_work(scene)
        leader = cluster.leader(vhost, QUEUE)
        other = next(node for node in cluster.nodes if node is not leader)
        point_at(balancer, leader)
        at_work(scene)
        leader.kill()
        point_at(balancer, other)
        scene.healed()
        at_work(scene)
        scene.prove(f"{leader.node} led and was killed; two of three go on")
    scene.drained(60)
    cluster.heal()
    scene.judge(within=RECOVERED + 40)


def test_f22_a_minority_takes_nothing_and_the_work_goes_on_with_the_majority(
    make_scene: Callable[..., Scene],
    cluster_site: Site,
    cluster: RabbitCluster,
    balancer: Proxy,
) -> None:
    scene = make_scene("F22", cluster_site)
    one, two, three = cluster.nodes
    point_at(balancer, one)
    daemon = scene.start(workers=2)
    scene.producer.produce(20)
    wait_until(lambda: scene.oracle.open_pairs() == 0, 60, "nothing is handled")
    two.kill()
    three.kill()
    scene.says(daemon, "next try in", 3, timeout=60)
    scene.producer.produce(40)
    assert scene.oracle.unsettled() == 40
    scene.prove("two of three killed, 40 kept in the outbox")
    cluster.heal()
    scene.healed()
    scene.judge(within=RECOVERED)


def test_f22_a_node_that_is_cut_off_from_the_others_keeps_nothing_that_they_lack(
    make_scene: Callable[..., Scene],
    cluster_site: Site,
    cluster: RabbitCluster,
    balancer: Proxy,
) -> None:
    """The daemon is on the wrong side first; the load balancer then finds the right one."""
    scene, vhost = make_scene("F22", cluster_site), cluster_site.vhost
    assert vhost
    lonely, other = cluster.nodes[2], cluster.nodes[0]
    daemon = scene.start(workers=2)
    with scene.producer.stream(rate=8, count=1000):
        at_work(scene)
        point_at(balancer, lonely)
        at_work(scene)
        before = daemon.output().count("next try in")
        cluster.isolate(lonely)
        scene.says(daemon, "next try in", before + 3, timeout=40)
        point_at(balancer, other)
        at_work(scene)
        scene.prove(f"{lonely.node} was cut off")
        cluster.rejoin(lonely)
        wait_until(cluster.is_whole, 60, "it does not come back")
        scene.healed()
    scene.judge(within=RECOVERED)


def test_f22_a_rolling_restart_costs_nothing(
    make_scene: Callable[..., Scene],
    cluster_site: Site,
    cluster: RabbitCluster,
    balancer: Proxy,
) -> None:
    scene = make_scene("F22", cluster_site)
    scene.start(workers=2)
    with scene.producer.stream(rate=8, count=2000):
        for index, node in enumerate(cluster.nodes):
            at_work(scene)
            point_at(balancer, cluster.nodes[index - 1])
            node.restart()
            wait_until(cluster.is_whole, 60, "it does not come back")
            scene.prove(f"{node.node} was restarted")
        scene.healed()
    scene.judge(within=RECOVERED)
