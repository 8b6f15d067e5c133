"""Order per resource, while processes die and messages come in any order: no inversion."""

import random
from collections.abc import Callable
from contextlib import closing

from sqlalchemy import create_engine, select

from eventworker.outbox.table import outbox_table
from eventworker.transport import Message
from eventworker.transports.rabbit import RabbitTransport
from tests.acceptance.site import Site
from tests.faults.scene import Scene
from tests.helpers.rabbit import settings_at
from tests.servers import wait_until

PLUGINS, ORDERED = ("alpha", "inorder"), ("inorder",)
PLACES = ("call.claimed", "commit.before", "commit.after", "order.settled", "backlog.claimed")


def killed_in_order(scene: Scene) -> None:
    """Consumers die at the places that matter to the order, a few resources are busy meanwhile."""
    daemon = scene.start(workers=3)
    scene.site.age_plugins()
    for point in PLACES:
        scene.order(point)
        with scene.producer.stream(rate=100, count=2000, streams=4):
            scene.fired(point)
        wait_until(lambda: len(daemon.children("consumer")) == 3, 10, "it is not replaced")
    scene.healed()
    scene.judge(timeout=90)


def test_f29_kills_cost_no_order(make_scene: Callable[..., Scene], site: Site) -> None:
    killed_in_order(make_scene("F29", site, plugins=PLUGINS, ordered=ORDERED))


def test_f29_nor_do_they_where_the_outbox_is_the_queue(
    make_scene: Callable[..., Scene], sql_site: Site
) -> None:
    killed_in_order(make_scene("F29", sql_site, plugins=PLUGINS, ordered=ORDERED))


def test_f29_what_arrives_in_any_order_and_twice_is_handled_in_its_own(
    make_scene: Callable[..., Scene], site: Site
) -> None:
    """A relay of ours publishes the outbox shuffled, before the real one does it again."""
    scene = make_scene("F29", site, plugins=PLUGINS, ordered=ORDERED)
    assert site.vhost is not None
    site.configure(outbox={"relay": False})
    scene.start(workers=3)
    site.age_plugins()
    scene.producer.produce(200, streams=5)
    shuffled = _outbox(site.url)
    random.Random(scene.seed).shuffle(shuffled)
    with closing(RabbitTransport(settings_at(site.vhost))) as transport:
        assert transport.publish(shuffled) == [None] * len(shuffled)
    scene.prove(f"{len(shuffled)} messages published shuffled")
    wait_until(lambda: scene.probe.effect_count() >= 200, 60, "nothing is handled")
    for daemon in site.daemons:
        daemon.stop()
    site.configure(outbox={"relay": True})
    scene.start(workers=3)
    scene.healed()
    scene.judge(timeout=90)


def _outbox(url: str) -> list[Message]:
    names = (
        *("id", "time", "source", "resource", "body", "traceparent", "tracestate"),
        *("stream", "seq"),
    )
    engine = create_engine(url)
    with engine.connect() as connection:
        rows = connection.execute(select(*(outbox_table.c[name] for name in names))).all()
    engine.dispose()
    return [Message(*row) for row in rows]
