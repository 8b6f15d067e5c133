"""Too few processes, descriptors or consumers for what comes: slower, and nothing is lost."""

import os
import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.acceptance.daemon import Daemon
from tests.acceptance.site import Site
from tests.faults.scene import PLUGINS, Scene
from tests.servers import wait_until

MakeScene = Callable[..., Scene]
RECOVERED = 15.0
#: Nobody else's, so that the kernel counts the processes of this daemon alone.
STRANGER = 64999
AS_STRANGER = ["setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups"]
#: The tests' folders are closed to others, and another run of pytest closes them again.
AS_STRANGER += ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
#: What one consumer may grow by under a backlog of whatever size, in MB: 32 deliveries of at most
#: 1 MB, and what Python needs for them.
GROWTH = 64


def as_a_stranger(site: Site) -> Daemon:
    """A daemon of a user of its own: root's number of processes has no limit."""
    # For os.access(), which asks without the privilege.
    for folder in (*site.installation.folder.parents, *site.folder.parents):
        if folder.stat().st_uid == os.geteuid():
            folder.chmod(folder.stat().st_mode | 0o011)
    command = [*AS_STRANGER, site.installation.bin / "storyboard-worker-daemon"]
    arguments = ["--config-file", site.file, "--worker-count", "2"]
    daemon = Daemon([*command, *arguments], site.folder / "daemon-stranger.log")
    site.daemons.append(daemon)
    daemon.says("consuming", 2, timeout=30)
    return daemon


def soft_limit(daemon: Daemon) -> str:
    limits = Path(f"/proc/{daemon.pid}/limits").read_text()
    return limits.partition("Max processes")[2].split()[0]


def allow_processes(daemon: Daemon, number: str) -> None:
    """A limit may be changed by its owner, and root may lack the privilege for others."""
    command = ["prlimit", "--pid", str(daemon.pid), f"--nproc={number}:"]
    subprocess.run([*AS_STRANGER, *command], check=True)


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="needs root, to be somebody else"
)
def test_f41_no_process_can_be_started_for_a_while(make_scene: MakeScene, site: Site) -> None:
    """The daemon keeps what it has, tries again, and gives the dead their due later."""
    scene = make_scene("F41", site)
    site.configure(plugin_alpha={"obeys": "killed", "max_attempts": 2})
    daemon = as_a_stranger(site)
    scene.producer.produce(20)
    limit = soft_limit(daemon)
    allow_processes(daemon, "1")
    scene.producer.produce(1, resource="killed")
    scene.says(daemon, "no process can be started, trying again: Resource temporarily unavailable")
    with scene.producer.stream(rate=50, count=100):
        scene.says(daemon, "no process can be started", times=3)
    survivors = daemon.children("consumer")
    scene.producer.produce(20)
    allow_processes(daemon, limit)
    scene.healed()
    wait_until(lambda: len(daemon.children("consumer")) == 2, 10, "it is not replaced")
    assert set(survivors) <= set(daemon.children("consumer")) or len(survivors) < 2
    assert scene.judge(within=RECOVERED).dead == 1


def test_f41_no_descriptor_is_left_for_a_new_connection(make_scene: MakeScene, site: Site) -> None:
    """Their connections are cut, and they can open no other: they wait as for a database that is
    away, and nobody's event is to blame."""
    scene = make_scene("F41", site)
    daemon = scene.start()
    scene.producer.produce(20)
    scene.drained()
    consumers = daemon.children("consumer")
    before = {pid: limited(pid) for pid in consumers}
    scene.probe.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    scene.producer.produce(20)
    scene.says(daemon, "consumption pauses", times=len(consumers))
    for pid, limits in before.items():
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    scene.healed()
    scene.judge(within=RECOVERED)
    assert not scene.probe.deliveries()


def limited(pid: int) -> tuple[int, int]:
    """Leave this process the descriptors that it has, and no more; the limits before."""
    used = {int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir()}
    lowest_free = min(set(range(len(used) + 1)) - used)
    hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]
    return resource.prlimit(pid, resource.RLIMIT_NOFILE, (lowest_free, hard))


