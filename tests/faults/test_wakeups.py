"""PostgreSQL's wake-up is lost, or its listener is: the next poll finds what nobody told of."""

import time
from collections.abc import Callable

import pytest
from sqlalchemy import create_engine

from eventworker import outbox
from eventworker.event import Event
from eventworker.outbox.wakeup import CHANNEL
from tests.acceptance.site import Site
from tests.faults.scene import Scene
from tests.helpers.events import make_event
from tests.servers import wait_until

POLL = 3.0
#: Seconds that a call takes on a machine with more to do.
CALL = 2.0
ROUNDS = 4

END_LISTENERS = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
    f" WHERE query LIKE 'LISTEN {CHANNEL}%' AND datname = current_database()"
)


@pytest.fixture
def postgres_site(make_site: Callable[..., Site], database: str) -> Site:
    """A site whose queue is the outbox, and that polls seldom."""
    site = make_site(database)
    site.configure(notifications={"poll_interval": POLL})
    return site


def slowest(scene: Scene, events: list[tuple[float, Event]]) -> float:
    """Seconds from the commit to the last effect, of the slowest of these events."""
    wait_until(lambda: scene.oracle.open_pairs() == 0, 30, "nothing is handled")
    return max(
        at - committed
        for committed, event in events
        for (at,) in scene.probe.rows(
            "SELECT max(at) FROM probe_effect WHERE event_id = :id", id=str(event.id)
        )
    )


def one(scene: Scene) -> tuple[float, Event]:
    (event,) = scene.producer.produce(1)
    return time.time(), event


def test_f34_a_listener_that_is_gone_costs_one_poll(
    make_scene: Callable[..., Scene], postgres_site: Site
) -> None:
    scene = make_scene("F34", postgres_site)
    scene.start(workers=2)
    scene.producer.produce(20)
    wait_until(lambda: scene.oracle.open_pairs() == 0, 30, "nothing is handled")
    ended, made = 0, []
    for _ in range(ROUNDS):
        ended += wait_until(lambda: scene.probe.number(END_LISTENERS), 20, "nobody listens")
        made.append(one(scene))
        wait_until(lambda: scene.oracle.open_pairs() == 0, 30, "nothing is handled")
    latency = slowest(scene, made)
    scene.prove(f"{ended} listeners ended, {latency:.2f} s at the most")
    assert latency <= POLL + CALL
    scene.judge()


def test_f34_a_wake_up_that_is_lost_costs_one_poll(
    make_scene: Callable[..., Scene], postgres_site: Site
) -> None:
    """The application dies between its commit and the bell, or has none."""
    scene = make_scene("F34", postgres_site)
    scene.start(workers=2)
    scene.producer.produce(20)
    wait_until(lambda: scene.oracle.open_pairs() == 0, 30, "nothing is handled")
    engine, silent = create_engine(postgres_site.url), []
    for _ in range(ROUNDS):
        event = make_event()
        with engine.begin() as connection:  # a connection rings no bell
            outbox.record(connection, event)
            scene.probe.execute(
                "INSERT INTO probe_change (event_id, stream, n) VALUES"
                f" ('{event.id}', 'silent', {len(silent) + 1})"
            )
        silent.append((time.time(), event))
        wait_until(lambda: scene.oracle.open_pairs() == 0, 30, "nothing is handled")
    engine.dispose()
    latency = slowest(scene, silent)
    scene.prove(f"{ROUNDS} commits without a bell, {latency:.2f} s at the most")
    assert latency <= POLL + CALL
    scene.judge()


def test_f34_a_storm_of_wake_ups_for_nothing_holds_nobody_up(
    make_scene: Callable[..., Scene], postgres_site: Site
) -> None:
    scene = make_scene("F34", postgres_site)
    scene.start(workers=2)
    scene.producer.produce(20)
    wait_until(lambda: scene.oracle.open_pairs() == 0, 30, "nothing is handled")
    made = []
    for _ in range(ROUNDS):
        scene.probe.execute(
            f"SELECT pg_notify('{CHANNEL}', n::text) FROM generate_series(1, 5000) AS n"
        )
        made.append(one(scene))
    latency = slowest(scene, made)
    scene.prove(f"{ROUNDS * 5000} wake-ups for nothing, {latency:.2f} s at the most")
    assert latency <= POLL + CALL
    scene.judge()
