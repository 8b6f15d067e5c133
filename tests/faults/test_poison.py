"""Bytes that are no event, between good ones: kept with the reason, while nobody dies of them."""

import json
from collections.abc import Callable

import pika
import pytest

from tests.acceptance.site import EXCHANGE, Site
from tests.faults.scene import Scene
from tests.helpers.poison import POISON
from tests.helpers.rabbit import channel_at
from tests.servers import wait_until

#: Those that are poison by their bytes alone.
BODIES = {name: poison for name, poison in POISON.items() if not poison.properties}


@pytest.mark.family
def test_f30_poison_is_kept_with_its_reason_and_its_neighbours_are_handled(
    make_scene: Callable[..., Scene], site: Site
) -> None:
    scene, vhost = make_scene("F30", site), site.vhost
    assert vhost
    daemon = scene.start(workers=2)
    before = daemon.family()
    with channel_at(vhost) as channel:
        channel.confirm_delivery()
        for number, poison in enumerate(BODIES.values()):
            properties = pika.BasicProperties(app_id=f"stranger {number}")
            channel.basic_publish(EXCHANGE, "story", poison.body, properties, mandatory=True)
            scene.producer.produce(1)
    count = "SELECT count(*) FROM eventworker_quarantine"
    wait_until(lambda: scene.probe.number(count) >= len(BODIES), 30, "not all are in quarantine")
    scene.prove(f"{len(BODIES)} bodies in quarantine")
    assert sorted(daemon.family()) == sorted(before), "a process died"
    kept = {
        bytes(body): (reason, json.loads(said)["app_id"])
        for body, reason, said in scene.probe.rows(
            "SELECT body, reason, properties FROM eventworker_quarantine"
        )
    }
    scene.judge()
    assert len(kept) == len(BODIES)
    for number, (name, poison) in enumerate(BODIES.items()):
        reason, app_id = kept[poison.body]
        assert poison.word.lower() in reason.lower(), f"{name}: {reason}"
        assert app_id == f"stranger {number}"
    assert set(scene.probe.calls().values()) == {1}
