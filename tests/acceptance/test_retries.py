"""A failing plugin costs nobody but itself, and what it missed can be made up for."""

from tests.acceptance.probe import Probe, once
from tests.acceptance.site import Site
from tests.helpers.events import make_event
from tests.servers import wait_until


def test_a_failing_plugin_is_retried_alone_and_replayed_by_an_operator(
    site: Site, probe: Probe
) -> None:
    site.configure(plugin_beta={"obeys": "boom", "max_attempts": 3})
    site.start()
    (event,) = site.send(make_event(resource="boom"))
    pair = (str(event.id), "beta")

    wait_until(lambda: probe.dead() == [pair], 30, lambda: str(probe.deliveries()))
    assert probe.effects() == once([event], "alpha")
    assert probe.calls() == {(str(event.id), "alpha"): 1, pair: 3}
    (listed,) = site.json("deliveries", "list", "--state", "dead")
    assert (listed["plugin"], listed["attempts"]) == ("beta", 3)
    assert listed["error"] == "RuntimeError: boom"
    shown = site.json("deliveries", "show", str(listed["id"]))
    assert 'raise RuntimeError("boom")' in shown["traceback"]

    probe.give_sign("repaired")
    site.command("deliveries", "retry", str(listed["id"]))
    site.wait_for([event], "alpha", "beta")
    site.stop_all()
    assert probe.effects() == once([event], "alpha", "beta")
    assert probe.calls() == {(str(event.id), "alpha"): 1, pair: 4}
    assert site.json("deliveries", "list") == []


def test_a_plugin_that_fails_at_first_succeeds_by_itself_later(
    sql_site: Site,
) -> None:
    probe = sql_site.probe
    sql_site.configure(plugin_beta={"obeys": "boom", "max_attempts": 100, "backoff_max": 0.5})
    sql_site.start()
    events = sql_site.send(make_event(resource="boom"), make_event(), make_event())

    sql_site.wait_for(events[1:], "alpha", "beta")
    wait_until(lambda: probe.calls()[str(events[0].id), "beta"] >= 2, 30, "it is not retried")
    probe.give_sign("repaired")
    sql_site.wait_for(events, "alpha", "beta")
    sql_site.stop_all()
    assert probe.effects() == once(events, "alpha", "beta")
