"""Plugins that raise, hang, or take their process down: theirs is the damage, and nobody else's."""

from collections import Counter
from collections.abc import Callable, Sequence

import pytest

from eventworker.event import Event
from tests.acceptance.probe import Pair, once
from tests.acceptance.site import Site
from tests.faults.scene import PLUGINS, Scene
from tests.servers import wait_until

MakeScene = Callable[..., Scene]

#: Behaviour, and what its dead letter says.
RAISES = {
    "boom": "RuntimeError: boom",
    "fatal": "Fatal: nobody catches this",
    "sysexit": "SystemExit: 7",
    "interrupted": "KeyboardInterrupt",
}
INTERRUPTED = "the call took longer than its limit of 2 s"
KILLED = "killed: the call did not end at its limit of 2 s"
HANGS = {"hang": INTERRUPTED, "endless_sql": INTERRUPTED, "deadlock": KILLED}
MORE_HANGS = {
    "lock": INTERRUPTED,
    "cross_join": INTERRUPTED,
    "stubborn": KILLED,
    "uninterruptible": KILLED,
    "deadlock_in_sql": KILLED,
}
CRASHES = {
    "segfault": "killed by signal SIGSEGV during the call",
    "abort": "killed by signal SIGABRT during the call",
    "killed": "killed by signal SIGKILL during the call",
    "leave": "the process ended with exit code 3 during the call",
    "memory": "MemoryError",
}
ATTEMPTS = 2


def given_up_on(scene: Scene, behaviours: dict[str, str], workers: int = 2) -> list[Event]:
    """One bad event of each kind for beta, between good ones; returns the bad ones."""
    probe = scene.probe
    limits = {"max_attempts": ATTEMPTS, "handler_timeout": 2}
    scene.site.configure(plugin_beta={"obeys": ", ".join(behaviours), **limits})
    daemon = scene.start(workers)
    bad: dict[str, Event] = {}
    for name in behaviours:
        scene.producer.produce(10)
        (bad[name],) = scene.producer.produce(1, resource=name)
    with scene.producer.stream(rate=20, count=200):
        wait_until(
            lambda: len(probe.dead()) == len(bad), 60, lambda: f"dead so far: {probe.deliveries()}"
        )
    scene.healed()
    wait_until(lambda: len(daemon.children("consumer")) == workers, 30, "a consumer is missing")
    judged_alone(scene, list(bad.values()), list(behaviours.values()))
    return list(bad.values())


def judged_alone(scene: Scene, bad: Sequence[Event], errors: Sequence[str]) -> None:
    """Beta has a dead letter of each bad event; nobody else was called twice or blamed."""
    probe = scene.probe
    scene.prove("dead letters: " + ", ".join(dict.fromkeys(errors)))
    verdict = scene.judge()
    assert verdict.dead == len(probe.deliveries()) == len(bad), "an innocent event was blamed"
    for event, error in zip(bad, errors, strict=True):
        state, attempts, said = probe.deliveries()[str(event.id), "beta"]
        assert (state, attempts) == ("dead", ATTEMPTS)
        assert error in said, said
        # One more where the event came again before the first call's death was written down.
        assert probe.calls()[str(event.id), "beta"] in (ATTEMPTS, ATTEMPTS + 1)
        assert probe.calls()[str(event.id), "alpha"] == probe.calls()[str(event.id), "gamma"] == 1


def each_once(scene: Scene) -> Counter[Pair]:
    """One call of each plugin with each event."""
    return Counter((event_id, name) for event_id in scene.oracle.committed() for name in PLUGINS)


@pytest.mark.family
def test_f7_what_a_plugin_raises_costs_nobody_but_itself(make_scene: MakeScene, site: Site) -> None:
    scene = make_scene("F7", site)
    bad = given_up_on(scene, RAISES)
    # Nobody died, so it is known to the call how often that was.
    assert scene.probe.calls() == each_once(scene) + once(bad, "beta")
    row = next(each for each in site.json("deliveries", "list") if each["error"] == RAISES["boom"])
    shown = site.json("deliveries", "show", str(row["id"]))
    assert 'raise RuntimeError("boom")' in shown["traceback"]


