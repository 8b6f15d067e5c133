"""Effects outside the database: none is lost, each comes with one key, whatever dies; and the
consumers never wait for them."""

import os
import signal
import time
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from eventworker.event import Event
from tests.acceptance.kinds import SQLITE_FIRST
from tests.acceptance.probe import once
from tests.acceptance.sink import Sink
from tests.acceptance.site import Site
from tests.helpers.events import make_event
from tests.servers import wait_until


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as made:
        yield made


def prepare(site: Site, sink: Sink, **options: Any) -> Site:
    mailer = {"url": sink.url, "effect_max_attempts": 50, **options}
    site.configure(plugins={"only": "alpha, mailer"}, plugin_mailer=mailer)
    return site


@pytest.fixture
def mailing(site: Site, sink: Sink) -> Site:
    """On RabbitMQ and PostgreSQL."""
    return prepare(site, sink)


@pytest.fixture
def mailing_sql(sql_site: Site, sink: Sink) -> Site:
    """Without a broker, on each database."""
    return prepare(sql_site, sink)


def keys_of(events: Iterable[Event]) -> set[str]:
    return {f"{event.id}/mailer/1" for event in events}


def rows_left(site: Site) -> list[Any]:
    return site.probe.rows("SELECT state, attempts, error FROM eventworker_effect")


def all_is_done(site: Site) -> None:
    wait_until(lambda: rows_left(site) == [], 20, lambda: f"left: {rows_left(site)}")
    site.stop_all()


def test_each_effect_is_performed_once_in_good_times_and_soon(
    mailing_sql: Site, sink: Sink
) -> None:
    site = mailing_sql
    daemon = site.start()
    events = site.send(*(make_event(resource_id=number) for number in range(50)))
    sink.wait_for(keys_of(events))
    site.wait_for(events, "alpha", "mailer")
    assert sink.pids() == set(daemon.children("effects"))
    (late,) = site.send(make_event())
    site.wait_for([late], "mailer")
    began = time.monotonic()
    sink.wait_for(keys_of([late]))
    assert time.monotonic() - began < 3.0
    all_is_done(site)
    assert set(sink.keys().values()) == {1}


@SQLITE_FIRST
def test_a_process_killed_while_it_performs_leaves_the_effect_to_its_successor(
    mailing_sql: Site, sink: Sink
) -> None:
    site = mailing_sql
    sink.held.set()
    daemon = site.start()
    events = site.send(make_event(), make_event(), make_event())
    wait_until(lambda: sink.keys(), 30, "nothing is performed")
    (victim,) = daemon.children("effects")
    (key,) = sink.keys()
    os.kill(victim, signal.SIGKILL)
    daemon.says("killed by signal SIGKILL during the call")
    sink.held.clear()
    sink.wait_for(keys_of(events))
    all_is_done(site)
    assert sink.keys() == {**dict.fromkeys(keys_of(events), 1), key: 2}
    assert site.probe.effects() == once(events, "alpha", "mailer")
    assert victim in sink.pids()
    assert len(sink.pids()) == 2


def test_a_daemon_killed_with_all_its_children_loses_none(mailing: Site, sink: Sink) -> None:
    sink.held.set()
    first = mailing.start()
    events = mailing.send(*(make_event() for _ in range(20)))
    mailing.wait_for(events, "mailer")
    wait_until(lambda: sink.keys(), 30, "nothing is performed")
    first.kill()
    wait_until(lambda: not first.survivors(), 10, lambda: f"children {first.survivors()} live on")
    sink.held.clear()
    mailing.start()
    sink.wait_for(keys_of(events))
    all_is_done(mailing)
    assert sum(sink.keys().values()) == len(events) + 1
    assert mailing.probe.effects() == once(events, "alpha", "mailer")


