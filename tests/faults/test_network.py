"""The network between daemon and broker: silent, slow, cut, or full of what nobody sent."""

import time
from collections.abc import Callable, Iterator

import pytest

from tests.acceptance.site import QUEUE, Site
from tests.faults.proxy import Proxy, Way
from tests.faults.scene import Scene
from tests.servers import wait_until

RECOVERED = 15.0
HEARTBEAT = 1
#: Seconds in which a silent peer is found out: pika looks every heartbeat plus 5 seconds whether
#: anything has come since the last look, so two looks are the most.
FOUND = 2 * (HEARTBEAT + 5)
#: Two consumers and the relay, which also opens a short connection to declare what it needs.
CONNECTIONS = 3
#: The method basic.publish (class 60, method 40) with a reserved number and the exchange.
PUBLISH = rb"\x00\x3c\x00\x28\x00\x00\x0astoryboard"


@pytest.fixture
def proxy(site: Site) -> Iterator[Proxy]:
    """What the daemon takes for the broker; the test itself goes the direct way."""
    assert site.vhost
    with Proxy(site.vhost.port) as made:
        site.configure(notifications={"rabbit_port": made.port, "rabbit_heartbeat": HEARTBEAT})
        yield made


def at_work(scene: Scene, more: int = 15) -> None:
    goal = scene.probe.effect_count() + more
    wait_until(lambda: scene.probe.effect_count() >= goal, 30, "nothing is handled")


@pytest.mark.parametrize("ways", [(Way.UP,), (Way.DOWN,), (Way.UP, Way.DOWN)])
def test_f18_a_half_open_connection_is_found_by_its_heartbeat(
    make_scene: Callable[..., Scene], site: Site, proxy: Proxy, ways: tuple[Way, ...]
) -> None:
    scene = make_scene("F18", site)
    daemon = scene.start(workers=2)
    with scene.producer.stream(rate=8, count=2000):
        at_work(scene)
        # One delivery is committed late: its consumer is the broker's no longer.
        scene.order("commit.before", "hold")
        scene.fired("commit.before")
        before = daemon.output().count("next try in")
        consuming = daemon.output().count(f"consuming {QUEUE}")
        proxy.silence(*ways)
        began = time.monotonic()
        scene.says(daemon, "next try in", before + CONNECTIONS, timeout=FOUND + 3)
        found = time.monotonic() - began
        withheld = proxy.seen["withheld"]
        scene.prove(f"{withheld} bytes withheld, found in {found:.1f} s")
        assert withheld > 0
        proxy.heal()
        scene.healed()
        # What it has in hand is delivered again, perhaps to the other one, who waits for the row.
        daemon.says(f"consuming {QUEUE}", consuming + 2)
        scene.go("commit.before")
    scene.judge(within=RECOVERED)


def cut(proxy: Proxy) -> None:
    proxy.cut()


def cut_inside_a_frame(proxy: Proxy) -> None:
    """The first part of a publish passes; what the relay sends next ends in the middle."""
    proxy.cut_after(300, Way.UP)
    wait_until(lambda: proxy.seen["matched"] > 0, 15, "nothing was cut")


def garbage_to_the_broker(proxy: Proxy) -> None:
    proxy.inject(b"\x00\xffGET / HTTP/1.1\r\n\r\n" * 10, Way.UP)


def garbage_to_the_daemon(proxy: Proxy) -> None:
    """The beginning of a frame of megabytes, which swallows what comes: the heartbeat finds out."""
    proxy.inject(b"\x09\xff\x00\x00garbage" * 10, Way.DOWN)


