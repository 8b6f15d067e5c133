"""Order per resource, by real daemons: consumers and the daemon are killed while it runs."""

import itertools
import os
import signal
from collections import Counter, defaultdict
from collections.abc import Iterable

from eventworker.event import Event
from tests.acceptance.daemon import Daemon
from tests.acceptance.kinds import SQLITE_FIRST
from tests.acceptance.site import Site
from tests.helpers.events import make_event
from tests.servers import wait_until

STREAMS = 8


def some(count: int, resource: str = "story") -> list[Event]:
    """Events that go round the resources."""
    return [make_event(resource=resource, resource_id=n % STREAMS) for n in range(count)]


def inversions(site: Site, events: Iterable[Event]) -> int:
    """Descents of the places, per resource, in the order in which the effects were made.

    The call with one event begins after the commit of the one before, so the times of the effects
    of one resource are in the order of their commits.
    """
    places = {str(event.id): (event.stream, event.seq) for event in events}
    made: dict[str | None, list[int]] = defaultdict(list)
    for (event_id,) in site.probe.rows("SELECT event_id FROM probe_effect ORDER BY at"):
        stream, seq = places[event_id]
        assert seq is not None
        made[stream].append(seq)
    assert made, "nothing was done"
    return sum(a >= b for seqs in made.values() for a, b in itertools.pairwise(seqs))


def all_once(site: Site, events: list[Event], timeout: float = 60) -> None:
    """Wait for the effects; none is missing, none is there twice, and they were made in order."""
    site.wait_for(events, "inorder", timeout=timeout)
    site.stop_all()
    assert site.probe.effects() == Counter((str(event.id), "inorder") for event in events)
    assert inversions(site, events) == 0
    assert site.probe.deliveries() == {}


def kill_storm(site: Site) -> None:
    """Consumers die one after the other; between two such series the daemon does, with all."""
    site.configure(plugins={"only": "inorder"})
    events: list[Event] = []
    first = site.start(workers=2)
    site.age_plugins()
    kill_some(site, first, events)
    (daemon,) = site.daemons
    daemon.kill()
    wait_until(lambda: not daemon.survivors(), 20, "children live on")
    kill_some(site, site.start(workers=2), events)
    all_once(site, events)


def kill_some(site: Site, daemon: Daemon, events: list[Event]) -> None:
    """Two consumers, each amid new events."""
    for number in range(2):
        before = site.probe.effect_count()
        for _ in range(4):
            events += site.record(*some(10), ordered=True)
        wait_until(lambda least=before + 10: site.probe.effect_count() >= least, 30, "none is done")
        victims = daemon.children("consumer")
        os.kill(victims[number % len(victims)], signal.SIGKILL)
        wait_until(lambda: len(daemon.children("consumer")) == 2, 20, "it is not replaced")


def test_the_order_survives_a_series_of_kills(site: Site) -> None:
    kill_storm(site)


@SQLITE_FIRST
def test_so_it_does_without_a_broker(sql_site: Site) -> None:
    kill_storm(sql_site)


def test_who_dies_between_commit_and_release_does_not_stop_its_resource(site: Site) -> None:
    site.configure(
        plugins={"only": "inorder"},
        plugin_inorder={"obeys": "die_after_commit", "max_attempts": 10},
    )
    daemon = site.start(workers=2)
    site.age_plugins()
    events = site.record(*some(16, "die_after_commit"), *some(40), ordered=True)
    all_once(site, events)
    assert "killed by signal SIGKILL" in daemon.log.read_text()


def test_later_events_wait_for_a_failing_one_and_nobody_elses_do(site: Site) -> None:
    site.configure(plugins={"only": "inorder"}, plugin_inorder={"obeys": "boom"})
    site.start(workers=2)
    failing = site.record(
        *(make_event(resource="boom", resource_id=1) for _ in range(5)), ordered=True
    )
    others = site.record(*some(20), ordered=True)
    site.wait_for(others, "inorder")
    wait_until(lambda: site.probe.dead(), 20, "there is no dead letter")
    (blocked,) = site.json("deliveries", "list", "--state", "dead")
    listed = site.command("deliveries", "list")
    assert f"4 events wait behind the dead letter {blocked['id']}" in listed.stderr

    site.probe.give_sign("repaired")
    site.command("deliveries", "retry", str(blocked["id"]))
    all_once(site, [*failing, *others])
