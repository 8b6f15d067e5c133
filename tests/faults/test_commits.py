"""A COMMIT that nobody can tell the end of: the inbox is asked, and nothing is guessed."""

from collections.abc import Callable

import pytest

from tests.acceptance.site import Site
from tests.faults.proxy import Proxy, Way
from tests.faults.scene import Scene
from tests.servers import wait_until

#: PostgreSQL's COMMIT travels behind the proof that the transaction is still ours.
PROOF = rb"pg_current_xact_id_if_assigned.*COMMIT"
ROUNDS = 5
RECOVERED = 10.0


def repeated_calls(scene: Scene) -> int:
    """Calls of plugins beyond the first for their event."""
    return sum(times - 1 for times in scene.probe.calls().values())


@pytest.mark.parametrize("arrives", [False, True], ids=["lost", "answer-lost"])
def test_f3_a_commit_that_is_cut_off_is_looked_up(
    make_scene: Callable[..., Scene],
    site: Site,
    proxied: Callable[[Site], Proxy],
    arrives: bool,
) -> None:
    scene = make_scene("F3", site)
    proxy = proxied(site)
    scene.start(workers=2)
    scene.producer.produce(20)
    for cuts in range(1, ROUNDS + 1):
        proxy.cut_at(PROOF, Way.UP, forward=arrives)
        scene.producer.produce(4)
        wait_until(lambda cuts=cuts: proxy.seen["matched"] == cuts, 20, "no COMMIT passed")
    scene.prove(f"{ROUNDS} times cut at COMMIT")
    scene.healed()
    scene.judge(within=RECOVERED)
    # What the server has got was never called again, and what it has not got, once.
    assert repeated_calls(scene) == (0 if arrives else ROUNDS)


@pytest.mark.parametrize("sql_site", ["maria_database"], indirect=True)
@pytest.mark.parametrize("arrives", [False, True], ids=["lost", "answer-lost"])
def test_f3_so_it_is_on_mariadb(
    make_scene: Callable[..., Scene],
    sql_site: Site,
    proxied: Callable[[Site], Proxy],
    arrives: bool,
) -> None:
    scene = make_scene("F3", sql_site)
    proxy = proxied(sql_site)
    scene.start(workers=1)
    for cuts in range(1, ROUNDS + 1):
        # Its COMMIT looks like everybody's; held before it, the one consumer sends no other.
        scene.order("commit.before", "hold")
        scene.producer.produce(4)
        scene.fired("commit.before", times=cuts)
        proxy.cut_at(rb"\x03COMMIT", Way.UP, forward=arrives)
        scene.go("commit.before")
        wait_until(lambda cuts=cuts: proxy.seen["matched"] == cuts, 20, "no COMMIT passed")
        wait_until(lambda: scene.oracle.open_pairs() == 0, 20, "it is not handled")
    scene.prove(f"{ROUNDS} times cut at COMMIT")
    scene.healed()
    scene.judge(within=RECOVERED)
    assert repeated_calls(scene) == (0 if arrives else ROUNDS)


def test_f3_killed_while_the_answer_to_its_commit_is_on_the_way(
    make_scene: Callable[..., Scene],
    site: Site,
    proxied: Callable[[Site], Proxy],
) -> None:
    """The server has committed, and the one who asked for it never hears."""
    scene = make_scene("F3", site)
    proxy = proxied(site)
    scene.start(workers=1)
    scene.order("commit.before", "hold")
    scene.producer.produce(10)
    (victim,) = scene.fired("commit.before")
    proxy.silence(Way.DOWN)
    scene.go("commit.before")
    wait_until(lambda: scene.probe.effect_count() == 1, 20, "the server has not committed")
    scene.kill(victim)
    proxy.heal()
    scene.healed()
    scene.judge(within=RECOVERED)


def leased_by_nobody(scene: Scene, proxy: Proxy) -> None:
    """The first COMMIT after events have come is that of whoever leases them."""
    scene.start(workers=1)
    for cuts in range(1, 4):
        proxy.cut_at(rb"COMMIT", Way.UP, forward=True)
        scene.producer.produce(5)
        wait_until(lambda cuts=cuts: proxy.seen["matched"] == cuts, 20, "no COMMIT passed")
        scene.drained(timeout=15)
    scene.prove("3 times cut at COMMIT")
    scene.healed()
    scene.judge(within=RECOVERED)


def test_f3_rows_that_the_relay_has_leased_without_knowing_are_free_again(
    make_scene: Callable[..., Scene], site: Site, proxied: Callable[[Site], Proxy]
) -> None:
    """Not when their lease runs out, a minute and a half later."""
    leased_by_nobody(make_scene("F3", site), proxied(site))


@pytest.mark.parametrize("sql_site", ["database", "maria_database"], indirect=True)
def test_f3_rows_that_a_consumer_has_leased_without_knowing_are_free_again(
    make_scene: Callable[..., Scene], sql_site: Site, proxied: Callable[[Site], Proxy]
) -> None:
    leased_by_nobody(make_scene("F3", sql_site), proxied(sql_site))
