"""Several events in one transaction, and what may happen in the middle of it.

A group is an economy and no promise: it may be cut off at any place. What was committed is not done
again, what was not is done alone, and only the event that did it pays for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from eventworker.event import Event
from tests.acceptance.daemon import Daemon
from tests.acceptance.fixtures import make_tables
from tests.acceptance.installation import Installation
from tests.acceptance.outages import bring_back
from tests.acceptance.site import QUEUE, Site
from tests.faults.proxy import Proxy, Way
from tests.faults.scene import Scene
from tests.servers import MariaServer, PostgresServer, Vhost, wait_until

MakeScene = Callable[..., Scene]

#: A group waits so long for so many events: each one that is needed here comes about.
SIZE, LINGER = 10, 1.0
KINDS = ("adder", "writer", "batcher")
TALLY = (
    "CREATE TABLE probe_tally (plugin VARCHAR(20) NOT NULL PRIMARY KEY, n INTEGER NOT NULL)",
    "INSERT INTO probe_tally VALUES ('writer', 0)",
)
LOCKS = (
    "CREATE TABLE probe_lock (id INTEGER NOT NULL PRIMARY KEY, n INTEGER NOT NULL)",
    "INSERT INTO probe_lock VALUES (1, 0), (2, 0)",
)
#: Where a process dies, and how often it has been there by then.
KILLS = (
    ("call.claimed", 1),
    ("group.called", 4),
    ("group.flushed", 1),
    ("call.returned", 1),
    ("commit.before", 1),
    ("commit.after", 1),
    ("ack.before", 1),
    ("ack.after", 4),
)
BEFORE_ANY_CALL = "call.claimed"
ATTEMPTS = 2
INTERRUPTED = "the call took longer than its limit of 2 s"
KILLED = "killed: the call did not end at its limit of 2 s"
#: Behaviour, and what its dead letter says, as a regular expression.
SURVIVED = {
    "boom": "RuntimeError: boom",
    "stumble": "RuntimeError: stumbled",
    # Found out by the COMMIT, or on PostgreSQL by the flush before it.
    "swallow": "TransactionLost|transaction is aborted",
    "hang": INTERRUPTED,
}
DEADLY = {
    "leave": "the process ended with exit code 3 during the call",
    "segfault": "killed by signal SIGSEGV during the call",
    "uninterruptible": KILLED,
}
#: PostgreSQL's COMMIT travels behind the proof that the transaction is still ours.
COMMITS = {"postgresql": rb"pg_current_xact_id_if_assigned.*COMMIT", "mariadb": rb"\x03COMMIT"}
RECOVERED = 30.0


@pytest.fixture(params=["rabbit-postgresql", "rabbit-mariadb", "sql-sqlite", "sql-postgresql"])
def any_site(request: pytest.FixtureRequest, make_site: Callable[..., Site]) -> Site:
    """A site with a broker, and one without, on each kind of database that makes a difference."""
    transport, _, kind = request.param.partition("-")
    name = {"postgresql": "database", "mariadb": "maria_database", "sqlite": "sqlite_database"}
    url = request.getfixturevalue(name[kind])
    return make_site(url, request.getfixturevalue("vhost") if transport == "rabbit" else None)


on_servers = pytest.mark.parametrize(
    "any_site", ["rabbit-postgresql", "rabbit-mariadb"], indirect=True
)
with_a_broker_or_a_file = pytest.mark.parametrize(
    "any_site", ["rabbit-postgresql", "rabbit-mariadb", "sql-sqlite"], indirect=True
)
of_each_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def stage(make_scene: MakeScene) -> Callable[..., Scene]:
    """Sets the scene of a plugin whose events come in groups."""

    def make(site: Site, kind: str, **limits: object) -> Scene:
        scene = make_scene("F44", site, plugins=[kind])
        site.configure(
            notifications={"group_size": SIZE, "group_linger": LINGER},
            **{f"plugin_{kind}": limits},
        )
        scene.probe.execute(*TALLY)
        return scene

    return make


def in_group_of(scene: Scene, pid: int) -> int:
    """How many events a process was called with in company."""
    return sum(pid in pids for pids in scene.probe.shared_calls().values())


def judged(scene: Scene, dead: int = 0, **more: object) -> None:
    """The verdict; and nothing that came again was in a group again, in another process."""
    assert scene.judge(**more).dead == dead  # type: ignore[arg-type]
    shared = scene.probe.shared_calls()
    assert shared, "there was no group"
    assert all(len(set(pids)) == 1 for pids in shared.values()), "it came again in a group"
    (counted,) = [n for (n,) in scene.probe.rows("SELECT n FROM probe_tally")]
    assert counted == (scene.probe.effect_count() if "writer" in scene.oracle.plugins else 0)


def killed_in_groups(scene: Scene, kills: tuple[tuple[str, int], ...]) -> None:
    """A process dies in its group at each of these places; the other one goes on."""
    daemon = scene.start(workers=2)
    for point, times in kills:
        scene.order(point, times=times)
        scene.producer.produce(4 * SIZE)
        (victim,) = scene.fired(point)
        if point != BEFORE_ANY_CALL:
            assert in_group_of(scene, victim) >= times, "it was not in a group"
        wait_until(lambda: len(daemon.children("consumer")) == 2, 30, "it is not replaced")
        scene.healed()
        # What comes again is alone, and must not be what the next one dies of.
        assert scene.drained() <= RECOVERED
    judged(scene, within=RECOVERED)


@pytest.mark.family
def test_f44_a_consumer_killed_in_a_group_leaves_no_half_of_it(
    stage: Callable[..., Scene], site: Site
) -> None:
    killed_in_groups(stage(site, "adder"), (("group.called", 4), ("ack.after", 4)))


@of_each_kind
def test_f44_killed_at_each_place_of_a_group(
    stage: Callable[..., Scene], any_site: Site, kind: str
) -> None:
    kills = tuple(each for each in KILLS if (kind, each[0]) != ("batcher", "group.called"))
    killed_in_groups(stage(any_site, kind), kills)


@of_each_kind
def test_f44_of_a_group_that_is_acked_in_part_nothing_is_called_again(
    stage: Callable[..., Scene], site: Site, vhost: Vhost, kind: str
) -> None:
    scene = stage(site, kind)
    scene.start(workers=1)
    scene.order("ack.after", "hold", times=4)
    scene.producer.produce(SIZE)
    (victim,) = scene.fired("ack.after")
    wait_until(lambda: vhost.messages(QUEUE) < SIZE, 30, "the broker hears of no ack")
    left = vhost.messages(QUEUE)
    assert left >= SIZE - 4, "acked before its turn"
    scene.prove(f"{left} of {SIZE} are not acked")
    scene.kill(victim)
    scene.healed()
    judged(scene, within=RECOVERED)
    assert set(scene.probe.calls().values()) == {1}


# Events that do something to their group.


def culprits(scene: Scene, behaviours: dict[str, str]) -> None:
    """One bad event of each kind, the fifth of ten, each in the first group of a process: trouble
    makes the groups of its process smaller for a while."""
    probe, (kind,) = scene.probe, scene.oracle.plugins
    limits = {"max_attempts": ATTEMPTS, "handler_timeout": 2, "backoff": 0.05}
    scene.site.configure(**{f"plugin_{kind}": {"obeys": ", ".join(behaviours), **limits}})
    daemon = scene.start(workers=1)
    bad: dict[str, Event] = {}
    for name in behaviours:
        if bad:
            replaced(scene, daemon)
        scene.producer.produce(4)
        (bad[name],) = scene.producer.produce(1, resource=name)
        scene.producer.produce(5)
        wait_until(
            lambda: len(probe.dead()) == len(bad) and scene.oracle.open_pairs() <= 0,
            60,
            lambda name=name: f"{name}: {probe.deliveries()}",
        )
    scene.prove("dead letters of: " + ", ".join(behaviours))
    judged(scene, dead=len(bad))
    for name, error in behaviours.items():
        pair = str(bad[name].id), kind
        state, attempts, said = probe.deliveries()[pair]
        assert (state, attempts) == ("dead", ATTEMPTS), name
        assert re.search(error, said), said
        assert probe.shared_calls()[pair], f"{name}: it was not in a group"
    blamed_alone(daemon, bad, behaviours)


def replaced(scene: Scene, daemon: Daemon) -> None:
    """The one consumer, which has nothing in hand, gives way to a new one."""
    (old,) = wait_until(lambda: daemon.children("consumer"), 30, "there is no consumer")
    scene.kill(old)
    wait_until(lambda: daemon.children("consumer") not in ([], [old]), 30, "it is not replaced")


def blamed_alone(daemon: Daemon, bad: dict[str, Event], errors: dict[str, str]) -> None:
    """Whatever the log says of an attempt that failed, it says of a bad event."""
    ids = {str(event.id) for event in bad.values()}
    failed = re.compile("|".join(("failed, again in", "dead letter:", *errors.values())))
    for line in daemon.output().splitlines():
        if "event=" in line and failed.search(line):
            assert any(event_id in line for event_id in ids), f"an innocent one: {line}"


def kinds_of_trouble(site: Site) -> dict[str, str]:
    everything = {**SURVIVED, **DEADLY}
    if not site.url.startswith("sqlite"):  # it does not come back to Python during a statement
        everything["endless_sql"] = INTERRUPTED
    return everything


@with_a_broker_or_a_file
@pytest.mark.parametrize("kind", ["adder", "writer"])
def test_f44_whatever_an_event_does_in_a_group_it_alone_pays_for_it(
    stage: Callable[..., Scene], any_site: Site, kind: str
) -> None:
    culprits(stage(any_site, kind), kinds_of_trouble(any_site))


@pytest.mark.family
def test_f44_a_batch_that_takes_its_process_down_comes_again_one_by_one(
    stage: Callable[..., Scene], site: Site
) -> None:
    scene = stage(site, "batcher")
    culprits(scene, {"leave": DEADLY["leave"]})
    assert "its events come again one by one" in site.daemons[0].output()


@with_a_broker_or_a_file
def test_f44_whatever_an_event_does_to_its_batch_it_alone_pays_for_it(
    stage: Callable[..., Scene], any_site: Site
) -> None:
    scene = stage(any_site, "batcher")
    culprits(scene, kinds_of_trouble(any_site))
    # The first death was nobody's, so it cost no attempt.
    said = any_site.daemons[0].output().count("its events come again one by one")
    assert said == len(DEADLY)


# The database and the broker, in the middle of a group.

#: Ends whoever is in the middle of a transaction, on the server.
IN_TRANSACTION = {
    "postgresql": "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
    " AND state = 'idle in transaction'",
    "mariadb": "SELECT p.id FROM information_schema.processlist p"
    " JOIN information_schema.innodb_trx t ON t.trx_mysql_thread_id = p.id"
    " WHERE p.db = database() AND p.command = 'Sleep'",
}
KILL = {"postgresql": "SELECT pg_terminate_backend({})", "mariadb": "KILL {}"}


def dialect(site: Site) -> str:
    return site.url.partition(":")[0].partition("+")[0].replace("mysql", "mariadb")


def middles(kind: str) -> list[tuple[str, int]]:
    """Places in the middle of a group's transaction."""
    called = [] if kind == "batcher" else [("group.called", 4)]
    return [*called, ("group.flushed", 1), ("commit.before", 1)]


