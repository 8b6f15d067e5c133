"""The broker dies, hangs, or has no room left, and comes back."""

import signal
from collections.abc import Callable, Iterator

import pytest

from tests.acceptance.outages import bring_back
from tests.acceptance.site import QUEUE, Site
from tests.faults.scene import Scene
from tests.servers import RabbitServer, wait_until

#: Seconds from the broker's return to the last effect.
RECOVERED = 30.0
#: Of two consumers and the relay, each says once at least that it has lost its connection.
CONNECTIONS = 3


@pytest.fixture(scope="module")
def broker() -> Iterator[RabbitServer]:
    with RabbitServer() as server:
        yield server


@pytest.fixture
def own_site(broker: RabbitServer, database: str, make_site: Callable[..., Site]) -> Iterator[Site]:
    """A site whose broker may be stopped."""
    site = make_site(database, broker.add_vhost())
    broker.write_definitions()
    yield site
    bring_back(broker)


def at_work(scene: Scene, more: int = 15) -> None:
    """Wait until so many further effects are there."""
    goal = scene.probe.effect_count() + more
    wait_until(lambda: scene.probe.effect_count() >= goal, 30, "nothing is handled")


def ended_in_the_stream(scene: Scene, broker: RabbitServer, end: Callable[[], None]) -> None:
    """Events come all the time, and one delivery is committed whose ack will reach nobody."""
    daemon = scene.start(workers=2)
    with scene.producer.stream(rate=8, count=2000):
        at_work(scene)
        scene.order("commit.after", "hold")
        scene.fired("commit.after")
        end()
        scene.go("commit.after")
        scene.says(daemon, "next try in", CONNECTIONS)
        broker.start()
        scene.healed()
    scene.judge(within=RECOVERED)
    twice = {pair: times for pair, times in scene.probe.calls().items() if times > 1}
    assert twice == {}, "a finished call was made again"


@pytest.mark.family
def test_f13_a_broker_killed_in_the_middle_of_the_stream_costs_nothing(
    make_scene: Callable[..., Scene], own_site: Site, broker: RabbitServer
) -> None:
    ended_in_the_stream(make_scene("F13", own_site), broker, broker.kill)


def test_f13_a_broker_stopped_in_the_middle_of_the_stream_costs_nothing(
    make_scene: Callable[..., Scene], own_site: Site, broker: RabbitServer
) -> None:
    ended_in_the_stream(make_scene("F13", own_site), broker, broker.stop)


def test_f13_a_broker_that_dies_again_and_again_costs_nothing(
    make_scene: Callable[..., Scene], own_site: Site, broker: RabbitServer
) -> None:
    scene = make_scene("F13", own_site)
    daemon = scene.start(workers=2)
    with scene.producer.stream(rate=4, count=2000):
        for _ in range(3):
            at_work(scene, 6)
            seen = daemon.output().count("next try in")
            broker.kill()
            scene.says(daemon, "next try in", seen + CONNECTIONS)
            broker.start()
        scene.healed()
    scene.judge(within=RECOVERED)


def test_f13_a_broker_that_hangs_is_found_out_by_its_heartbeat(
    make_scene: Callable[..., Scene], own_site: Site, broker: RabbitServer
) -> None:
    scene = make_scene("F13", own_site)
    own_site.configure(notifications={"rabbit_heartbeat": 1})
    daemon = scene.start(workers=2)
    with scene.producer.stream(rate=8, count=2000):
        at_work(scene)
        broker.pause()
        try:
            scene.says(daemon, "next try in", CONNECTIONS)
        finally:
            broker.resume()
        scene.healed()
    scene.judge(within=RECOVERED)


def test_f13_a_broker_that_is_not_there_is_waited_for_and_keeps_nobody_from_stopping(
    make_scene: Callable[..., Scene], own_site: Site, broker: RabbitServer
) -> None:
    scene = make_scene("F13", own_site)
    broker.stop()
    first = scene.start(ready=False)
    scene.says(first, "next try in", CONNECTIONS)
    first.stop()

    scene.says(scene.start(ready=False), "next try in", CONNECTIONS)
    scene.producer.produce(60)
    broker.start()
    scene.healed()
    scene.judge(within=RECOVERED)


ALARMS = {
    "memory": (
        "vm_memory_monitor:set_vm_memory_high_watermark(0.0)",
        "vm_memory_monitor:set_vm_memory_high_watermark(0.4)",
    ),
    "disk": (
        'rabbit_disk_monitor:set_disk_free_limit("1000000GB")',
        'rabbit_disk_monitor:set_disk_free_limit("10MB")',
    ),
}


@pytest.fixture(params=ALARMS)
def alarm(request: pytest.FixtureRequest, broker: RabbitServer) -> Iterator[Callable[[bool], None]]:
    """Raises the alarm, or ends it, and waits until the broker says so."""
    raising, ending = ALARMS[request.param]

    def ring(on: bool) -> None:
        broker.evaluate(raising if on else ending)
        wait_until(
            lambda: (request.param in broker.evaluate("rabbit_alarm:get_alarms()")) is on,
            30,
            f"the {request.param} alarm stays as it was",
        )

    yield ring
    bring_back(broker)
    ring(False)


def test_f15_under_an_alarm_the_application_commits_and_the_queue_is_drained(
    make_scene: Callable[..., Scene], own_site: Site, alarm: Callable[[bool], None]
) -> None:
    scene, vhost = make_scene("F15", own_site), own_site.vhost
    assert vhost
    own_site.configure(plugin_alpha={"obeys": "hold"})
    scene.start(workers=2)
    # Both consumers are in the middle of a call, and the queue fills behind them.
    scene.producer.produce(64, resource="hold")
    scene.producer.produce(300)
    wait_until(lambda: scene.oracle.unsettled() == 0, 30, "the relay does not send")
    queued = vhost.messages(QUEUE)
    assert queued > 300

    alarm(True)
    scene.producer.produce(100)  # it raises if a commit is refused, and is given five seconds
    scene.probe.give_sign("released")
    wait_until(lambda: vhost.messages(QUEUE) == 0, 30, lambda: f"{vhost.messages(QUEUE)} are left")
    assert scene.oracle.unsettled() == 100, "the broker took them in spite of the alarm"
    scene.prove(f"{queued} drained and 100 kept in the outbox under the alarm")

    alarm(False)
    scene.healed()
    scene.judge(within=RECOVERED)


def test_f15_a_daemon_can_be_stopped_under_an_alarm(
    make_scene: Callable[..., Scene], own_site: Site, alarm: Callable[[bool], None]
) -> None:
    scene, grace = make_scene("F15", own_site), 3
    own_site.configure(DEFAULT={"graceful_shutdown_timeout": grace})
    daemon = scene.start(workers=2)
    scene.producer.produce(60)
    wait_until(lambda: scene.oracle.open_pairs() == 0, 30, "nothing is handled")
    alarm(True)
    # The relay is in the middle of a round that nobody confirms.
    scene.order("relay.claimed", "note")
    scene.producer.produce(60)
    scene.fired("relay.claimed")
    daemon.signal(signal.SIGTERM)
    daemon.wait(grace + 7)

    assert scene.oracle.unsettled() == 60
    scene.prove("stopped with 60 unconfirmed")
    alarm(False)
    scene.start(workers=2)
    scene.healed()
    scene.judge()
