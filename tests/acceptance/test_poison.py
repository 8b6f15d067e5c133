"""Bytes that are no event: kept with the reason, while the queue moves on and nobody dies."""

import hashlib
import json
from pathlib import Path

import pika
import pytest

from eventworker.event import Event
from tests.acceptance.probe import Probe, once
from tests.acceptance.site import EXCHANGE, Site
from tests.helpers.events import make_event
from tests.helpers.poison import POISON, STRANGE_HEADERS, sound
from tests.helpers.rabbit import channel_at
from tests.servers import wait_until


def send_between_neighbours(site: Site) -> list[Event]:
    """The corpus, with good events in between; returns the good ones."""
    assert site.vhost
    events = []
    with channel_at(site.vhost) as channel:
        channel.confirm_delivery()
        for number, poison in enumerate(POISON.values()):
            properties = pika.BasicProperties(app_id=f"stranger {number}", **poison.properties)
            channel.basic_publish(EXCHANGE, "story", poison.body, properties, mandatory=True)
            events += site.send(make_event(resource_id=number))
    return events


def all_are_kept(site: Site) -> None:
    count = "SELECT count(*) FROM eventworker_quarantine"
    wait_until(lambda: site.probe.number(count) >= len(POISON), 30, "not all are in quarantine")


def test_poison_is_kept_with_its_reason_and_its_neighbours_are_handled(
    site: Site, probe: Probe
) -> None:
    daemon = site.start(workers=2)
    before = daemon.family()
    events = send_between_neighbours(site)
    site.wait_for(events, "alpha", "beta")
    all_are_kept(site)
    assert sorted(daemon.family()) == sorted(before), "a process died"

    kept = {
        bytes(body): (reason, json.loads(properties)["app_id"])
        for body, reason, properties in probe.rows(
            "SELECT body, reason, properties FROM eventworker_quarantine"
        )
    }
    assert len(kept) == len(POISON)
    for number, (name, poison) in enumerate(POISON.items()):
        reason, app_id = kept[poison.body]
        assert poison.word.lower() in reason.lower(), f"{name}: {reason}"
        assert app_id == f"stranger {number}"
    site.stop_all()
    assert probe.effects() == once(events, "alpha", "beta")
    assert probe.deliveries() == {}


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
    wait_until(lambda: probe.number(handled) == len(ids), 15, "not all are handled")
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
    wait_until(lambda: probe.dead(), 15, "it is no dead letter")
    (listed,) = site.json("deliveries", "list")
    shown = site.json("deliveries", "show", str(listed["id"]))
    assert shown["event"]["resource_after"] == {"title": title}
    site.stop_all()
    assert probe.effects() == once([event], "alpha")


def test_an_operator_can_look_at_quarantine_and_drop_it(site: Site) -> None:
    site.start()
    send_between_neighbours(site)
    all_are_kept(site)
    listed = site.json("deliveries", "list", "--state", "quarantined")
    assert len(listed) == len(POISON)
    assert all(row["error"] for row in listed)
    site.command(
        "deliveries", "discard", "--state", "quarantined", "--yes", "--reason", "strangers"
    )
    assert site.json("deliveries", "list") == []
