"""A plugin that takes its process down or never returns: blamed, given up on, and survived."""

import os
import signal
from collections import Counter

from tests.acceptance.probe import Probe, once
from tests.acceptance.site import Site
from tests.helpers.events import make_event
from tests.servers import wait_until

#: Behaviour, and what its dead letter says.
CRASHES = {
    "segfault": "killed by signal SIGSEGV during the call",
    "killed": "killed by signal SIGKILL during the call",
    "leave": "the process ended with exit code 3 during the call",
    "sysexit": "SystemExit: 7",
}
HANGS = {
    "hang": "the call took longer than its limit of 0.5 s",
    "stubborn": "killed: the call did not end at its limit of 0.5 s",
    "deadlock": "killed: the call did not end at its limit of 0.5 s",
}
ATTEMPTS = 2


def given_up_on(site: Site, behaviours: dict[str, str], workers: int = 2) -> None:
    """One bad event of each kind between good ones."""
    probe = site.probe
    every = ", ".join(behaviours)
    limits = {"max_attempts": ATTEMPTS, "handler_timeout": 0.5}
    site.configure(plugin_beta={"obeys": every, **limits})
    daemon = site.start(workers=workers)
    bad = {name: make_event(resource=name) for name in behaviours}
    good = [make_event(resource_id=number) for number in range(10 * len(bad))]
    for index, event in enumerate(bad.values()):
        site.send(*good[10 * index : 10 * index + 10], event)

    wait_until(
        lambda: len(probe.dead()) == len(bad), 60, lambda: f"dead so far: {probe.deliveries()}"
    )
    later = site.send(make_event(), make_event())
    site.wait_for([*good, *later, *bad.values()], "alpha")
    site.wait_for([*good, *later], "beta")
    wait_until(lambda: len(daemon.children("consumer")) == workers, 10, "a consumer is missing")
    site.stop_all()

    handled = [*good, *later]
    assert probe.effects() == once(handled, "alpha", "beta") + once(bad.values(), "alpha")
    for name, event in bad.items():
        state, attempts, error = probe.deliveries()[str(event.id), "beta"]
        assert (state, attempts, error) == ("dead", ATTEMPTS, f"{error}")
        assert behaviours[name] in error, error
        assert probe.calls()[str(event.id), "beta"] == ATTEMPTS
    # Nobody else was called twice for it, though deliveries came again with a dead process.
    assert probe.calls() - once(handled, "alpha", "beta") - once(bad.values(), "alpha") == {
        (str(event.id), "beta"): ATTEMPTS for event in bad.values()
    }


def test_plugins_that_crash_are_given_up_on_and_nobody_else_is_hurt(site: Site) -> None:
    given_up_on(site, CRASHES)


def test_plugins_that_hang_are_given_up_on_and_nobody_else_is_hurt(site: Site) -> None:
    given_up_on(site, HANGS)


def test_so_it_is_where_the_outbox_is_the_queue(sql_site: Site) -> None:
    # SQLite has one write lock: what hangs after writing makes a second process's call wait for it
    # past the same limit of half a second, and be blamed in its turn.
    workers = 1 if sql_site.url.startswith("sqlite") else 2
    behaviours = {"segfault": CRASHES["segfault"], "deadlock": HANGS["deadlock"]}
    given_up_on(sql_site, behaviours, workers)


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


def test_events_that_kill_every_consumer_that_takes_them_do_not_stop_the_others(
    site: Site, probe: Probe
) -> None:
    """Both plugins die of each of them, so each costs a process four times."""
    limits = {"obeys": "segfault", "max_attempts": ATTEMPTS}
    site.configure(plugin_alpha=limits, plugin_beta=limits)
    daemon = site.start(workers=1)
    bad = site.send(*(make_event(resource="segfault") for _ in range(5)))
    good = site.send(*(make_event(resource_id=number) for number in range(20)))
    site.wait_for(good, "alpha", "beta", timeout=60)
    wait_until(lambda: len(probe.dead()) == 10, 60, lambda: f"dead so far: {probe.deliveries()}")
    assert "ended early" not in daemon.output(), "a call that is blamed counts as a crash loop"
    site.stop_all()
    assert probe.effects() == once(good, "alpha", "beta")
    assert probe.calls() == once(good, "alpha", "beta") + Counter(
        {(str(event.id), name): ATTEMPTS for event in bad for name in ("alpha", "beta")}
    )
