"""SIGKILL at every place that an event passes."""

from collections.abc import Callable

import pytest

from eventworker import failpoints
from tests.acceptance.site import Site
from tests.faults.scene import Scene
from tests.servers import wait_until

#: What an event does not pass when all goes well, no plugin is ordered and none adds effects.
ELSEWHERE = ("outcome.", "parked.", "backlog.", "order.", "effect.")
RELAY = [name for name in failpoints.NAMES if name.startswith("relay.")]
CONSUMER = [name for name in failpoints.NAMES if not name.startswith((*ELSEWHERE, "relay."))]
RECOVERED = 45.0


def killed_at(scene: Scene, *points: str) -> None:
    """A process dies at each of these places, with other events before and behind."""
    daemon = scene.start(workers=2)
    scene.producer.produce(60)
    for point in points:
        scene.order(point)
        with scene.producer.stream(rate=20, count=2000):
            scene.fired(point)
        wait_until(lambda: len(daemon.children("consumer")) == 2, 30, "it is not replaced")
    scene.healed()
    scene.judge(within=RECOVERED)


@pytest.mark.family
def test_f1_a_consumer_killed_before_its_commit_leaves_nothing_of_it(
    make_scene: Callable[..., Scene], site: Site
) -> None:
    killed_at(make_scene("F1", site), "call.claimed", "call.returned", "commit.before")


@pytest.mark.family
def test_f2_a_consumer_killed_after_its_commit_does_it_once(
    make_scene: Callable[..., Scene], site: Site
) -> None:
    killed_at(make_scene("F2", site), "commit.after", "ack.before", "ack.after")


@pytest.mark.parametrize("point", CONSUMER)
def test_f1_killed_at_each_place_where_the_outbox_is_the_queue(
    make_scene: Callable[..., Scene], sql_site: Site, point: str
) -> None:
    killed_at(make_scene("F1", sql_site), point, point)


@pytest.mark.parametrize("point", RELAY)
def test_f32_a_relay_killed_at_each_place_publishes_again_and_nothing_is_done_twice(
    make_scene: Callable[..., Scene], site: Site, point: str
) -> None:
    killed_at(make_scene("F32", site), point, point)


@pytest.mark.parametrize("point", ["outcome.before", "outcome.after", "backlog.claimed"])
def test_f7_killed_while_a_failed_attempt_is_written_down_or_made_again(
    make_scene: Callable[..., Scene], site: Site, point: str
) -> None:
    scene = make_scene("F7", site)
    site.configure(plugin_beta={"obeys": "boom_twice", "backoff": 0.05})
    daemon = scene.start(workers=2)
    for _ in range(2):
        scene.order(point)
        scene.producer.produce(20, resource="boom_twice")
        scene.fired(point)
        wait_until(lambda: len(daemon.children("consumer")) == 2, 30, "it is not replaced")
    scene.healed()
    scene.judge(within=RECOVERED)


def test_f1_killed_when_a_redelivered_event_has_been_left_to_the_backlog(
    make_scene: Callable[..., Scene], site: Site
) -> None:
    """Twice for the same reason: the first death is what makes them redelivered."""
    killed_at(make_scene("F1", site), "ack.before", "parked.after")
