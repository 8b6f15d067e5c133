"""The broker closes a channel, or somebody takes away what events travel through."""

import re
from collections.abc import Callable, Iterator

import pytest

from tests.acceptance.site import EXCHANGE, QUEUE, Site
from tests.faults.scene import Scene
from tests.helpers.rabbit import channel_at, has_queue
from tests.servers import RabbitServer, wait_until

#: Seconds from the end of the fault to the last effect.
RECOVERED = 30.0


def at_work(scene: Scene) -> None:
    scene.producer.produce(20)
    wait_until(lambda: scene.oracle.open_pairs() == 0, 30, "nothing is handled")


def queue_deleted(scene: Scene) -> None:
    """Empty as it is: a message would be lost with its queue, and that is another fault."""
    assert scene.site.vhost
    with channel_at(scene.site.vhost) as channel:
        channel.queue_delete(QUEUE, if_empty=True)


@pytest.mark.family
def test_f17_a_queue_deleted_under_its_consumers_is_made_again(
    make_scene: Callable[..., Scene], site: Site
) -> None:
    scene = make_scene("F17", site)
    daemon = scene.start(workers=2)
    at_work(scene)
    wait_until(site.queue_is_empty, 30, "the queue is not empty")
    queue_deleted(scene)
    # What is published before somebody has noticed can go nowhere, and must not wait for long.
    scene.producer.produce(60)
    scene.says(daemon, f"the queue {QUEUE} is gone")
    scene.healed()
    scene.judge(within=RECOVERED)


def test_f17_a_deleted_exchange_is_made_again(make_scene: Callable[..., Scene], site: Site) -> None:
    scene, vhost = make_scene("F17", site), site.vhost
    assert vhost
    daemon = scene.start(workers=2)
    at_work(scene)
    with channel_at(vhost) as channel:
        channel.exchange_delete(EXCHANGE)
    scene.producer.produce(60)
    scene.healed()
    scene.says(daemon, f"no exchange '{EXCHANGE}'")
    scene.judge(within=RECOVERED)


def test_f17_a_removed_binding_is_put_back(make_scene: Callable[..., Scene], site: Site) -> None:
    scene, vhost = make_scene("F17", site), site.vhost
    assert vhost
    scene.start(workers=2)
    at_work(scene)
    with channel_at(vhost) as channel:
        channel.queue_unbind(QUEUE, EXCHANGE, "#")
    bindings = f'rabbit_binding:list_for_source(rabbit_misc:r(<<"{vhost.vhost}">>, exchange, '
    bindings += f'<<"{EXCHANGE}">>))'
    assert vhost.server.evaluate(bindings) == "[]"
    scene.prove("no binding was left")
    scene.healed()
    scene.producer.produce(60)
    scene.judge(within=RECOVERED)


def test_f16_an_exchange_of_another_type_is_named_and_waited_for(
    make_scene: Callable[..., Scene], site: Site
) -> None:
    scene, vhost = make_scene("F16", site), site.vhost
    assert vhost
    daemon = scene.start(workers=2)
    at_work(scene)
    with channel_at(vhost) as channel:
        channel.exchange_delete(EXCHANGE)
        channel.exchange_declare(EXCHANGE, exchange_type="direct", durable=True)
    scene.producer.produce(60)
    scene.says(daemon, "inequivalent arg 'type' for exchange")
    assert scene.oracle.unsettled() == 60
    with channel_at(vhost) as channel:
        channel.exchange_delete(EXCHANGE)
    scene.healed()
    # What was returned is tried again after half a minute: somebody has to act, and it is logged.
    scene.judge(within=30 + RECOVERED)


def test_f16_a_forbidden_exchange_is_named_and_waited_for(
    make_scene: Callable[..., Scene], site: Site
) -> None:
    scene, vhost = make_scene("F16", site), site.vhost
    assert vhost
    daemon = scene.start(workers=2)
    at_work(scene)
    permit(vhost.server, vhost.vhost, write="")
    # A channel may go on doing for a while what it was once allowed.
    vhost.server.evaluate(
        f'rabbit_networking:close_all_user_connections(<<"{vhost.user}">>, <<"by the test">>)'
    )
    scene.producer.produce(60)
    scene.says(daemon, "ACCESS_REFUSED")
    assert scene.oracle.unsettled() == 60
    permit(vhost.server, vhost.vhost, write=".*")
    scene.healed()
    scene.judge(within=RECOVERED)


def permit(server: RabbitServer, vhost: str, write: str) -> None:
    server.evaluate(
        f'rabbit_auth_backend_internal:set_permissions(<<"{server.user}">>, <<"{vhost}">>,'
        f' <<".*">>, <<"{write}">>, <<".*">>, <<"tests">>)'
    )


@pytest.fixture
def impatient(rabbit_server: RabbitServer) -> Iterator[None]:
    """Channels that are opened now close when a delivery is not acked within two seconds."""
    setting = "application:{0}_env(rabbit, {1}{2})"
    names = {"consumer_timeout": 2000, "channel_tick_interval": 500}
    before = {name: rabbit_server.evaluate(setting.format("get", name, "")) for name in names}
    for name, value in names.items():
        rabbit_server.evaluate(setting.format("set", name, f", {value}"))
    yield
    for name, found in before.items():
        value = re.fullmatch(r"\{ok,(\d+)\}", found)
        order = ("set", name, f", {value[1]}") if value else ("unset", name, "")
        rabbit_server.evaluate(setting.format(*order))


def test_f16_a_channel_closed_for_a_late_ack_gets_no_stale_ack(
    make_scene: Callable[..., Scene], site: Site, impatient: None
) -> None:
    """Its deliveries come again, and the tag of the late one means another on the new channel."""
    scene, vhost = make_scene("F16", site), site.vhost
    assert vhost
    site.configure(plugin_alpha={"obeys": "hold"})
    daemon = scene.start(workers=2)
    scene.producer.produce(2, resource="hold")
    scene.producer.produce(100)
    scene.says(daemon, "delivery acknowledgement on channel 1 timed out", 2)
    scene.probe.give_sign("released")
    scene.healed()
    scene.judge(within=RECOVERED)
    log = (vhost.server.home / "log/broker.log").read_text(errors="replace")
    assert "unknown delivery tag" not in log


def test_f17_consumers_do_not_take_the_end_of_their_queue_for_the_end_of_work(
    make_scene: Callable[..., Scene], site: Site
) -> None:
    """Deleted while nobody publishes, and so while nobody but the consumers can notice."""
    scene, vhost = make_scene("F17", site), site.vhost
    assert vhost
    site.configure(outbox={"relay": False})
    daemon = scene.start(workers=2)
    queue_deleted(scene)
    scene.says(daemon, f"the queue {QUEUE} is gone", 2)
    wait_until(lambda: has_queue(vhost), 30, "it is not made again")
    scene.healed()
    events = scene.producer.produce(20)
    site.send(*events)
    scene.judge(within=RECOVERED, at_rest=False)
