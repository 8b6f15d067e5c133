"""Ids are given out before the commit: a slow transaction commits what others have passed.

A reader of the outbox that remembers the greatest id it has seen never comes back for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.orm import Session

from eventworker import outbox
from eventworker.event import Event
from tests.acceptance.site import Site
from tests.faults.scene import Scene
from tests.helpers.events import make_event
from tests.servers import wait_until

CHANGE = text("INSERT INTO probe_change (event_id, stream, n) VALUES (:id, :stream, 1)")


@contextmanager
def long_writer(site: Site, number: int) -> Iterator[Event]:
    """A transaction that has its id before the block, and commits after it."""
    engine = create_engine(site.url, poolclass=NullPool)
    event = make_event(resource="slow", resource_id=number)
    with Session(engine) as session, session.begin():
        outbox.record(session, event)
        session.execute(CHANGE, {"id": str(event.id), "stream": f"slow/{number}"})
        yield event
    engine.dispose()


def passed_by(scene: Scene, rounds: int) -> None:
    """In each round events commit, and are handled, while an earlier id is still open."""
    scene.start(workers=2)
    for number in range(rounds):
        with long_writer(scene.site, number) as slow:
            later = scene.producer.produce(3)
            assert all(event.id > slow.id for event in later)
            wait_until(
                lambda later=later: all(scene.probe.effect_pids(event.id) for event in later),
                30,
                "the later ones are not handled",
            )
            assert not scene.probe.effect_pids(slow.id), "it is handled before it is committed"
    scene.prove(f"{rounds} times later ids were handled while an earlier one was open")
    scene.healed()
    scene.judge(timeout=40, within=30)


@pytest.mark.family
def test_f33_what_commits_late_is_not_passed_over(
    make_scene: Callable[..., Scene], site: Site
) -> None:
    passed_by(make_scene("F33", site), rounds=20)


@pytest.mark.parametrize("sql_site", ["database", "maria_database"], indirect=True)
def test_f33_so_it_is_where_the_outbox_is_the_queue(
    make_scene: Callable[..., Scene], sql_site: Site
) -> None:
    """Not on SQLite: there is one writer at a time, so nobody can be passed by."""
    passed_by(make_scene("F33", sql_site), rounds=20)


def test_f33_two_hundred_rounds_beside_a_stream(
    make_scene: Callable[..., Scene], site: Site
) -> None:
    """Without waiting for the later ones: whenever the relay looks, something is open."""
    scene = make_scene("F33", site)
    scene.start(workers=2)
    with scene.producer.stream(rate=100, count=100_000):
        for number in range(0, 200, 2):
            with long_writer(site, number), long_writer(site, number + 1):
                goal = scene.producer.committed + 5
                wait_until(lambda goal=goal: scene.producer.committed >= goal, 30, "no stream")
    scene.prove("200 transactions were open while others committed later ids")
    scene.healed()
    scene.judge()
