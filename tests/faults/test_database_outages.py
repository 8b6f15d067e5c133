"""The database goes away in every way that it can, and comes back: consumption pauses meanwhile."""

from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg import sql

from tests.acceptance.fixtures import make_tables
from tests.acceptance.installation import Installation
from tests.acceptance.outages import bring_back
from tests.acceptance.site import Site
from tests.faults.proxy import Proxy, Way
from tests.faults.scene import Scene
from tests.helpers.rabbit import consumers
from tests.servers import MariaServer, PostgresServer, Vhost, wait_until

RECOVERED = 30.0
#: Changes per second, so few that the time to recover is not the time to work off a heap.
RATE = 30
#: Bytes that heartbeats and the cancelled consumers may take while nothing is to be delivered.
NOT_A_STORM = 4096

ENDS: dict[str, Callable[[PostgresServer], None]] = {
    "fast": lambda server: server.stop(),
    "immediate": lambda server: server.stop(immediately=True),
    "kill": lambda server: server.kill(),
}


@pytest.fixture(scope="module")
def server(
    installation: Installation, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PostgresServer]:
    """A server of the module's own, with a database that the tests' are copies of."""
    with PostgresServer() as made:
        folder = tmp_path_factory.mktemp("template")
        make_tables(installation, made.createdb("template"), folder)
        yield made


@pytest.fixture
def url(server: PostgresServer) -> Iterator[str]:
    yield server.createdb(template="template")
    bring_back(server)


@pytest.fixture
def rabbit_site(url: str, vhost: Vhost, make_site: Callable[..., Site]) -> Site:
    return make_site(url, vhost)


@pytest.fixture
def embedded_site(url: str, make_site: Callable[..., Site]) -> Site:
    return make_site(url)


def with_a_call_in_hand(scene: Scene) -> Scene:
    """No event may pay for an outage: where one attempt is all there is, a dead letter shows it."""
    one = {"max_attempts": 1}
    scene.site.configure(plugin_alpha={"obeys": "hold", **one}, plugin_beta=one, plugin_gamma=one)
    return scene


def outage(scene: Scene, server: PostgresServer | MariaServer, end: Callable[[], None]) -> None:
    """It ends in the middle of a call and of a stream of events, and starts again."""
    daemon = scene.start(workers=2)
    with scene.producer.stream(rate=RATE, count=100_000):
        wait_until(lambda: scene.probe.effect_count() >= 60, 30, "nothing is handled")
        held = scene.producer.produce(2, resource="hold")
        wait_until(
            lambda: any(scene.probe.call_pids(event.id) for event in held), 20, "no call begins"
        )
        end()
        scene.probe.give_sign("released")
        scene.says(daemon, "consumption pauses", times=2)
        wait_until(lambda: scene.producer.refused >= 3, 30, "the producer does not notice")
        server.start()
        scene.healed()
        daemon.says("the database answers again; consumption goes on", times=2, timeout=30)
    assert scene.judge(within=RECOVERED).dead == 0


@pytest.mark.family
def test_f23_a_postmaster_killed_in_the_middle_of_calls(
    make_scene: Callable[..., Scene], rabbit_site: Site, server: PostgresServer
) -> None:
    outage(with_a_call_in_hand(make_scene("F23", rabbit_site)), server, server.kill)


@pytest.mark.parametrize("end", ["fast", "immediate"])
def test_f23_a_shutdown_in_the_middle_of_calls(
    make_scene: Callable[..., Scene], rabbit_site: Site, server: PostgresServer, end: str
) -> None:
    outage(with_a_call_in_hand(make_scene("F23", rabbit_site)), server, lambda: ENDS[end](server))


@pytest.mark.parametrize("end", ENDS)
def test_f23_where_the_outbox_is_the_queue(
    make_scene: Callable[..., Scene], embedded_site: Site, server: PostgresServer, end: str
) -> None:
    outage(with_a_call_in_hand(make_scene("F23", embedded_site)), server, lambda: ENDS[end](server))


