"""Consumers that have grown too large, or worked long enough, are replaced without a trace."""

from tests.acceptance.kinds import SQLITE_FIRST
from tests.acceptance.probe import Probe, once
from tests.acceptance.site import Site
from tests.helpers.events import make_event
from tests.servers import wait_until

ENDS = "this process ends and is replaced"


def test_a_plugin_that_leaks_costs_no_event_and_its_process_never_grows_beyond_the_limit(
    site: Site, probe: Probe
) -> None:
    site.configure(
        DEFAULT={"max_consumer_rss": 300, "graceful_shutdown_timeout": 20},
        plugin_alpha={"obeys": "leak"},
    )
    daemon = site.start(workers=2)
    # Some 2,000 MiB in all, for two processes of 300, which look every quarter of a second: on a
    # quick machine each has had dozens of events until then.
    events = site.send(*(make_event(resource="leak") for _ in range(200)))
    site.wait_for(events, "alpha", "beta", timeout=60)
    daemon.says(ENDS, 2)
    assert "MiB of memory, and max_consumer_rss is 300 MiB" in daemon.output()
    wait_until(lambda: len(daemon.children("consumer")) == 2, 20, "a consumer is missing")
    site.stop_all()
    assert probe.effects() == once(events, "alpha", "beta")
    assert probe.calls() == once(events, "alpha", "beta"), "a finished call was made again"
    assert probe.deliveries() == {}
    pids = {pid for (pid,) in probe.rows("SELECT DISTINCT pid FROM probe_effect")}
    # One successor may have had the rest before the other was up.
    assert len(pids) > 2, "no successor had a hand in the work"


@SQLITE_FIRST
def test_a_small_number_of_events_is_no_crash_loop(sql_site: Site) -> None:
    site, probe = sql_site, sql_site.probe
    site.configure(DEFAULT={"max_consumer_events": 10})
    daemon = site.start(workers=1)
    events = site.send(*(make_event(resource_id=number) for number in range(60)))
    site.wait_for(events, "alpha", "beta", timeout=60)
    assert daemon.output().count(ENDS) >= 5
    assert "ended early" not in daemon.output()
    site.stop_all()
    assert probe.effects() == once(events, "alpha", "beta")
    assert probe.calls() == once(events, "alpha", "beta")


def test_the_processes_of_a_lane_are_replaced_too(site: Site, probe: Probe) -> None:
    site.configure(DEFAULT={"max_consumer_rss": 300}, plugin_beta={"obeys": "leak", "lane": "slow"})
    daemon = site.start(workers=1)
    events = site.send(*(make_event(resource="leak") for _ in range(60)))
    site.wait_for(events, "alpha", "beta", timeout=60)
    daemon.says(ENDS)
    site.stop_all()
    assert probe.effects() == once(events, "alpha", "beta")
    assert probe.deliveries() == {}


def test_a_limit_that_the_plugins_alone_exceed_is_said_and_not_obeyed(
    site: Site, probe: Probe
) -> None:
    site.configure(DEFAULT={"max_consumer_rss": 1})
    daemon = site.start(workers=1)
    events = site.send(*(make_event() for _ in range(5)))
    site.wait_for(events, "alpha", "beta")
    daemon.says("max_consumer_rss = 1 MiB is not looked at")
    assert ENDS not in daemon.output()
    site.stop_all()
    assert probe.effects() == once(events, "alpha", "beta")
