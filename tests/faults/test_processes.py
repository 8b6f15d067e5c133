"""The daemon and its processes die, or are told to end, at any moment."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests.acceptance.daemon import Daemon
from tests.acceptance.site import Site
from tests.faults.proxy import Proxy
from tests.faults.scene import PLUGINS, Scene
from tests.servers import wait_until
from tests.servers.ports import HOST

MakeScene = Callable[..., Scene]
RECOVERED = 15.0
#: Seconds of graceful_shutdown_timeout where it matters, and what an end may take besides.
GRACE, BESIDES = 2, 2


def died_between_two_plugins(scene: Scene, last: str) -> None:
    """The process dies when this plugin's effect is committed, and the next one's turn comes."""
    probe = scene.probe
    scene.site.configure(**{f"plugin_{last}": {"obeys": "die_after_commit"}})
    daemon = scene.start(workers=1)
    scene.producer.produce(5)
    (event,) = scene.producer.produce(1, resource="die_after_commit")
    scene.producer.produce(5)
    scene.says(daemon, "killed by signal SIGKILL")
    scene.healed()
    scene.judge(within=RECOVERED)
    # The same as the effects, of which there is one of each.
    assert probe.calls() == probe.effects(), "a plugin was called again"
    assert probe.calls()[str(event.id), last] == 1


@pytest.mark.parametrize("last", PLUGINS)
def test_f4_killed_between_two_plugins_the_first_is_not_called_again(
    make_scene: MakeScene, site: Site, last: str
) -> None:
    died_between_two_plugins(make_scene("F4", site), last)


def test_f4_so_it_is_where_the_outbox_is_the_queue(make_scene: MakeScene, sql_site: Site) -> None:
    died_between_two_plugins(make_scene("F4", sql_site), "alpha")


def in_hand(scene: Scene, workers: int = 2, behaviour: str = "hold") -> Daemon:
    """A daemon in the middle of a call, with more events waiting."""
    scene.site.configure(plugin_alpha={"obeys": behaviour, "handler_timeout": 60})
    daemon = scene.start(workers)
    (event,) = scene.producer.produce(1, resource=behaviour)
    scene.producer.produce(100)
    wait_until(lambda: scene.probe.call_pids(event.id), 15, "the call does not begin")
    return daemon


def daemon_killed(scene: Scene, everyone: bool) -> None:
    """Kill it with a call in hand; what is left has to be gone within two seconds."""
    daemon = in_hand(scene)
    children = daemon.family()
    if everyone:
        daemon.signal(signal.SIGSTOP)  # so that it does not replace them
        for pid in children:
            scene.kill(pid)
    daemon.kill()
    scene.prove("SIGKILL to the daemon")
    wait_until(lambda: not daemon.survivors(), 2, lambda: f"{daemon.survivors()} live on")
    scene.probe.give_sign("released")
    scene.start()
    scene.healed()
    scene.judge(within=RECOVERED)


@pytest.mark.parametrize("everyone", [False, True], ids=["alone", "with its children"])
def test_f5_a_killed_daemon_leaves_nobody_and_the_next_one_goes_on(
    make_scene: MakeScene, site: Site, everyone: bool
) -> None:
    daemon_killed(make_scene("F5", site), everyone)


@pytest.mark.parametrize("everyone", [False, True], ids=["alone", "with its children"])
def test_f5_so_it_is_where_the_outbox_is_the_queue(
    make_scene: MakeScene, sql_site: Site, everyone: bool
) -> None:
    daemon_killed(make_scene("F5", sql_site), everyone)


def test_f5_the_process_group_killed_at_once(make_scene: MakeScene, site: Site) -> None:
    """As a service manager does it whose patience has ended."""
    scene = make_scene("F5", site)
    daemon = in_hand(scene)
    daemon.family()
    os.killpg(daemon.pid, signal.SIGKILL)
    scene.prove("SIGKILL to the process group")
    daemon.kill()
    wait_until(lambda: not daemon.survivors(), 2, lambda: f"{daemon.survivors()} live on")
    scene.probe.give_sign("released")
    scene.start()
    scene.healed()
    scene.judge(within=RECOVERED)


def ended(scene: Scene, daemon: Daemon, *signals: signal.Signals) -> float:
    """Tell it to end; seconds that it took, after which nothing may be acked that is not there."""
    daemon.signal(signals[0])
    began = time.monotonic()
    for number in signals[1:]:
        daemon.says("finishing what is in hand")
        daemon.signal(number)
    code = daemon.wait(GRACE + BESIDES + 10)
    took = time.monotonic() - began
    scene.prove(f"{signals[0].name} ended it with code {code}")
    assert code == 0
    return took


def judged_with_the_next(scene: Scene) -> None:
    scene.probe.give_sign("released")
    scene.start()
    scene.healed()
    scene.judge(within=RECOVERED)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_f6_a_signal_in_the_middle_of_a_call_finishes_it(
    make_scene: MakeScene, site: Site, number: signal.Signals
) -> None:
    scene = make_scene("F6", site)
    daemon = in_hand(scene)
    daemon.signal(number)
    daemon.says("finishing what is in hand")
    scene.probe.give_sign("released")
    assert daemon.wait(BESIDES + 5) == 0
    scene.prove(f"{number.name} during the call")
    held = [pair for pair in scene.probe.calls() if pair not in scene.probe.effects()]
    assert not held, "a call was not finished"
    judged_with_the_next(scene)
    assert set(scene.probe.calls().values()) == {1}, "a finished call was made again"


def held_too_long(scene: Scene) -> None:
    scene.site.configure(DEFAULT={"graceful_shutdown_timeout": GRACE})
    daemon = in_hand(scene, behaviour="stubborn")
    took = ended(scene, daemon, signal.SIGTERM)
    assert GRACE - 0.5 <= took <= GRACE + BESIDES, f"it took {took:.1f} s"
    scene.site.configure(plugin_alpha={"obeys": ""})
    judged_with_the_next(scene)


def test_f6_a_call_that_does_not_end_is_rolled_back_within_the_grace(
    make_scene: MakeScene, site: Site
) -> None:
    held_too_long(make_scene("F6", site))


def test_f6_so_it_is_where_the_outbox_is_the_queue(make_scene: MakeScene, sql_site: Site) -> None:
    held_too_long(make_scene("F6", sql_site))


def test_f6_a_second_signal_does_not_wait(make_scene: MakeScene, site: Site) -> None:
    scene = make_scene("F6", site)
    daemon = in_hand(scene)
    took = ended(scene, daemon, signal.SIGTERM, signal.SIGTERM)
    assert took <= BESIDES, f"it took {took:.1f} s"
    judged_with_the_next(scene)


@pytest.mark.parametrize("away", ["broker", "database"])
def test_f6_a_signal_during_a_reconnect(make_scene: MakeScene, site: Site, away: str) -> None:
    """The consumers have lost the server, one in the middle of a call, and look for it in vain."""
    assert site.vhost
    scene = make_scene("F6", site)
    url = make_url(site.url)
    with Proxy(site.vhost.port if away == "broker" else url.port or 0) as proxy:
        if away == "broker":
            site.configure(notifications={"rabbit_port": proxy.port})
        else:
            there = url.set(host=HOST, port=proxy.port).render_as_string(hide_password=False)
            site.configure(database={"connection": there})
        site.configure(DEFAULT={"graceful_shutdown_timeout": GRACE})
        daemon = in_hand(scene)
        proxy.refuse()
        proxy.cut()
        wait_until(lambda: proxy.seen["refused"] > 2, 15, "nobody tries to connect")
        scene.prove(f"{proxy.seen['refused']} connections refused")
        took = ended(scene, daemon, signal.SIGTERM)
        assert took <= GRACE + BESIDES, f"it took {took:.1f} s"
        proxy.refuse(False)
        judged_with_the_next(scene)


@pytest.mark.parametrize(
    "point", ["dispatch.received", "call.returned", "commit.after", "ack.before", "relay.confirmed"]
)
def test_f6_a_signal_at_each_step(make_scene: MakeScene, site: Site, point: str) -> None:
    scene = make_scene("F6", site)
    daemon = scene.start()
    scene.order(point, "hold")
    with scene.producer.stream(rate=200, count=400):
        scene.fired(point)
        daemon.signal(signal.SIGTERM)
        daemon.says("finishing what is in hand")
        scene.go(point)
        assert daemon.wait(BESIDES + 5) == 0
    judged_with_the_next(scene)


def test_f40_no_process_has_a_connection_of_another_and_the_daemon_has_none(
    make_scene: MakeScene, site: Site
) -> None:
    """Also of those that were forked while the daemon was at work."""
    scene = make_scene("F40", site)
    daemon = scene.start(workers=3)
    with scene.producer.stream(rate=100, count=300):
        for _ in range(3):
            victim = daemon.children("consumer")[0]
            scene.kill(victim)
            wait_until(
                lambda victim=victim: (
                    len(daemon.children("consumer")) == 3
                    and victim not in daemon.children("consumer")
                ),
                10,
                "it is not replaced",
            )
    scene.healed()
    scene.drained()
    owners: dict[str, int] = {}
    for pid in daemon.family():
        found = _sockets(pid)
        assert not found & owners.keys(), f"process {pid} and {owners} share a connection"
        owners |= dict.fromkeys(found, pid)
    assert set(owners.values()) >= set(daemon.children("consumer")), "they have no connection?"
    assert not _sockets(daemon.pid), "the daemon itself has a connection"
    scene.judge(within=15)


def _sockets(pid: int) -> set[str]:
    """The inodes of a process's connections and sockets of any kind."""
    links = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            links.append(os.readlink(entry))
        except FileNotFoundError:
            continue
    return {link for link in links if link.startswith("socket:")}
