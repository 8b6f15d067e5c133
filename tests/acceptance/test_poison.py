"""Bytes that are no event, as an operator sees them, and bytes that only look so."""

from tests.acceptance.probe import Probe, once
from tests.acceptance.site import EXCHANGE, Site
from tests.helpers.events import make_event
from tests.helpers.poison import POISON
from tests.helpers.rabbit import channel_at
from tests.servers import wait_until

#: Those that are poison by their bytes alone.
BODIES = {name: poison for name, poison in POISON.items() if not poison.properties}


def send_poison(site: Site) -> None:
    assert site.vhost
    with channel_at(site.vhost) as channel:
        channel.confirm_delivery()
        for poison in BODIES.values():
            channel.basic_publish(EXCHANGE, "story", poison.body, mandatory=True)


def all_are_kept(site: Site) -> None:
    count = "SELECT count(*) FROM eventworker_quarantine"
    wait_until(lambda: site.probe.number(count) >= len(BODIES), 10, "not all are in quarantine")


def test_what_the_json_of_a_good_event_may_hold_arrives_intact(site: Site, probe: Probe) -> None:
    """NUL and any other character inside a value are no poison, also when the event is stored."""
    site.configure(plugin_beta={"obeys": "boom", "max_attempts": 1})
    site.start()
    title = "\x00 ž 漢字 \U0001f600 \u2028"
    (event,) = site.send(make_event(resource="boom", resource_after={"title": title}))
    wait_until(lambda: probe.dead(), 15, "it is no dead letter")
    (listed,) = site.json("deliveries", "list")
    shown = site.json("deliveries", "show", str(listed["id"]))
    assert shown["event"]["resource_after"] == {"title": title}
    site.stop_all()
    assert probe.effects() == once([event], "alpha")


def test_an_operator_can_look_at_quarantine_and_drop_it(site: Site) -> None:
    site.start()
    send_poison(site)
    all_are_kept(site)
    listed = site.json("deliveries", "list", "--state", "quarantined")
    assert len(listed) == len(BODIES)
    assert all(row["error"] for row in listed)
    site.command(
        "deliveries", "discard", "--state", "quarantined", "--yes", "--reason", "strangers"
    )
    assert site.json("deliveries", "list") == []
