"""Bytes that are no event, as an operator sees them, and bytes that only look so."""

import hashlib
from pathlib import Path

import pika
import pytest

from tests.acceptance.probe import Probe, once
from tests.acceptance.site import EXCHANGE, Site
from tests.helpers.events import make_event
from tests.helpers.poison import POISON, STRANGE_HEADERS, sound
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
    wait_until(lambda: site.probe.number(count) >= len(BODIES), 20, "not all are in quarantine")


def test_events_under_strange_headers_are_handled_once(site: Site, probe: Probe) -> None:
    site.start(workers=2)
    assert site.vhost
    ids = []
    with channel_at(site.vhost) as channel:
        channel.confirm_delivery()
        for number, headers in enumerate(STRANGE_HEADERS.values()):
            ids.append(make_event().id)
            properties = pika.BasicProperties(message_id=str(ids[-1]), headers=headers)
            channel.basic_publish(EXCHANGE, "story", sound(number), properties, mandatory=True)
    handled = "SELECT count(*) FROM probe_effect WHERE plugin = 'alpha'"
    wait_until(lambda: probe.number(handled) == len(ids), 30, "not all are handled")
    site.stop_all()
    assert probe.number("SELECT count(*) FROM probe_effect") == 2 * len(ids)
    assert probe.number("SELECT count(*) FROM eventworker_quarantine") == 0


def most_memory(pid: int) -> int:
    """Bytes that a process has had in memory at the most."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM"))
    return int(peak) * 1024


@pytest.mark.slow
def test_a_hundred_megabytes_are_kept_and_need_a_few_times_their_size(
    site: Site, probe: Probe
) -> None:
    daemon = site.start(workers=1)
    size = 100 * 1024 * 1024
    body = b"x" * size
    assert site.vhost
    with channel_at(site.vhost) as channel:
        channel.confirm_delivery()
        channel.basic_publish(EXCHANGE, "story", body, mandatory=True)
    (event,) = site.send(make_event())
    site.wait_for([event], "alpha", "beta", timeout=60)
    sizes = "SELECT length(body), sha256 FROM eventworker_quarantine"
    assert probe.rows(sizes) == [(size, hashlib.sha256(body).hexdigest())]
    assert max(most_memory(pid) for pid in daemon.family()) < 6 * size
    site.stop_all()
    assert probe.effects() == once([event], "alpha", "beta")


def test_what_the_json_of_a_good_event_may_hold_arrives_intact(site: Site, probe: Probe) -> None:
    """NUL and any other character inside a value are no poison, also when the event is stored."""
    site.configure(plugin_beta={"obeys": "boom", "max_attempts": 1})
    site.start()
    title = "\x00 ž 漢字 \U0001f600 \u2028"
    (event,) = site.send(make_event(resource="boom", resource_after={"title": title}))
    wait_until(lambda: probe.dead(), 30, "it is no dead letter")
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
