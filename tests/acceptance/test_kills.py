"""kill -9, at every moment that matters: the effect is there once, and nothing is lost."""

import os
import signal

import pytest

from tests.acceptance.probe import Probe, once
from tests.acceptance.site import Site
from tests.helpers.events import make_event
from tests.servers import wait_until
from tests.servers.process import is_running


def died_between_commit_and_ack(site: Site) -> None:
    """Alpha's effect is committed, the process dies before anything else is done."""
    probe = site.probe
    site.configure(plugin_alpha={"obeys": "die_after_commit"})
    daemon = site.start(workers=1)
    (event,) = site.send(make_event(resource="die_after_commit"))
    innocent = site.send(make_event(), make_event())

    daemon.says("killed by signal SIGKILL")
    assert probe.effects()[str(event.id), "alpha"] == 1, "it died before its commit"
    (dead,) = set(probe.call_pids(event.id)[:1])
    assert not is_running(dead)

    # Beta comes after alpha, so its effect shows that the event was delivered a second time.
    site.wait_for([event, *innocent], "alpha", "beta")
    site.stop_all()
    assert probe.effects() == once([event, *innocent], "alpha", "beta")
    assert probe.calls() == once([event, *innocent], "alpha", "beta")


def test_a_consumer_killed_between_commit_and_ack_leaves_one_effect(site: Site) -> None:
    died_between_commit_and_ack(site)


def test_so_does_one_that_consumes_the_outbox(sql_site: Site) -> None:
    died_between_commit_and_ack(sql_site)


def test_a_consumer_killed_after_its_last_commit_is_not_called_again(
    site: Site, probe: Probe
) -> None:
    site.configure(plugins={"only": "alpha"}, plugin_alpha={"obeys": "die_after_commit"})
    daemon = site.start(workers=1)
    (event,) = site.send(make_event(resource="die_after_commit"))
    daemon.says("killed by signal SIGKILL")

    after = site.send(make_event())
    site.wait_for([event, *after], "alpha")
    site.stop_all()
    assert probe.calls() == once([event, *after], "alpha")
    assert probe.deliveries() == {}


def test_a_consumer_killed_in_the_middle_of_a_call_leaves_nothing_of_it(
    site: Site, probe: Probe
) -> None:
    site.configure(plugin_alpha={"obeys": "hold"})
    daemon = site.start(workers=2)
    (event,) = site.send(make_event(resource="hold"))
    wait_until(lambda: probe.calls(), 15, "the call does not begin")
    (pid,) = probe.call_pids(event.id)

    os.kill(pid, signal.SIGKILL)
    daemon.says("killed by signal SIGKILL during the call")
    assert probe.effects()[str(event.id), "alpha"] == 0
    wait_until(lambda: len(daemon.children("consumer")) == 2, 2, "it is not replaced")

    probe.give_sign("released")
    site.wait_for([event], "alpha", "beta")
    site.stop_all()
    assert probe.effects() == once([event], "alpha", "beta")
    assert probe.calls()[str(event.id), "beta"] == 1


@pytest.mark.parametrize("everyone", [False, True], ids=["the daemon alone", "with its children"])
def test_after_the_daemon_is_killed_the_next_one_goes_on(
    site: Site, probe: Probe, everyone: bool
) -> None:
    site.configure(plugin_alpha={"obeys": "hold"})
    first = site.start(workers=2)
    events = site.send(make_event(resource="hold"), *(make_event() for _ in range(100)))
    wait_until(lambda: events[0].id and probe.call_pids(events[0].id), 15, "no call begins")

    children = first.family()
    if everyone:
        first.signal(signal.SIGSTOP)  # so that it does not replace them
        for pid in children:
            os.kill(pid, signal.SIGKILL)
    first.kill()
    if not everyone:
        probe.give_sign("released")
    wait_until(lambda: not first.survivors(), 2, lambda: f"children {first.survivors()} live on")

    probe.give_sign("released")
    site.start(workers=2)
    site.wait_for(events, "alpha", "beta")
    site.stop_all()
    assert probe.effects() == once(events, "alpha", "beta")


def test_children_in_the_middle_of_a_call_outlive_a_killed_daemon_for_two_seconds_at_most(
    site: Site, probe: Probe
) -> None:
    """The kernel tells them to stop; the one that is inside a call cannot go on forever."""
    site.configure(plugin_alpha={"obeys": "hold"})
    daemon = site.start(workers=2)
    (event,) = site.send(make_event(resource="hold"))
    wait_until(lambda: probe.calls(), 15, "the call does not begin")

    daemon.kill()
    wait_until(lambda: not daemon.survivors(), 2, lambda: f"children {daemon.survivors()} live on")
    assert probe.effects()[str(event.id), "alpha"] == 0
    probe.give_sign("released")
    site.start()
    site.wait_for([event], "alpha", "beta")
    site.stop_all()
    assert probe.effects() == once([event], "alpha", "beta")


def test_many_events_survive_a_series_of_kills(site: Site, probe: Probe) -> None:
    daemon = site.start(workers=2)
    sent = []
    for round_ in range(4):
        sent += site.send(*(make_event(resource_id=number) for number in range(100)))
        site.wait_for(sent[: 100 * round_ + 20], "alpha", timeout=30)
        victims = daemon.children("consumer")
        os.kill(victims[round_ % len(victims)], signal.SIGKILL)
        wait_until(lambda: len(daemon.children("consumer")) == 2, 10, "it is not replaced")
    site.wait_for(sent, "alpha", "beta", timeout=60)
    site.stop_all()
    assert probe.effects() == once(sent, "alpha", "beta")
    assert probe.dead() == []
