"""Fault after fault by chance, for as long as is wanted, while events come."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.daemon import Daemon
from tests.acceptance.fixtures import make_tables
from tests.acceptance.installation import Installation
from tests.acceptance.site import Site
from tests.faults.databases import proxy_before
from tests.faults.proxy import Proxy, Way
from tests.faults.scene import Scene
from tests.servers import PostgresServer, RabbitServer, wait_until

WORKERS = 3
RATE = 25
#: Seconds from a fault to new effects. A broker takes half of that to start here.
BACK = 60.0
#: What may come and go with connections and the like, in descriptors and threads of a process, and
#: in bytes of memory.
SLACK, SLACK_BYTES = 6, 24 * 2**20
QUIET = {"debug": True, "default_log_levels": "pika=CRITICAL, eventworker.engine.dispatch=INFO"}


@dataclass
class World:
    """All that can be broken."""

    daemon: Daemon
    postgres: PostgresServer
    rabbit: RabbitServer
    database: Proxy
    broker: Proxy
    chance: random.Random

    def a_process(self, title: str) -> int:
        return self.chance.choice(self.daemon.children(title))


def _a_while(chance: random.Random) -> None:
    """Up to a second and a half, by chance."""
    end = time.monotonic() + chance.uniform(0.1, 1.5)
    wait_until(lambda: time.monotonic() >= end, 5)


def restart(world: World, server: PostgresServer | RabbitServer) -> None:
    if world.chance.random() < 0.5:
        server.kill()
    else:
        server.stop()
    server.start()


def silence(world: World, proxy: Proxy) -> None:
    proxy.silence(*world.chance.choice([(Way.UP,), (Way.DOWN,), (Way.UP, Way.DOWN)]))
    _a_while(world.chance)
    proxy.heal()


def freeze(world: World) -> None:
    pid = world.a_process("consumer")
    os.kill(pid, signal.SIGSTOP)
    _a_while(world.chance)
    os.kill(pid, signal.SIGCONT)


#: By how likely it is.
FAULTS: dict[str, tuple[int, Callable[[World], None]]] = {
    "consumer killed": (6, lambda world: os.kill(world.a_process("consumer"), signal.SIGKILL)),
    "service killed": (3, lambda world: os.kill(world.a_process("service"), signal.SIGKILL)),
    "consumer frozen": (2, freeze),
    "SIGHUP": (2, lambda world: world.daemon.signal(signal.SIGHUP)),
    "database cut": (4, lambda world: world.database.cut()),
    "broker cut": (4, lambda world: world.broker.cut()),
    "database silent": (2, lambda world: silence(world, world.database)),
    "broker silent": (2, lambda world: silence(world, world.broker)),
    "database restarted": (2, lambda world: restart(world, world.postgres)),
    "broker restarted": (1, lambda world: restart(world, world.rabbit)),
}


@dataclass(frozen=True)
class Size:
    """What the daemon and its children take, at the most in one process."""

    processes: int
    descriptors: int
    threads: int
    memory: int


def size_of(daemon: Daemon) -> Size:
    family = [daemon.pid, *daemon.family()]
    return Size(
        len(family),
        max(len(os.listdir(f"/proc/{pid}/fd")) for pid in family),
        max(len(os.listdir(f"/proc/{pid}/task")) for pid in family),
        max(_resident(pid) for pid in family),
    )


def _resident(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.timeout(0)
def test_f48_faults_of_every_kind_one_after_the_other(
    make_scene: Callable[..., Scene],
    make_site: Callable[..., Site],
    own_postgres_server: Callable[..., PostgresServer],
    own_rabbit_server: Callable[..., RabbitServer],
    installation: Installation,
    pytestconfig: pytest.Config,
) -> None:
    postgres, rabbit = own_postgres_server(), own_rabbit_server()
    vhost = rabbit.add_vhost()
    site = make_site(postgres.createdb("site"), vhost)
    make_tables(installation, site.url, site.folder)
    site.configure(DEFAULT=QUIET)
    scene = make_scene("F48", site)
    chance = random.Random(scene.seed)
    done: Counter[str] = Counter()
    with proxy_before(site) as database, Proxy(vhost.port) as broker:
        site.configure(notifications={"rabbit_port": broker.port, "rabbit_heartbeat": 4})
        daemon = scene.start(WORKERS)
        world = World(daemon, postgres, rabbit, database, broker, chance)
        scene.producer.produce(200)
        scene.drained()
        before = size_of(daemon)
        end = time.monotonic() + float(pytestconfig.getoption("--soak"))
        with scene.producer.stream(RATE, 10**9):
            while time.monotonic() < end:
                name = chance.choices(list(FAULTS), [weight for weight, _ in FAULTS.values()])[0]
                goal = scene.probe.effect_count() + RATE
                FAULTS[name][1](world)
                done[name] += 1
                wait_until(
                    lambda goal=goal: scene.probe.effect_count() >= goal,
                    BACK,
                    lambda name=name: f"nothing is handled after: {name}; before: {dict(done)}",
                )
                wait_until(lambda: len(daemon.children("consumer")) == WORKERS, 20, "not replaced")
        scene.prove(", ".join(f"{times} {name}" for name, times in sorted(done.items())))
        scene.healed()
        scene.drained(timeout=120)
        wait_until(lambda: size_of(daemon).processes == before.processes, 20, "processes are left")
        after = size_of(daemon)
        scene.judge(timeout=120)
    assert after.descriptors <= before.descriptors + SLACK, f"{before} became {after}"
    assert after.threads <= before.threads + SLACK, f"{before} became {after}"
    assert after.memory <= before.memory + SLACK_BYTES, f"{before} became {after}"