@pytest.mark.slow
def test_many_effects_survive_a_series_of_kills(mailing: Site, sink: Sink) -> None:
    mailing.configure(**{"lane_effects": {"worker_count": 2}})
    daemon = mailing.start()
    sent: list[Event] = []
    for round_ in range(5):
        sent += mailing.send(*(make_event(resource_id=number) for number in range(60)))
        sink.wait_for(keys_of(sent[: 60 * round_ + 10]), timeout=30)
        victims = daemon.children("effects")
        os.kill(victims[round_ % len(victims)], signal.SIGKILL)
        wait_until(lambda: len(daemon.children("effects")) == 2, 20, "it is not replaced")
    sink.wait_for(keys_of(sent), timeout=60)
    all_is_done(mailing)
    assert set(sink.keys()) == keys_of(sent)
    # A kill can repeat the one effect that it hits.
    assert sum(sink.keys().values()) <= len(sent) + 5
    assert mailing.probe.effects() == once(sent, "alpha", "mailer")


BAD = {
    "hang": "the call took longer than its limit of 2 s",
    "stubborn": "killed: the call did not end at its limit of 2 s",
    "segfault": "killed by signal SIGSEGV during the call",
    "leave": "the process ended with exit code 3 during the call",
}


@pytest.mark.slow
def test_effects_that_hang_or_crash_are_given_up_on_and_their_neighbours_go_on(
    mailing: Site, sink: Sink
) -> None:
    prepare(mailing, sink, performs=", ".join(BAD), effect_timeout=2, effect_max_attempts=2).start()
    bad = {name: make_event(resource=name) for name in BAD}
    good: list[Event] = []
    for event in bad.values():
        good += mailing.send(make_event(), event, make_event())[::2]

    def dead() -> list[Any]:
        return [row for row in rows_left(mailing) if row.state == "dead"]

    wait_until(lambda: len(dead()) == len(bad), 60, lambda: f"left: {rows_left(mailing)}")
    good += mailing.send(make_event())
    sink.wait_for(keys_of(good))
    mailing.wait_for([*good, *bad.values()], "alpha", "mailer")
    mailing.stop_all()
    assert {row.attempts for row in dead()} == {2}
    said = " ".join(row.error for row in dead())
    assert all(error in said for error in BAD.values()), said
    assert set(sink.keys()) == keys_of(good)
    assert mailing.probe.calls() == once([*good, *bad.values()], "alpha", "mailer")


def test_a_server_in_trouble_is_asked_again_with_the_same_keys(
    mailing_sql: Site, sink: Sink
) -> None:
    sink.refusing = 3
    mailing_sql.start()
    events = mailing_sql.send(make_event(), make_event())
    sink.wait_for(keys_of(events))
    all_is_done(mailing_sql)
    assert sink.keys() == dict.fromkeys(keys_of(events), 4)
    assert mailing_sql.probe.calls() == once(events, "alpha", "mailer")


def test_consumers_do_not_wait_for_a_server_that_does_not_answer(mailing: Site, sink: Sink) -> None:
    sink.held.set()
    daemon = mailing.start(workers=1)
    events = mailing.send(*(make_event(resource_id=number) for number in range(100)))
    mailing.wait_for(events, "alpha", "mailer", timeout=10)
    assert len(sink.keys()) <= 1
    sink.held.clear()
    sink.wait_for(keys_of(events))
    assert sink.pids() == set(daemon.children("effects"))
    all_is_done(mailing)


@SQLITE_FIRST
def test_an_effect_of_work_that_was_undone_is_never_performed(
    mailing_sql: Site, sink: Sink
) -> None:
    site = mailing_sql
    site.configure(plugin_mailer={"obeys": "boom"})
    site.start()
    (failing, *fine) = site.send(make_event(resource="boom"), make_event(), make_event())
    wait_until(lambda: site.probe.dead() == [(str(failing.id), "mailer")], 30, "it is not dead")
    sink.wait_for(keys_of(fine))
    assert set(sink.keys()) == keys_of(fine)
    assert rows_left(site) == []

    site.probe.give_sign("repaired")
    site.command("deliveries", "retry", "--state", "dead")
    sink.wait_for(keys_of([failing]))
    all_is_done(site)
    assert set(sink.keys().values()) == {1}


def test_without_a_plugin_that_performs_there_is_no_process_for_it(site: Site) -> None:
    daemon = site.start()
    assert daemon.children("effects") == []
