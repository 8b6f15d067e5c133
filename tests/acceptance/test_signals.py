"""SIGTERM ends what is in hand and then the daemon; SIGHUP reloads."""

import signal

import pytest

from tests.acceptance.probe import Probe, once
from tests.acceptance.site import Site
from tests.helpers.events import make_event
from tests.servers import wait_until


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_event_in_hand_is_finished_and_acked(
    site: Site, probe: Probe, number: signal.Signals
) -> None:
    site.configure(plugin_alpha={"obeys": "hold"})
    daemon = site.start(workers=1)
    (event,) = site.send(make_event(resource="hold"))
    waiting = site.send(make_event())
    wait_until(lambda: probe.calls(), 30, "the call does not begin")

    daemon.signal(number)
    daemon.says("finishing what is in hand")
    probe.give_sign("released")
    assert daemon.wait() == 0
    assert probe.effects() == once([event], "alpha", "beta")
    assert not site.queue_is_empty(), "what it had not begun was acked"

    site.start()
    site.wait_for(waiting, "alpha", "beta")
    site.stop_all()
    assert probe.effects() == probe.calls() == once([event, *waiting], "alpha", "beta")


@pytest.mark.parametrize(
    "word", ["plugin alpha (", "processes start", "consumer 1 is", "service relay is"]
)
def test_a_daemon_that_is_stopped_while_it_starts_ends(site: Site, word: str) -> None:
    """A child that is only just forked has to hear of it, too."""
    daemon = site.start(ready=False, workers=4)
    daemon.says(word)
    daemon.stop()


def test_a_daemon_that_waits_for_its_database_can_be_stopped(site: Site) -> None:
    site.configure(database={"connection": "postgresql+psycopg://nobody@127.0.0.1:1/nothing"})
    for number in (signal.SIGTERM, signal.SIGINT):
        daemon = site.start(ready=False)
        daemon.says("waiting for it")
        daemon.signal(number)
        assert daemon.wait(5) == 0
        assert "Traceback" not in daemon.output()


def test_sighup_turns_debug_and_a_plugin_off_and_on(site: Site, probe: Probe) -> None:
    site.configure(DEFAULT={"debug": False})
    daemon = site.start(workers=2)
    first = site.send(make_event())
    site.wait_for(first, "alpha", "beta")
    assert " DEBUG " not in daemon.output()

    site.configure(DEFAULT={"debug": True}, plugins={"disabled": "beta"})
    daemon.signal(signal.SIGHUP)
    daemon.says("plugin beta is off: disabled by [plugins] disabled")
    daemon.says("consuming", 4)
    without = site.send(make_event())
    site.wait_for([*first, *without], "alpha")
    daemon.says(" DEBUG ")

    site.configure(DEFAULT={"debug": False}, plugins={"disabled": ""})
    daemon.signal(signal.SIGHUP)
    daemon.says("consuming", 6)
    last = site.send(make_event())
    site.wait_for([*first, *last], "alpha", "beta")
    site.stop_all()
    assert probe.effects() == once([*first, *without, *last], "alpha") + once(
        [*first, *last], "beta"
    )
