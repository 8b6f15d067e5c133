"""A slow plugin in a lane of its own leaves the others' latency alone."""

import statistics

from tests.acceptance.probe import Probe, once
from tests.acceptance.site import Site
from tests.helpers.events import make_event
from tests.servers import wait_until


def test_a_slow_plugin_in_its_lane_does_not_hold_up_the_others(site: Site, probe: Probe) -> None:
    site.configure(plugin_beta={"obeys": "hold", "lane": "slow"})
    daemon = site.start(workers=1)
    wait_until(lambda: daemon.children("lane"), 20, "the lane has no process")
    (held,) = site.send(make_event(resource="hold"))
    wait_until(lambda: (str(held.id), "beta") in probe.calls(), 30, "the slow call does not begin")

    latencies = []
    events = []
    for number in range(20):  # one at a time, so that none waits for another
        events += site.send(make_event(resource_id=number))
        site.wait_for(events, "alpha")
        ((at,),) = probe.rows(
            "SELECT at FROM probe_effect WHERE event_id = :id", id=str(events[-1].id)
        )
        latencies.append(at - events[-1].time.timestamp())
    assert statistics.median(latencies) < 1, f"seconds: {sorted(latencies)}"
    assert [pair for pair in probe.effects() if pair[1] == "beta"] == []

    probe.give_sign("released")
    site.wait_for([held, *events], "alpha", "beta")
    lane = set(daemon.children("lane"))
    pids = probe.rows("SELECT DISTINCT pid FROM probe_effect WHERE plugin = 'beta'")
    assert {pid for (pid,) in pids} == lane
    site.stop_all()
    assert probe.effects() == once([held, *events], "alpha", "beta")
