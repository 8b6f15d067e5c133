"""The daemon may no longer log in, or finds nobody under the name that it knows."""

from collections.abc import Callable

from tests.acceptance.site import Site
from tests.faults.proxy import Proxy
from tests.faults.resolver import Resolver
from tests.faults.scene import Scene
from tests.servers import wait_until

RECOVERED = 15.0


def at_rest(scene: Scene, count: int = 20) -> None:
    """Handled and acknowledged, so that nothing is in the broker's hands."""
    scene.producer.produce(count)
    wait_until(lambda: scene.oracle.open_pairs() == 0, 30, "nothing is handled")
    wait_until(scene.site.queue_is_empty, 10, "the queue is not empty")
    wait_until(lambda: scene.oracle.unsettled() == 0, 10, "the outbox is not empty")


def test_f21_a_revoked_password_is_named_and_nothing_is_lost_until_it_is_back(
    make_scene: Callable[..., Scene], site: Site
) -> None:
    scene, vhost = make_scene("F21", site), site.vhost
    assert vhost
    server, user = vhost.server, f"user-of-{vhost.vhost}"
    tests = '<<"tests">>'
    server.add_user(user, "right", vhost.vhost)
    site.configure(notifications={"rabbit_userid": user, "rabbit_password": "right"})
    daemon = scene.start(workers=2)
    at_rest(scene)

    password = 'rabbit_auth_backend_internal:change_password(<<"{0}">>, <<"{1}">>, {2})'
    server.evaluate(password.format(user, "another", tests))
    server.evaluate(
        f'rabbit_networking:close_all_user_connections(<<"{user}">>, <<"its password changed">>)'
    )
    scene.producer.produce(60)
    scene.says(daemon, "ACCESS_REFUSED", 6)
    assert "right" not in daemon.output()
    assert scene.oracle.unsettled() == 60
    server.evaluate(password.format(user, "right", tests))
    scene.healed()
    scene.judge(within=RECOVERED)
    server.delete_user(user)


def test_f21_a_virtual_host_that_is_gone_is_named_and_used_again_when_it_is_back(
    make_scene: Callable[..., Scene], site: Site
) -> None:
    scene, vhost = make_scene("F21", site), site.vhost
    assert vhost
    daemon = scene.start(workers=2)
    at_rest(scene)
    vhost.server.delete_vhost(vhost.vhost)
    scene.producer.produce(60)
    scene.says(daemon, f"vhost {vhost.vhost} not found", 3)
    assert scene.oracle.unsettled() == 60
    vhost.server.add_vhost(vhost.vhost)
    scene.healed()
    scene.judge(within=RECOVERED)


def test_f20_a_name_that_cannot_be_resolved_or_means_another_address_is_asked_for_again(
    make_scene: Callable[..., Scene], site: Site
) -> None:
    scene, vhost = make_scene("F20", site), site.vhost
    assert vhost
    resolver, name = Resolver(site.folder / "resolver"), "broker.test"
    # A login that everybody knows would be refused for a name that may be another host's.
    user = f"user-of-{vhost.vhost}"
    vhost.server.add_user(user, "right", vhost.vhost)
    login = {"rabbit_userid": user, "rabbit_password": "right"}
    site.configure(notifications={"rabbit_host": name, **login})
    daemon = scene.start(workers=2, ready=False, env=resolver.env)
    scene.producer.produce(60)
    scene.says(daemon, "name resolution", 6)
    assert scene.oracle.unsettled() == 60
    resolver.set({name: vhost.host})
    wait_until(lambda: scene.oracle.open_pairs() == 0, 30, "nothing is handled")

    # The broker moves: the old address is dead, and under the new one somebody forwards to it.
    with Proxy(vhost.port, address="127.0.0.2", port=vhost.port) as moved:
        resolver.set({name: "127.0.0.2"})
        vhost.server.evaluate(
            f'rabbit_networking:close_all_user_connections(<<"{user}">>, <<"it moves">>)'
        )
        scene.healed()
        scene.producer.produce(60)
        wait_until(lambda: moved.seen["connections"] >= 3, 20, "nobody comes to the new address")
        asked = resolver.asked(name, None), resolver.asked(name, "127.0.0.2")
        scene.prove(f"asked in vain {asked[0]} times, {asked[1]} times told of the new address")
        scene.judge(within=RECOVERED)
