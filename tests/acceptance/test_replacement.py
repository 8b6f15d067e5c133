"""As many processes as were asked for: what dies is replaced."""

import os
import signal

from tests.acceptance.probe import Probe, once
from tests.acceptance.site import Site
from tests.helpers.events import make_event
from tests.servers import wait_until


def test_ps_shows_as_many_consumers_as_were_asked_for(site: Site) -> None:
    """Beside them the four side services; a dead one is replaced."""
    count = 3
    daemon = site.start(workers=count)
    consumers = daemon.children("consumer")
    assert len(consumers) == count
    assert len(daemon.children("service")) == 4
    assert set(daemon.family()) == {*consumers, *daemon.children("service")}

    victim = consumers[0]
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: victim not in daemon.children("consumer"), 20, "it does not die")
    wait_until(lambda: len(daemon.children("consumer")) == count, 20, "it is not replaced")


def test_a_dead_service_is_replaced_too(site: Site, probe: Probe) -> None:
    daemon = site.start(workers=1)
    for pid in daemon.children("service"):
        os.kill(pid, signal.SIGKILL)
    daemon.says("service relay is process", 2)
    events = site.record(make_event(), make_event())
    site.wait_for(events, "alpha", "beta")
    site.stop_all()
    assert probe.effects() == once(events, "alpha", "beta")


def test_events_that_kill_every_consumer_that_takes_them_do_not_stop_the_others(
    site: Site, probe: Probe
) -> None:
    """Both plugins die of each of them, so each costs a process four times."""
    attempts = 2
    limits = {"obeys": "segfault", "max_attempts": attempts}
    site.configure(plugin_alpha=limits, plugin_beta=limits)
    daemon = site.start(workers=1)
    bad = site.send(*(make_event(resource="segfault") for _ in range(5)))
    good = site.send(*(make_event(resource_id=number) for number in range(20)))
    site.wait_for(good, "alpha", "beta", timeout=60)
    wait_until(lambda: len(probe.dead()) == 10, 60, lambda: f"dead so far: {probe.deliveries()}")
    assert "ended early" not in daemon.output(), "a call that is blamed counts as a crash loop"
    site.stop_all()
    assert probe.effects() == once(good, "alpha", "beta")
    calls = probe.calls()
    # One more where the redelivery was parked before the death was written down.
    for event in bad:
        for name in ("alpha", "beta"):
            assert calls.pop((str(event.id), name)) in (attempts, attempts + 1)
    assert calls == once(good, "alpha", "beta")
