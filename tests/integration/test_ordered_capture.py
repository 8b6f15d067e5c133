"""Places taken in the producer's transaction: their order is that of the commits."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, Row, create_engine, select
from sqlalchemy.orm import Session, sessionmaker

from eventworker import Event, outbox
from eventworker.capture.sqlalchemy import Resource, capture
from eventworker.errors import EncodeError
from eventworker.outbox.stream import stream_table
from eventworker.outbox.table import outbox_table
from tests.helpers.events import make_event
from tests.helpers.stories import Base, Comment, Story


def about(resource_id: object, resource: str = "story") -> Event:
    return make_event(resource=resource, resource_id=resource_id)


def rows(engine: Engine) -> list[Row[tuple[str, int]]]:
    row = outbox_table.c
    with engine.connect() as connection:
        found = select(row.stream, row.seq).order_by(row.stream, row.seq)
        return list(connection.execute(found))


def test_each_resource_is_counted_by_itself_from_one(engine: Engine) -> None:
    with Session(engine) as session, session.begin():
        events = [outbox.record(session, about(n), ordered=True) for n in (1, 2, 1, "1", 1)]
    assert [event.seq for event in events] == [1, 1, 2, 3, 4]
    assert rows(engine) == [
        ("story/1", 1),
        ("story/1", 2),
        ("story/1", 3),
        ("story/1", 4),
        ("story/2", 1),
    ]


def test_without_order_nothing_is_counted(engine: Engine) -> None:
    with Session(engine) as session, session.begin():
        outbox.record(session, about(1))
    assert rows(engine) == [(None, None)]
    with engine.connect() as connection:
        assert connection.execute(select(stream_table)).all() == []


def test_what_a_savepoint_takes_back_leaves_no_gap(engine: Engine) -> None:
    with Session(engine) as session, session.begin():
        outbox.record(session, about(1), ordered=True)
        with session.begin_nested() as savepoint:
            outbox.record(session, about(1), ordered=True)
            outbox.record(session, about(2), ordered=True)
            savepoint.rollback()
        outbox.record(session, about(1), ordered=True)
    assert rows(engine) == [("story/1", 1), ("story/1", 2)]


def test_a_transaction_that_is_rolled_back_leaves_no_gap(engine: Engine) -> None:
    with Session(engine) as session:
        outbox.record(session, about(1), ordered=True)
        session.rollback()
        outbox.record(session, about(1), ordered=True)
        session.commit()
    assert rows(engine) == [("story/1", 1)]


def test_an_event_that_is_refused_takes_no_place(engine: Engine) -> None:
    with Session(engine) as session, session.begin():
        with pytest.raises(ValueError, match="POST story has no resource_id"):
            outbox.record(session, about(None), ordered=True)
        with pytest.raises(EncodeError):
            outbox.record(session, about("a\0b"), ordered=True)
        outbox.record(session, about(1), ordered=True)
    assert rows(engine) == [("story/1", 1)]


def test_the_order_of_the_places_is_the_order_of_the_commits(engine: Engine) -> None:
    """Producers race, and each notes its commit while it still keeps the others out."""
    committed: list[int] = []
    barrier = threading.Barrier(4)

    def produce(count: int) -> None:
        barrier.wait()
        for _ in range(count):
            with Session(engine) as session, session.begin():
                event = outbox.record(session, about(1), ordered=True)
                assert event.seq is not None
                # Until the commit nobody else gets so far.
                committed.append(event.seq)

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(produce, 25) for _ in range(4)]:
            done.result()
    assert committed == list(range(1, 101))
    assert [row.seq for row in rows(engine)] == committed


@pytest.mark.parametrize("kind", ["postgres", "maria"])
def test_a_place_becomes_visible_after_those_before_it(
    kind: str, request: pytest.FixtureRequest
) -> None:
    """A long transaction holds the first place: nobody sees a second one until it has ended."""
    engine: Engine = request.getfixturevalue(f"{kind}_engine")
    slow = Session(engine)
    outbox.record(slow, about(1), ordered=True)
    ended = threading.Event()

    def second() -> None:
        with Session(engine) as session, session.begin():
            outbox.record(session, about(1), ordered=True)
        ended.set()

    with ThreadPoolExecutor(1) as pool:
        waits = pool.submit(second)
        with Session(engine) as session, session.begin():
            outbox.record(session, about(2), ordered=True)  # another resource does not wait
        assert not ended.is_set()
        assert rows(engine) == [("story/2", 1)]
        slow.rollback()
        waits.result(20)
    slow.close()
    assert rows(engine) == [("story/1", 1), ("story/2", 1)]


@pytest.mark.parametrize("kind", ["postgres", "maria"])
def test_transactions_that_change_the_same_resources_in_any_order_do_not_deadlock(
    kind: str, request: pytest.FixtureRequest
) -> None:
    engine: Engine = request.getfixturevalue(f"{kind}_engine")
    barrier = threading.Barrier(2)

    def produce(ids: list[int]) -> None:
        barrier.wait()
        for _ in range(30):
            with Session(engine) as session, session.begin():
                outbox.record_in_order(session, [about(each) for each in ids])

    # The counters exist, so that this is about their order and not about inserting them.
    with Session(engine) as session, session.begin():
        outbox.record_in_order(session, [about(each) for each in range(5)])
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(produce, [*range(5)]), pool.submit(produce, [*range(5)][::-1])]:
            done.result()
    assert len(rows(engine)) == 5 * 61


@pytest.mark.parametrize(
    ("ordered", "places"),
    [
        (False, [(None, None)] * 3),
        (True, [("story/1", 1), ("story/1", 2), ("story/2", 1)]),
        (["story"], [("story/1", 1), ("story/1", 2), ("story/2", 1)]),
        (["task"], [(None, None)] * 3),
    ],
)
def test_a_session_takes_places_for_what_it_captures(
    sqlite_engine: Engine, ordered: bool | list[str], places: list[tuple[str | None, int | None]]
) -> None:
    engine = create_engine(sqlite_engine.url)
    Base.metadata.create_all(engine)
    sessions = sessionmaker(engine)
    comment = Resource("comment", parent=("story", "story_id"))
    capture(sessions, {Story: "story", Comment: comment}, ordered=ordered)
    with sessions.begin() as session:
        session.add_all([Story(id=2, title="b"), Story(id=1, title="a")])
        session.flush()
        session.add(Comment(story_id=1, text="c"))
    assert rows(engine) == places
    engine.dispose()
