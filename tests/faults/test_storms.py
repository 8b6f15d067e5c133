"""SIGKILL for random processes of the daemon, again and again, while events come."""

import random
from collections.abc import Callable

import pytest

from tests.acceptance.daemon import Daemon
from tests.acceptance.site import Site
from tests.faults.scene import Scene
from tests.servers import wait_until

WORKERS = 3
#: Who is process so and so is told at DEBUG; a line per event and plugin would be too much.
QUIET = {"debug": True, "default_log_levels": "pika=CRITICAL, eventworker.engine.dispatch=INFO"}


def storm(scene: Scene, kills: int, events: int) -> None:
    """Consumers and services die at any place; at least one consumer is always left.

    Each death comes when a part of its round's effects is there, chosen by chance, and not at a
    time: so all of them hit a daemon at work, on however slow a machine.
    """
    chance = random.Random(scene.seed)
    scene.site.configure(DEFAULT=QUIET)
    daemon = scene.start(WORKERS)
    size = max(1, events // kills)
    effects = size * len(scene.oracle.plugins)
    for _ in range(kills):
        goal = scene.probe.effect_count() + chance.randrange(effects * 3 // 4)
        scene.producer.produce(size)
        wait_until(
            lambda goal=goal: scene.probe.effect_count() >= goal and has_workers(daemon),
            60,
            "they do not come back to work",
        )
        victims = daemon.children("consumer") + daemon.children("service")
        scene.kill(chance.choice(victims))
    scene.healed()
    assert scene.judge(timeout=300).events == kills * size


def has_workers(daemon: Daemon) -> bool:
    return len(daemon.children("consumer")) >= WORKERS - 1


@pytest.fixture
def size(pytestconfig: pytest.Config) -> dict[str, int]:
    """How large the storm is: ``--kills`` and ``--events``."""
    return {name: int(pytestconfig.getoption(f"--{name}")) for name in ("kills", "events")}


@pytest.mark.timeout(3600)
def test_f1_a_storm_of_kills_costs_nothing(
    make_scene: Callable[..., Scene], site: Site, size: dict[str, int]
) -> None:
    storm(make_scene("F1", site), **size)


@pytest.mark.timeout(3600)
def test_f43_nor_does_one_where_the_outbox_is_the_queue(
    make_scene: Callable[..., Scene], sql_site: Site, size: dict[str, int]
) -> None:
    storm(make_scene("F43", sql_site), kills=size["kills"] // 2, events=size["events"] // 2)
