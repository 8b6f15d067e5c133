"""Pausing a plugin of a running daemon: nothing is called and nothing is lost."""

import os
import signal

from tests.acceptance.probe import Probe, once
from tests.acceptance.site import Site
from tests.helpers.events import make_event
from tests.servers import wait_until


def test_a_plugin_is_paused_under_load_and_over_a_kill_and_gets_all_of_it_once(
    site: Site, probe: Probe
) -> None:
    first = site.start(workers=2)
    sent = site.send(*(make_event(resource_id=number) for number in range(200)))
    site.wait_for(sent[:20], "alpha", "beta", timeout=30)

    site.command("plugins", "pause", "beta", "--reason", "the disk is full")
    first.says("plugin beta is paused, its events wait", times=2)
    first.says("the disk is full)", times=2)
    # Both consumers have said so; a call that had begun has ended when another event is parked.
    marks = site.send(make_event(), make_event())
    site.wait_for([*sent, *marks], "alpha", timeout=30)
    calls = {pair for pair in probe.calls() if pair[1] == "beta"}

    sent += marks + site.send(*(make_event(resource_id=number) for number in range(100)))
    site.wait_for(sent, "alpha", timeout=30)
    wait_until(site.queue_is_empty, 20, "paused events are not acked")
    assert {pair for pair in probe.calls() if pair[1] == "beta"} == calls
    (row,) = [each for each in site.json("plugins", "list") if each["name"] == "beta"]
    assert (row["state"], row["pause_reason"]) == ("paused", "the disk is full")

    first.signal(signal.SIGSTOP)  # so that it does not replace them
    for pid in first.family():
        os.kill(pid, signal.SIGKILL)
    first.kill()
    wait_until(lambda: not first.survivors(), 20, "children live on")

    second = site.start(workers=2)
    second.says("plugin beta is paused, its events wait")
    sent += site.send(make_event())
    site.wait_for(sent, "alpha")
    waiting = {pair for pair in once(sent, "beta") if pair not in probe.effects()}
    wait_until(lambda: probe.deliveries().keys() == waiting, 20, "not all of it is parked")
    assert {pair for pair in probe.calls() if pair[1] == "beta"} == calls

    site.command("plugins", "resume", "beta")
    second.says("plugin beta is resumed", times=2)
    site.wait_for(sent, "alpha", "beta", timeout=30)
    site.stop_all()
    assert probe.effects() == once(sent, "alpha", "beta")
    assert probe.calls() == once(sent, "alpha", "beta")
    assert probe.deliveries() == {}
