"""From a request to an application to the effects of two plugins, each exactly once."""

from collections import Counter
from collections.abc import Callable
from http.client import HTTPConnection

import pytest

from eventworker import cloudevents
from tests.acceptance.application import ask, tracker, use_api, work_in_bulk
from tests.acceptance.installation import Installation
from tests.acceptance.site import Site
from tests.helpers.events import TRACEPARENT, make_event
from tests.helpers.rabbit import channel_at
from tests.servers import wait_until


def every_event_has_each_effect_once(site: Site, expected: int, timeout: float) -> None:
    probe = site.probe
    wait_until(
        lambda: probe.effect_count() >= 2 * expected,
        timeout,
        lambda: f"{probe.effect_count()} of {2 * expected} effects",
    )
    site.stop_all()
    recorded = probe.recorded()
    assert len(recorded) == expected
    assert probe.effects() == Counter(
        (event_id, plugin) for event_id in recorded for plugin in ("alpha", "gamma")
    )
    assert probe.deliveries() == {}
    assert probe.number("SELECT count(*) FROM eventworker_outbox WHERE state <> 1") == 0


def run_application(
    site: Site, *, workers: int = 2, requests: int, bulk: int, timeout: float
) -> None:
    site.configure(DEFAULT={"debug": False}, plugins={"only": "alpha, gamma"})
    site.start(workers=workers, ready=False)
    with tracker(site.installation, site.folder, site.url) as port:
        expected = use_api(port, requests // 3)
        expected += work_in_bulk(site.url, bulk)
    every_event_has_each_effect_once(site, expected, timeout)


def test_a_thousand_events_through_tracker_outbox_relay_broker_and_daemon(site: Site) -> None:
    run_application(site, workers=3, requests=90, bulk=909, timeout=120)


@pytest.mark.long
def test_ten_thousand_of_them(site: Site) -> None:
    run_application(site, workers=6, requests=300, bulk=9699, timeout=120)


def test_the_same_without_a_broker(sql_site: Site) -> None:
    run_application(sql_site, requests=90, bulk=510, timeout=60)


def test_as_cloudevents_they_arrive_alike(site: Site) -> None:
    site.configure(notifications={"wire_format": "cloudevents"})
    assert site.vhost is not None
    with channel_at(site.vhost) as channel:
        # Another reader of the exchange.
        channel.queue_declare("other")
        channel.queue_bind("other", "storyboard", routing_key="#")
        site.start(workers=1)
        events = site.record(*(make_event(traceparent=TRACEPARENT) for _ in range(20)))
        site.wait_for(events, "alpha", "beta")
        site.stop_all()
        seen = [channel.basic_get("other") for _ in events]
    assert {properties.content_type for _, properties, _ in seen} == {cloudevents.CONTENT_TYPE}
    read = [cloudevents.decode(body) for _, _, body in seen]
    assert {event.id for event in read} == {event.id for event in events}
    assert {event.traceparent for event in read} == {TRACEPARENT}


def test_what_the_database_refuses_is_no_event(sql_site: Site, installation: Installation) -> None:
    """A request that fails after its change was made records nothing: one transaction."""
    sql_site.start(workers=1, ready=False)
    with tracker(installation, sql_site.folder, sql_site.url) as port:
        connection = HTTPConnection("127.0.0.1", port, timeout=30)
        ask(connection, "POST", "/v1/users", {"name": "ann"})
        with pytest.raises(AssertionError, match="409"):
            ask(connection, "POST", "/v1/users", {"name": "ann"})
        connection.close()
    wait_until(lambda: sql_site.probe.effect_count() >= 2, 20, "the first is not handled")
    sql_site.stop_all()
    assert len(sql_site.probe.recorded()) == 1
    assert sql_site.probe.effect_count() == 2


def test_a_commit_wakes_the_consumers_on_postgresql(
    make_site: Callable[..., Site], database: str
) -> None:
    """LISTEN and NOTIFY, not the next look at the table."""
    site = make_site(database)
    site.configure(notifications={"poll_interval": 30})
    site.start(workers=1)
    probe = site.probe
    first = site.send(make_event())
    site.wait_for(first, "alpha", "beta", timeout=15)
    listening = "SELECT count(*) FROM pg_stat_activity WHERE query = 'LISTEN eventworker_outbox'"
    wait_until(lambda: probe.number(listening) == 1, 20, "nobody listens")

    latencies = []
    events = first
    for _ in range(20):
        events = [*events, *site.send(make_event())]
        site.wait_for(events, "alpha", "beta", timeout=15)
        ((at,),) = probe.rows(
            "SELECT at FROM probe_effect WHERE plugin = 'alpha' AND event_id = :id",
            id=str(events[-1].id),
        )
        latencies.append(at - events[-1].time.timestamp())
    # A look every half second would be 0.25 s late at the median.
    assert sorted(latencies)[10] < 0.15, f"seconds: {sorted(latencies)}"
    site.stop_all()