def repeated_calls(scene: Scene) -> int:
    """Calls beyond the first for their event."""
    return sum(times - 1 for times in scene.probe.calls().values())


@on_servers
@of_each_kind
def test_f44_a_session_ended_in_the_middle_of_a_group_costs_no_attempt(
    stage: Callable[..., Scene], any_site: Site, kind: str
) -> None:
    scene = stage(any_site, kind, max_attempts=1)
    scene.start(workers=1)
    for point, times in middles(kind):
        scene.order(point, "hold", times)
        scene.producer.produce(SIZE)
        scene.fired(point)
        find, end = IN_TRANSACTION[dialect(any_site)], KILL[dialect(any_site)]
        found = wait_until(
            lambda find=find: scene.probe.rows(find), 10, "nobody is in a transaction"
        )
        for (number,) in found:
            scene.probe.execute(end.format(number))
        scene.prove(f"{len(found)} sessions ended by the server")
        scene.go(point)
        scene.healed()
        assert scene.drained() <= RECOVERED
    judged(scene)
    assert repeated_calls(scene) >= SIZE / 2, "no group was done again"


@on_servers
@of_each_kind
@pytest.mark.parametrize("arrives", [False, True], ids=["lost", "answer-lost"])
def test_f44_the_commit_of_a_group_that_is_cut_off_is_looked_up(
    stage: Callable[..., Scene],
    any_site: Site,
    proxied: Callable[[Site], Proxy],
    kind: str,
    arrives: bool,
) -> None:
    scene = stage(any_site, kind, max_attempts=1)
    proxy = proxied(any_site)
    scene.start(workers=1)
    for cuts in range(1, 4):
        # MariaDB's COMMIT looks like everybody's; held before it, the consumer sends no other.
        scene.order("commit.before", "hold")
        scene.producer.produce(SIZE)
        scene.fired("commit.before", times=cuts)
        proxy.cut_at(COMMITS[dialect(any_site)], Way.UP, forward=arrives)
        scene.go("commit.before")
        wait_until(lambda cuts=cuts: proxy.seen["matched"] == cuts, 30, "no COMMIT passed")
        scene.healed()
        assert scene.drained() <= RECOVERED
    scene.prove(f"{cuts} times cut at COMMIT")
    judged(scene)
    # What the server has got was never called again, and what it has not got, all of it once: the
    # first group had ten events, and those after it are smaller.
    assert (repeated_calls(scene) >= SIZE + cuts - 1) is not arrives
    assert max(scene.probe.calls().values()) == (1 if arrives else 2)