def test_f7_a_plugin_that_fails_twice_succeeds_by_itself_later(
    make_scene: MakeScene, sql_site: Site
) -> None:
    scene = make_scene("F7", sql_site)
    sql_site.configure(plugin_beta={"obeys": "boom_twice"})
    daemon = scene.start()
    (late,) = scene.producer.produce(1, resource="boom_twice")
    scene.producer.produce(30)
    scene.says(daemon, "RuntimeError: not yet", times=2)
    scene.judge()
    assert scene.probe.calls() == each_once(scene) + once([late], "beta", "beta")


def test_f7_what_a_plugin_raises_where_the_outbox_is_the_queue(
    make_scene: MakeScene, sql_site: Site
) -> None:
    given_up_on(make_scene("F7", sql_site), RAISES)


def no_statement_is_left(scene: Scene) -> None:
    """Of what was interrupted and killed the server has forgotten everything, locks included."""
    count = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%/* endless */%' AND pid != "
    wait_until(
        lambda: scene.probe.number(count + "pg_backend_pid()") == 0,
        30,
        "the server still works for a dead call",
    )


@pytest.mark.family
def test_f8_plugins_that_hang_are_ended_and_nobody_else_waits(
    make_scene: MakeScene, site: Site
) -> None:
    scene = make_scene("F8", site)
    given_up_on(scene, HANGS)
    no_statement_is_left(scene)


@pytest.mark.parametrize("name", MORE_HANGS)
def test_f8_so_are_those_that_hang_in_other_ways(
    make_scene: MakeScene, site: Site, name: str
) -> None:
    """Also the one that is killed while the server is busy for it, and tells the server nothing."""
    scene = make_scene("F8", site)
    given_up_on(scene, {name: MORE_HANGS[name]})
    no_statement_is_left(scene)


def test_f8_hangs_where_the_outbox_is_the_queue(make_scene: MakeScene, sql_site: Site) -> None:
    # SQLite has one write lock: what hangs after writing makes a second process's call wait for it
    # past the same limit, and be blamed in its turn.
    workers = 1 if sql_site.url.startswith("sqlite") else 2
    kinds = {**HANGS, "uninterruptible": KILLED}
    if workers == 1:  # the library does not come back to Python during a statement
        kinds["endless_sql"] = KILLED
    given_up_on(make_scene("F8", sql_site), kinds, workers)


def test_f8_the_broker_is_answered_while_a_call_hangs(make_scene: MakeScene, site: Site) -> None:
    """The heartbeat is its own thread's: only a call that keeps the GIL can stop it."""
    scene = make_scene("F8", site)
    site.configure(
        notifications={"rabbit_heartbeat": 2},
        plugin_beta={"obeys": "uninterruptible", "max_attempts": 1, "handler_timeout": 9},
    )
    daemon = scene.start(workers=1)
    scene.producer.produce(1, resource="uninterruptible")
    wait_until(lambda: scene.probe.calls(), 30, "the call does not begin")
    before = daemon.output().count("consuming")
    scene.says(daemon, "killed: the call did not end at its limit of 9 s")
    # Only the killed process's successor has connected since.
    daemon.says("consuming", before + 1)
    scene.producer.produce(20)
    scene.judge()
    assert daemon.output().count("consuming") == before + 1
    assert "heartbeat" not in daemon.output().lower()


def test_f9_a_plugin_that_takes_its_process_down_is_blamed_and_nobody_else(
    make_scene: MakeScene, site: Site
) -> None:
    given_up_on(make_scene("F9", site), CRASHES)


def test_f9_crashes_where_the_outbox_is_the_queue(make_scene: MakeScene, sql_site: Site) -> None:
    given_up_on(make_scene("F9", sql_site), CRASHES)