@pytest.mark.parametrize(
    "harm", [cut, cut_inside_a_frame, garbage_to_the_broker, garbage_to_the_daemon]
)
def test_f19_a_connection_that_is_cut_or_spoilt_is_made_anew(
    make_scene: Callable[..., Scene],
    site: Site,
    proxy: Proxy,
    harm: Callable[[Proxy], None],
) -> None:
    scene = make_scene("F19", site)
    daemon = scene.start(workers=2)
    with scene.producer.stream(rate=8, count=2000):
        for _ in range(2):
            at_work(scene)
            before = daemon.output().count("next try in")
            harm(proxy)
            scene.says(daemon, "next try in", before + 1, timeout=FOUND + 3)
        scene.prove(f"{dict(proxy.seen)}")
        scene.healed()
    scene.judge(within=RECOVERED)


def test_f19_whoever_is_refused_does_not_try_in_a_tight_loop(
    make_scene: Callable[..., Scene], site: Site, proxy: Proxy
) -> None:
    scene = make_scene("F19", site)
    site.configure(notifications={"rabbit_retry_delay": 4})
    daemon = scene.start(workers=2)
    scene.producer.produce(20)
    at_work(scene, 0)
    proxy.refuse()
    proxy.cut()
    began, refused = time.monotonic(), proxy.seen["refused"]
    scene.producer.produce(60)
    # Six quick tries each, with pauses that double, and then the longest pause between two.
    scene.says(daemon, "next try in", 10 * CONNECTIONS, timeout=60)
    tries = proxy.seen["refused"] - refused
    rate = 60 * tries / (time.monotonic() - began)
    scene.prove(f"{tries} tries refused, {rate:.0f} per minute")
    assert rate <= 40 * (CONNECTIONS + 1)  # the reconciler has one, too
    proxy.heal()
    scene.healed()
    scene.judge(within=RECOVERED)


def test_f19_a_server_that_speaks_something_else_is_no_broker(
    make_scene: Callable[..., Scene], site: Site, proxy: Proxy
) -> None:
    """The load balancer points at a web server for a while."""
    scene = make_scene("F19", site)
    daemon = scene.start(workers=2)
    scene.producer.produce(20)
    at_work(scene, 0)
    proxy.greet(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    proxy.cut()
    scene.producer.produce(60)
    scene.says(daemon, "next try in", 3 * CONNECTIONS)
    scene.prove(f"{proxy.seen['greeted']} connections were answered in HTTP")
    assert proxy.seen["greeted"] > 0
    proxy.heal()
    scene.healed()
    scene.judge(within=RECOVERED)


@pytest.mark.parametrize(("latency", "rate"), [(0.5, None), (0.0, 20_000.0)])
def test_f19_a_slow_network_only_takes_its_time(
    make_scene: Callable[..., Scene],
    site: Site,
    proxy: Proxy,
    latency: float,
    rate: float | None,
) -> None:
    scene = make_scene("F19", site)
    daemon = scene.start(workers=2)
    scene.producer.produce(20)
    at_work(scene, 0)
    lost = daemon.output().count("next try in")
    proxy.slow(latency, rate)
    scene.producer.produce(100)
    scene.prove(f"latency {latency} s, {rate} bytes per second")
    scene.drained(60)
    assert daemon.output().count("next try in") == lost, "slow is not gone"
    proxy.heal()
    scene.judge()


def test_f32_a_confirm_that_never_arrives_publishes_again_and_nothing_is_done_twice(
    make_scene: Callable[..., Scene], site: Site, proxy: Proxy
) -> None:
    """The broker has taken the messages, and its answer is lost with the connection."""
    scene = make_scene("F32", site)
    scene.start(workers=2)
    scene.producer.produce(20)
    at_work(scene, 0)
    for _ in range(3):
        before = proxy.seen["matched"]
        proxy.cut_at(PUBLISH, Way.UP, forward=True)
        scene.producer.produce(60)
        wait_until(lambda before=before: proxy.seen["matched"] > before, 20, "nothing matched")
    scene.prove(f"{proxy.seen['matched']} rounds of confirms lost")
    scene.healed()
    scene.judge(within=RECOVERED)
    twice = "SELECT count(*) FROM eventworker_outbox WHERE claims > 1"
    assert scene.probe.number(twice) > 0, "nothing was published again"