@pytest.fixture(params=["postgresql", "mariadb"])
def server(
    request: pytest.FixtureRequest,
    own_postgres_server: Callable[..., PostgresServer],
    own_maria_server: Callable[..., MariaServer],
) -> Iterator[PostgresServer | MariaServer]:
    made = own_postgres_server() if request.param == "postgresql" else own_maria_server()
    yield made
    if isinstance(made, PostgresServer):
        bring_back(made)


@of_each_kind
def test_f44_a_database_that_dies_in_the_middle_of_a_group_costs_no_attempt(
    stage: Callable[..., Scene],
    make_site: Callable[..., Site],
    installation: Installation,
    server: PostgresServer | MariaServer,
    vhost: Vhost,
    kind: str,
) -> None:
    site = make_site(server.createdb(), vhost)
    make_tables(installation, site.url, site.folder)
    scene = stage(site, kind, max_attempts=1)
    daemon = scene.start(workers=1)
    for rounds, (point, times) in enumerate(middles(kind), start=1):
        scene.order(point, "hold", times)
        scene.producer.produce(SIZE)
        scene.fired(point)
        server.kill()
        scene.go(point)
        scene.says(daemon, "consumption pauses", times=rounds)
        server.start()
        scene.healed()
        assert scene.drained() <= RECOVERED
    judged(scene)