def test_f23_mariadb_killed_in_the_middle_of_calls(
    make_scene: Callable[..., Scene],
    own_maria_server: Callable[..., MariaServer],
    installation: Installation,
    make_site: Callable[..., Site],
    vhost: Vhost,
) -> None:
    server = own_maria_server()
    site = make_site(server.createdb(), vhost)
    make_tables(installation, site.url, site.folder)
    outage(with_a_call_in_hand(make_scene("F23", site)), server, server.kill)


def test_f23_consumption_pauses_and_gives_nothing_back(
    make_scene: Callable[..., Scene], rabbit_site: Site, server: PostgresServer, vhost: Vhost
) -> None:
    """A consumer that gave its deliveries back would be sent them again, and again."""
    scene = make_scene("F23", rabbit_site)
    with Proxy(vhost.port) as broker:
        rabbit_site.configure(notifications={"rabbit_port": broker.port})
        daemon = scene.start(workers=2)
        scene.producer.produce(300)
        wait_until(lambda: scene.probe.effect_count() >= 60, 30, "nothing is handled")
        server.kill()
        scene.says(daemon, "consumption pauses", times=2)
        wait_until(lambda: consumers(vhost) == 0, 30, "they consume still")
        before = broker.seen.copy()
        scene.producer.attempt(1)
        wait_until(
            lambda: not scene.producer.attempt(1) and scene.producer.refused >= 100, 10, "it is up"
        )
        passed = {way: broker.seen[way.value] - before[way.value] for way in Way}
        assert passed[Way.DOWN] < NOT_A_STORM, f"delivered without a database: {passed}"
        assert passed[Way.UP] < NOT_A_STORM, f"given back again and again: {passed}"
        server.start()
        scene.healed()
        scene.judge(within=RECOVERED)


@pytest.mark.parametrize("kind", ["rabbit_site", "embedded_site"])
def test_f23_a_server_that_stands_still_holds_nobody_for_longer(
    make_scene: Callable[..., Scene],
    server: PostgresServer,
    request: pytest.FixtureRequest,
    kind: str,
) -> None:
    """SIGSTOP: its kernel answers, it does not; what waits goes on as soon as it does."""
    scene = make_scene("F23", request.getfixturevalue(kind))
    scene.start(workers=2)
    with scene.producer.stream(rate=RATE, count=100_000):
        wait_until(lambda: scene.probe.effect_count() >= 60, 30, "nothing is handled")
        server.pause()
        try:
            with pytest.raises(psycopg.OperationalError, match="timeout"):
                server.execute(sql.SQL("SELECT 1").format())
            scene.prove("SIGSTOP: a connection was not answered in time")
        finally:
            server.resume()
        scene.healed()
    scene.judge(within=RECOVERED)


@pytest.mark.parametrize("sql_site", ["database", "maria_database"], indirect=True)
def test_f23_a_host_that_vanishes_is_given_up_in_time(
    make_scene: Callable[..., Scene], sql_site: Site, proxied: Callable[[Site], Proxy]
) -> None:
    """Without a word to anybody, as when its power fails; a kernel's own patience is hours."""
    proxy = proxied(sql_site)
    sql_site.configure(database={"silence_timeout": 3})
    scene = make_scene("F23", sql_site)
    daemon = scene.start(workers=2)
    with scene.producer.stream(rate=RATE, count=100_000):
        wait_until(lambda: scene.probe.effect_count() >= 60, 30, "nothing is handled")
        proxy.vanish()
        scene.says(daemon, "consumption pauses", times=2, timeout=15)
        scene.prove(f"{proxy.seen['vanished']} connections met silence")
        proxy.heal()
        scene.healed()
        daemon.says("the database answers again; consumption goes on", times=2)
    scene.judge(within=RECOVERED)
