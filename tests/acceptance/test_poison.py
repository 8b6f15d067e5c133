"""Bytes that are no event: kept with the reason, while the queue moves on and nobody dies."""

import json

import pika

from eventworker.event import Event
from tests.acceptance.probe import Probe, once
from tests.acceptance.site import EXCHANGE, Site
from tests.helpers.events import make_event
from tests.helpers.rabbit import channel_at
from tests.servers import wait_until

GOOD = {"method": "POST", "resource": "story"}


def with_title(title: bytes) -> bytes:
    return b'{"method": "POST", "resource": "story", "resource_after": {"title": ' + title + b"}}"


#: A body, and a word of the reason that an operator is to read.
POISON: dict[str, tuple[bytes, str]] = {
    "nothing at all": (b"", "not strict JSON"),
    "no JSON": (b"\x80\x04\x95pickle?", "not strict JSON"),
    "half of it": (b'{"method": "POST", "resou', "not strict JSON"),
    "a list": (b"[1, 2]", "not list"),
    "null": (b"null", "not NoneType"),
    "no method": (b'{"resource": "story"}', "method"),
    "no resource": (b'{"method": "POST"}', "resource"),
    "a resource of another type": (json.dumps({**GOOD, "resource": 7}).encode(), "resource"),
    "one key twice": (b'{"method": "POST", "method": "PUT", "resource": "story"}', "duplicate"),
    "NaN": (with_title(b"NaN"), "NaN"),
    "infinity": (with_title(b"1e999"), "too large"),
    "a number of 5,000 digits": (with_title(b"9" * 5000), "not strict JSON"),
    "100,000 brackets": (with_title(b"[" * 100_000), "nested"),
    "100 levels": (with_title(b"[" * 100 + b"]" * 100), "nested"),
    "bad UTF-8": (with_title(b'"\xff\xfe"'), "utf-8"),
    "a byte order mark": (b"\xef\xbb\xbf" + json.dumps(GOOD).encode(), "not strict JSON"),
    "a lone surrogate": (with_title(b'"\\ud800"'), "surrogate"),
    "NUL in a name": (json.dumps({**GOOD, "resource": "sto\x00ry"}).encode(), "resource"),
    "NUL as a byte": (with_title(b'"\x00"'), "not strict JSON"),
    "a number beyond 64 bits": (json.dumps({**GOOD, "status": 2**70}).encode(), "status"),
    "2 MB": (with_title(b'"' + b"x" * (2 * 1024 * 1024) + b'"'), "the limit is"),
}


def send_between_neighbours(site: Site) -> list[Event]:
    """The corpus, with good events in between; returns the good ones."""
    assert site.vhost
    events = []
    with channel_at(site.vhost) as channel:
        channel.confirm_delivery()
        for number, (body, _) in enumerate(POISON.values()):
            properties = pika.BasicProperties(app_id=f"stranger {number}")
            channel.basic_publish(EXCHANGE, "story", body, properties, mandatory=True)
            events += site.send(make_event(resource_id=number))
    return events


def all_are_kept(site: Site) -> None:
    count = "SELECT count(*) FROM eventworker_quarantine"
    wait_until(lambda: site.probe.number(count) >= len(POISON), 10, "not all are in quarantine")


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
    for number, (name, (body, word)) in enumerate(POISON.items()):
        reason, app_id = kept[body]
        assert word.lower() in reason.lower(), f"{name}: {reason}"
        assert app_id == f"stranger {number}"
    site.stop_all()
    assert probe.effects() == once(events, "alpha", "beta")
    assert probe.deliveries() == {}


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