def resident(pids: Iterable[int]) -> float:
    """Memory of the largest of these processes, in MB."""
    sizes = [0.0]
    for pid in pids:
        words = Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")[2].split()
        sizes.append(int(words[0]) / 1024)
    return max(sizes)


def backlog_worked_off(scene: Scene, count: int) -> None:
    """So many events wait already when the daemon starts."""
    body = {"title": "x" * 1000}
    scene.producer.produce(count, chunk=500, resource_after=body)
    waiting = scene.oracle.unsettled()
    scene.prove(f"{waiting} events wait")
    assert waiting == count
    daemon = scene.start()
    scene.healed()
    first = scene.probe.effect_count() or 0
    base = largest = resident(daemon.children("consumer"))
    began, half = time.monotonic(), 0.0
    while (done := scene.probe.effect_count()) < count:
        largest = max(largest, resident(daemon.children("consumer")))
        if not half and done - first >= (count - first) / 2:
            half = time.monotonic() - began
        assert time.monotonic() - began < 600, f"{done} of {count} are done"
    whole = time.monotonic() - began
    scene.prove(f"{count / whole:.0f} events/s, {base:.0f} MB, at most {largest:.0f} MB")
    assert largest - base < GROWTH, f"it grew from {base:.0f} to {largest:.0f} MB"
    assert whole - half < 3 * half, f"first half {half:.1f} s, second half {whole - half:.1f} s"
    scene.judge(timeout=120)


@pytest.mark.timeout(900)
def test_f42_a_backlog_of_20000_events_does_not_fill_the_memory(
    make_scene: MakeScene, site: Site
) -> None:
    site.configure(outbox={"relay": True})
    backlog_worked_off(make_scene("F42", site, plugins=("alpha",)), 20_000)


@pytest.mark.timeout(900)
def test_f42_so_it_is_where_the_outbox_is_the_queue(
    make_scene: MakeScene, make_site: Callable[..., Site], database: str
) -> None:
    backlog_worked_off(make_scene("F42", make_site(database), plugins=("alpha",)), 20_000)


@pytest.mark.parametrize(
    ("lane", "prefetch"), [("slow", 32), ("main", 1)], ids=["in its own lane", "prefetch = 1"]
)
def test_f42_a_slow_plugin_does_not_starve_the_others(
    make_scene: MakeScene, site: Site, lane: str, prefetch: int
) -> None:
    """While it works on one event, everything else goes on: with a lane of its own by itself, else
    as far as another process has not got the events already."""
    scene = make_scene("F42", site)
    site.configure(
        notifications={"prefetch": prefetch},
        plugin_gamma={"obeys": "hold", "lane": lane, "handler_timeout": 60},
    )
    scene.start()
    (slow,) = scene.producer.produce(1, resource="hold")
    wait_until(lambda: scene.probe.calls()[str(slow.id), "gamma"], 15, "the call does not begin")
    events = scene.producer.produce(200)
    others = PLUGINS if lane == "main" else ("alpha", "beta")
    # One event may wait behind the slow call, in the hand of its process.
    wanted = len(others) * (len(events) - prefetch * (lane == "main"))
    count = "SELECT count(*) FROM probe_effect WHERE event_id <> :slow"
    wait_until(
        lambda: scene.probe.number(count, slow=str(slow.id)) >= wanted, 20, "the others wait"
    )
    assert scene.probe.effects()[str(slow.id), "gamma"] == 0
    scene.prove("200 events pass by a call that holds")
    scene.probe.give_sign("released")
    scene.healed()
    scene.judge(within=RECOVERED)


def test_f10_consumers_that_leak_are_replaced_and_nothing_is_lost(
    make_scene: MakeScene, site: Site
) -> None:
    """Each call keeps ten MiB for the life of its process."""
    scene = make_scene("F10", site)
    site.configure(DEFAULT={"max_consumer_rss": 250}, plugin_alpha={"obeys": "leak"})
    daemon = scene.start()
    scene.producer.produce(100, resource="leak")
    scene.says(daemon, "this process ends and is replaced", times=3, timeout=60)
    scene.healed()
    scene.judge()
    assert "ended early" not in daemon.output(), "it counts as a crash loop"
