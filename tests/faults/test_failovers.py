"""The primary dies and a standby takes over, with all that was committed or without its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from tests.acceptance.fixtures import make_tables
from tests.acceptance.installation import Installation
from tests.acceptance.site import Site
from tests.faults.databases import through
from tests.faults.proxy import Proxy, Way
from tests.faults.scene import Scene
from tests.servers import PostgresServer, StandbyServer, Vhost, wait_until

RECOVERED = 10.0
_CAUGHT_UP = "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn = pg_current_wal_lsn()"


class Pair:
    """A primary with its standby.

    :ivar proxy: the one address under which clients find the primary.
    :ivar wal: the way from the primary to the standby.
    """

    def __init__(
        self, primary: PostgresServer, standby: StandbyServer, proxy: Proxy, wal: Proxy
    ) -> None:
        self.primary, self.standby, self.proxy, self.wal = primary, standby, proxy, wal

    def fail_over(self) -> None:
        """Kill the primary; the standby takes over, with what it has received."""
        self.primary.kill()
        self.wal.cut()
        self.standby.promote()
        self.proxy.switch(self.standby.port)


@pytest.fixture
def pair(own_postgres_server: Callable[..., PostgresServer]) -> Iterator[Pair]:
    primary = own_postgres_server({"wal_keep_size": "256MB"})
    primary.createdb("site")
    primary.stop()
    with (
        Proxy(primary.port) as proxy,
        Proxy(primary.port) as wal,
        StandbyServer(primary, wal.port) as standby,
    ):
        primary.start()
        yield Pair(primary, standby, proxy, wal)


@pytest.fixture(params=["rabbit", "sql"])
def pair_site(
    request: pytest.FixtureRequest,
    pair: Pair,
    installation: Installation,
    make_site: Callable[..., Site],
) -> Site:
    """A site on a pair; test and producer follow the fail-over, too."""
    vhost: Vhost | None = None
    if request.param == "rabbit":
        vhost = request.getfixturevalue("vhost")
    site = make_site(through(pair.primary.url("site"), pair.proxy), vhost)
    make_tables(installation, site.url, site.folder)
    return site


def caught_up(pair: Pair, site: Site) -> None:
    """Wait until the standby has all that the primary has."""
    wait_until(lambda: site.probe.number(_CAUGHT_UP) == 1, 30, "the standby does not follow")


def test_f24_a_synchronous_standby_has_everything(
    make_scene: Callable[..., Scene], pair_site: Site, pair: Pair
) -> None:
    pair_site.probe.execute(
        f"ALTER SYSTEM SET synchronous_standby_names = '{StandbyServer.name}'",
        "SELECT pg_reload_conf()",
    )
    scene = make_scene("F24", pair_site)
    daemon = scene.start(workers=2)
    with scene.producer.stream(rate=30, count=100_000):
        wait_until(lambda: scene.probe.effect_count() >= 60, 30, "nothing is handled")
        pair.fail_over()
        scene.says(daemon, "consumption pauses", times=2)
        scene.healed()
        daemon.says("the database answers again; consumption goes on", times=2)
    scene.prove("promoted")
    scene.judge(within=RECOVERED)


@pytest.mark.parametrize("pair_site", ["rabbit"], indirect=True)
def test_f24_what_a_lagging_standby_lacks_is_healed_by_publishing_it_again(
    make_scene: Callable[..., Scene], pair_site: Site, pair: Pair
) -> None:
    """It knows that the events were published, and nothing of their effects."""
    scene = make_scene("F24", pair_site)
    scene.start(workers=1)
    scene.producer.produce(50)
    scene.drained()
    scene.order("dispatch.received", "hold")
    scene.producer.produce(50)
    scene.fired("dispatch.received")
    wait_until(lambda: scene.oracle.unsettled() == 0, 20, "the relay does not publish")
    caught_up(pair, pair_site)
    had = scene.probe.effect_count()
    pair.wal.silence(Way.DOWN)
    scene.go("dispatch.received")
    scene.drained()
    assert scene.probe.effect_count() == 300
    pair_site.stop_all()

    pair.fail_over()
    pair_site.start(workers=2)
    effects, lost = scene.probe.effects(), scene.oracle.judge()
    assert len(effects) == had == 150, "it has more or less than what it had received"
    assert (lost.lost, lost.duplicated, lost.phantom, lost.unproven) == (150, 0, 0, 0)
    scene.prove(f"{lost.lost} effects were not on the standby")
    pair_site.probe.execute("UPDATE eventworker_outbox SET state = 0, claims = 0")
    scene.healed()
    assert scene.judge(within=20).events == 100


def test_f24_a_server_that_only_reads_costs_no_attempt(
    make_scene: Callable[..., Scene], pair_site: Site, pair: Pair
) -> None:
    """A standby that is not promoted yet: it answers, and refuses every write."""
    for name in ("alpha", "beta", "gamma"):
        pair_site.configure(**{f"plugin_{name}": {"max_attempts": 1}})
    scene = make_scene("F24", pair_site)
    daemon = scene.start(workers=2)
    scene.producer.produce(20)
    scene.drained()
    with scene.producer.stream(rate=30, count=100_000):
        wait_until(lambda: scene.producer.committed >= 60, 20, "nothing is produced")
        caught_up(pair, pair_site)
        pair.proxy.switch(pair.standby.port)
        began = time.monotonic()
        scene.says(daemon, "read-only transaction")
        wait_until(lambda: scene.producer.refused >= 60, 20, "it takes writes")
    # Doubling from a tenth of a second; never more than five seconds.
    most = 2 * (7 + (time.monotonic() - began) / 3.75)
    assert daemon.output().count("consumption pauses") <= most, "it pauses again and again"
    pair.proxy.switch(pair.primary.port)
    scene.healed()
    assert scene.judge(within=RECOVERED).dead == 0
