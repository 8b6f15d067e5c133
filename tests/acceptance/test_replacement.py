"""As many processes as were asked for: what dies is replaced."""

import os
import signal

from tests.acceptance.probe import Probe, once
from tests.acceptance.site import Site
from tests.helpers.events import make_event
from tests.servers import wait_until


def test_ps_shows_as_many_consumers_as_were_asked_for(site: Site) -> None:
    """Beside them the relay and the housekeeping; a dead one is replaced within a second."""
    count = 3
    daemon = site.start(workers=count)
    consumers = daemon.children("consumer")
    assert len(consumers) == count
    assert len(daemon.children("service")) == 2
    assert set(daemon.family()) == {*consumers, *daemon.children("service")}

    victim = consumers[0]
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: victim not in daemon.children("consumer"), 2, "it does not die")
    wait_until(lambda: len(daemon.children("consumer")) == count, 1, "it is not replaced")


def test_a_dead_service_is_replaced_too(site: Site, probe: Probe) -> None:
    daemon = site.start(workers=1)
    for pid in daemon.children("service"):
        os.kill(pid, signal.SIGKILL)
    daemon.says("service relay is process", 2)
    events = site.record(make_event(), make_event())
    site.wait_for(events, "alpha", "beta")
    site.stop_all()
    assert probe.effects() == once(events, "alpha", "beta")