@on_servers
@pytest.mark.parametrize("kind", ["adder", "batcher"])
def test_f44_groups_that_wait_for_each_other_cost_no_attempt(
    stage: Callable[..., Scene], any_site: Site, kind: str
) -> None:
    """Each has locked a row that the other one is after, and waits until it has."""
    scene = stage(any_site, kind, max_attempts=1, obeys="one_then_two, two_then_one")
    scene.probe.execute(*LOCKS)
    daemon = scene.start(workers=2)
    scene.producer.produce(3)
    scene.producer.produce(1, resource="one_then_two")
    scene.producer.produce(3)
    wait_until(lambda: (scene.probe.folder / "locked-1").exists(), 30, "the call does not begin")
    # Two of them, so that each consumer gets one: of which one is held by the first group.
    scene.producer.produce(3)
    scene.producer.produce(2, resource="two_then_one")
    scene.producer.produce(3)
    scene.says(daemon, "events are done anew in smaller groups")
    scene.says(daemon, "deadlock" if dialect(any_site) == "postgresql" else "Deadlock")
    scene.healed()
    judged(scene, within=RECOVERED)
    assert [n for (n,) in scene.probe.rows("SELECT n FROM probe_lock ORDER BY id")] == [3, 3]


@of_each_kind
def test_f44_a_broker_that_is_lost_between_a_groups_commit_and_its_acks(
    stage: Callable[..., Scene], site: Site, vhost: Vhost, kind: str
) -> None:
    scene = stage(site, kind, max_attempts=1)
    with Proxy(vhost.port) as broker:
        site.configure(notifications={"rabbit_port": broker.port})
        daemon = scene.start(workers=1)
        for rounds, times in enumerate((1, 4), start=1):
            scene.order("ack.before", "hold", times)
            scene.producer.produce(SIZE)
            scene.fired("ack.before", times=rounds)
            before = daemon.output().count(f"consuming {QUEUE}")
            broker.cut()
            scene.says(daemon, f"consuming {QUEUE}", before + 1)
            scene.go("ack.before")
            scene.healed()
            assert scene.drained() <= RECOVERED
        scene.prove(f"{broker.seen['cut']} connections cut")
        judged(scene)
    assert set(scene.probe.calls().values()) == {1}, "what was committed was called again"
