"""Plugins that come, go, and cannot be loaded, while the daemon runs and where it starts."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests.acceptance.daemon import Daemon
from tests.acceptance.installation import pip as run_pip
from tests.acceptance.site import Site
from tests.faults.proxy import Proxy
from tests.faults.scene import PLUGINS, Scene
from tests.servers import wait_until
from tests.servers.ports import HOST

MakeScene = Callable[..., Scene]
SKIPPED = 5
OFF = "plugin beta is off: disabled by [plugins] disabled"


def reload(daemon: Daemon, said: str) -> None:
    """SIGHUP, until the log has the text once more."""
    before = daemon.output().count(said)
    daemon.signal(signal.SIGHUP)
    daemon.says(said, before + 1, timeout=30)


def state_of(scene: Scene, name: str) -> str:
    found = scene.probe.rows("SELECT state FROM eventworker_plugin WHERE name = :name", name=name)
    return str(found[0][0])


def replaced(daemon: Daemon, before: list[int], workers: int = 2) -> None:
    """All consumers are others than before."""
    wait_until(
        lambda: (
            len(daemon.children("consumer")) == workers
            and not set(before) & set(daemon.children("consumer"))
        ),
        30,
        "the consumers are not replaced",
    )


def test_f36_a_plugin_that_is_off_is_skipped_and_comes_back_at_a_stated_point(
    make_scene: MakeScene, sql_site: Site
) -> None:
    """Off and on again while events come: each of them has its effect or says *skipped*, and from
    the moment that the registry says *on*, everything has its effect."""
    scene = make_scene("F36", sql_site)
    daemon = scene.start()
    before = scene.producer.produce(20)
    sql_site.wait_for(before, *PLUGINS)

    consumers = daemon.children("consumer")
    sql_site.configure(plugins={"disabled": "beta"})
    reload(daemon, OFF)
    scene.prove("beta off, on")
    replaced(daemon, consumers)
    without = scene.producer.produce(20)
    scene.oracle.excused = {(str(event.id), "beta") for event in without}
    sql_site.wait_for(without, "alpha", "gamma")

    consumers = daemon.children("consumer")
    sql_site.configure(plugins={"disabled": ""})
    daemon.signal(signal.SIGHUP)
    wait_until(lambda: state_of(scene, "beta") == "on", 30, "beta is not on again")
    replaced(daemon, consumers)
    after = scene.producer.produce(20)
    sql_site.wait_for(after, *PLUGINS)
    scene.judge()
    outcomes, effects = scene.probe.outcomes(), scene.probe.effects()
    for event in before + after:
        assert effects[str(event.id), "beta"] == 1
    for event in without:
        assert effects[str(event.id), "beta"] == 0
        assert outcomes[str(event.id), "beta"] == SKIPPED


BAD = {
    "unreadable": ("[DEFAULT\nthis is no configuration", ""),
    "a wrong value": ("\n[DEFAULT]\ndebug = perhaps\n[plugins]\ndisabled = beta\n", "debug"),
    "a wrong value elsewhere": ("\n[outbox]\nrelay_batch = 0\n", "relay_batch"),
}


@pytest.mark.parametrize("name", BAD)
def test_f36_a_file_that_cannot_be_used_changes_nothing_at_all(
    make_scene: MakeScene, site: Site, name: str
) -> None:
    scene = make_scene("F36", site)
    daemon = scene.start()
    good = site.file.read_text()
    more, said = BAD[name]
    site.file.write_text(more if name == "unreadable" else good + more)
    consumers = daemon.children("consumer")
    daemon.signal(signal.SIGHUP)
    scene.says(daemon, "SIGHUP: the configuration stays as it was")
    assert said in daemon.output().rpartition("stays as it was")[2].partition("\n")[0]
    # Also for those that begin after it: one dies, and its successor knows all plugins.
    scene.kill(consumers[0])
    wait_until(lambda: len(daemon.children("consumer")) == 2, 30, "it is not replaced")
    scene.producer.produce(50)
    scene.healed()
    scene.judge(within=30)
    assert state_of(scene, "beta") == "on"


def test_f36_reloads_during_an_outage_end_with_the_last_file(
    make_scene: MakeScene, site: Site
) -> None:
    """Each of them has to write to the database which plugins are on, and waits for it."""
    scene = make_scene("F36", site)
    url = make_url(site.url)
    with Proxy(url.port or 0) as proxy:
        there = url.set(host=HOST, port=proxy.port).render_as_string(hide_password=False)
        site.configure(database={"connection": there})
        daemon = scene.start()
        scene.producer.produce(20)
        scene.drained()
        consumers = daemon.children("consumer")
        proxy.refuse()
        proxy.cut()
        for disabled in ("beta", "beta, gamma", "beta", "gamma", ""):
            site.configure(plugins={"disabled": disabled})
            reload(daemon, "SIGHUP: options changed: [plugins]")
        scene.producer.produce(20)
        scene.prove(f"5 reloads, {proxy.seen['refused']} connections refused")
        proxy.heal()
        replaced(daemon, consumers)
        scene.healed()
        for name in PLUGINS:
            wait_until(lambda name=name: state_of(scene, name) == "on", 30, f"{name} is not on")
        scene.producer.produce(20)
        scene.judge(within=30)


def two_hosts(scene: Scene) -> None:
    """One has all plugins, the other lacks a library of one; both take from one queue."""
    whole = scene.start(workers=1)
    missing = scene.start(workers=1, env={"PROBE_UNIMPORTABLE": "yes"})
    with scene.producer.stream(rate=200, count=400):
        wait_until(lambda: scene.producer.committed >= 400, 60, "the producer stands still")
    scene.says(missing, "plugin unimportable cannot")
    scene.healed()
    scene.drained()
    both = {pid for daemon in (whole, missing) for pid in daemon.children("consumer")}
    pids = scene.probe.rows("SELECT DISTINCT pid FROM probe_effect WHERE plugin = 'alpha'")
    assert {pid for (pid,) in pids} == both, "one of them has handled nothing"
    scene.prove("both hosts handled events")
    scene.judge(within=30)


@pytest.mark.family
def test_f37_a_host_that_lacks_a_plugin_leaves_its_events_to_one_that_has_it(
    make_scene: MakeScene, site: Site
) -> None:
    two_hosts(make_scene("F37", site, plugins=("alpha", "unimportable")))


def test_f37_so_it_is_where_the_outbox_is_the_queue(make_scene: MakeScene, sql_site: Site) -> None:
    two_hosts(make_scene("F37", sql_site, plugins=("alpha", "unimportable")))


def test_f38_a_plugin_whose_constructor_hangs_costs_nobody_but_itself(
    make_scene: MakeScene, sql_site: Site
) -> None:
    """So do its import and enabled(). What is owed to it waits for its repair."""
    names = ("alpha", "unimportable", "unsure", "slow")
    scene = make_scene("F38", sql_site, plugins=names)
    sql_site.configure(plugins={"load_timeout": 1, "only": ", ".join(names)})
    env = {"PROBE_UNIMPORTABLE": "yes"}
    daemon = scene.start(env=env)
    for name, why in (
        ("unimportable", "ImportError: unimportable lacks a library"),
        ("unsure", "LookupError: unsure cannot say whether it is enabled"),
        ("slow", "HandlerTimeout: the call took longer than its limit of 1 s"),
    ):
        scene.says(daemon, f"plugin {name} cannot be loaded, its events will wait: {why}")
    events = scene.producer.produce(20)
    sql_site.wait_for(events, "alpha")
    wait_until(lambda: len(scene.probe.deliveries()) == 60, 30, "their share is not written down")
    assert {state for state, _, _ in scene.probe.deliveries().values()} == {"pending"}
    daemon.stop()
    scene.probe.give_sign("repaired")
    scene.start()
    scene.healed()
    scene.judge(within=30)


def test_f39_two_plugins_of_one_name_are_refused_with_both_their_names(
    make_scene: MakeScene, site: Site, wheels: dict[str, Path], tmp_path: Path
) -> None:
    """Their rows in the inbox could not be told apart, whatever the case of the letters. A daemon
    that runs already, and reloads, keeps what it has."""
    scene = make_scene("F39", site)
    daemon = scene.start()
    elsewhere = tmp_path / "elsewhere"
    run_pip("install", "--no-deps", "--target", elsewhere, wheels["eventworker-twin"])
    code, output = site.run_daemon(env={"PYTHONPATH": str(elsewhere)})
    assert code == 1
    (line,) = (each for each in output.splitlines() if each.startswith("storyboard-worker"))
    for words in ("two plugins are named", "eventworker-probes", "eventworker-twin"):
        assert words in line
    scene.prove(line)
    scene.producer.produce(20)
    scene.judge()
    assert daemon.ended
