"""Effects outside the database, while the processes that perform them die: each of them happens,
and those that happen twice have one key."""

import os
import signal
from collections.abc import Callable

import pytest

from tests.acceptance.sink import Sink
from tests.acceptance.site import Site
from tests.faults.scene import Scene
from tests.servers import wait_until

PLACES = ("effect.claimed", "effect.performed", "effect.after")


@pytest.mark.parametrize("point", PLACES)
def test_f2_a_performer_killed_at_each_place_leaves_no_effect_out(
    make_scene: Callable[..., Scene], site: Site, point: str
) -> None:
    scene = make_scene("F2", site, plugins=("alpha", "mailer"))
    with Sink() as sink:
        site.configure(plugin_mailer={"url": sink.url, "effect_max_attempts": 1000})
        scene.start(workers=1)
        scene.order(point)
        made = scene.producer.produce(40)
        scene.fired(point)
        scene.healed()
        keys = {f"{event.id}/mailer/1" for event in made}
        sink.wait_for(keys)
        scene.judge()
        assert set(sink.keys()) == keys
        repeated = [key for key, times in sink.keys().items() if times > 1]
        assert len(repeated) == (point == "effect.performed"), repeated
    assert scene.probe.number("SELECT count(*) FROM eventworker_effect") == 0


def test_f5_effects_survive_a_daemon_that_is_killed_with_all_its_children(
    make_scene: Callable[..., Scene], sql_site: Site
) -> None:
    scene = make_scene("F5", sql_site, plugins=("alpha", "mailer"))
    with Sink() as sink:
        sql_site.configure(plugin_mailer={"url": sink.url, "effect_max_attempts": 1000})
        sink.held.set()
        daemon = scene.start(workers=1)
        made = scene.producer.produce(20)
        keys = {f"{event.id}/mailer/1" for event in made}
        wait_until(lambda: sink.keys(), 20, "no effect is begun")
        daemon.signal(signal.SIGSTOP)
        for pid in daemon.family():
            os.kill(pid, signal.SIGKILL)
        daemon.kill()
        scene.prove("SIGKILL to the daemon and all its children")
        sink.held.clear()
        scene.start(workers=1)
        scene.healed()
        sink.wait_for(keys, timeout=60)
        scene.judge()
        assert set(sink.keys()) == keys
    assert scene.probe.number("SELECT count(*) FROM eventworker_effect") == 0
