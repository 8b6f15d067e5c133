"""What a rollback undoes, to a savepoint too, is no event."""

import pytest
from sqlalchemy import Engine, event, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from tests.helpers.stories import (
    Story,
    Task,
    count_of,
    events_in,
    only,
)


def test_a_rollback_forgets(sessions: sessionmaker[Session], engine: Engine, story: int) -> None:
    with sessions() as session:
        loaded = session.get_one(Story, story)
        loaded.title = "second"
        session.flush()
        session.rollback()
        session.add(Story(title="other"))
        session.commit()
    assert only(events_in(engine)).method == "POST"


def test_a_transaction_that_fails_leaves_neither_change_nor_event(
    sessions: sessionmaker[Session], engine: Engine, story: int
) -> None:
    with sessions() as session:
        session.add_all([Story(title="fine"), Story(id=story, title="taken")])
        with pytest.raises(IntegrityError):
            session.commit()
        session.rollback()
        assert session.scalars(select(Story.id)).all() == [story]
        assert count_of(engine) == 0
        session.add(Story(title="fine now"))
        session.commit()
    assert only(events_in(engine)).method == "POST"


def test_a_rollback_to_a_savepoint_forgets_what_was_done_since(
    sessions: sessionmaker[Session], engine: Engine, story: int
) -> None:
    with sessions.begin() as session:
        loaded = session.get_one(Story, story)
        loaded.title = "second"
        with session.begin_nested():
            session.add(Task(kind="task"))
        savepoint = session.begin_nested()
        loaded.title = "third"
        session.add(Story(title="other"))
        session.flush()
        inner = session.begin_nested()
        session.add(Story(title="another"))
        inner.commit()
        savepoint.rollback()
    first, second = sorted(events_in(engine), key=lambda found: found.resource)
    assert (first.resource, first.resource_id) == ("story", story)
    assert first.resource_after is not None
    assert first.resource_after["title"] == "second"
    assert (second.resource, second.method) == ("task", "POST")


def test_savepoints_that_are_kept_make_one_event_of_one_object(
    sessions: sessionmaker[Session], engine: Engine, story: int
) -> None:
    with sessions.begin() as session:
        loaded = session.get_one(Story, story)
        for title in ("second", "third"):
            with session.begin_nested():
                loaded.title = title
    found = only(events_in(engine))
    assert found.resource_before is not None
    assert found.resource_before["title"] == "first"


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_commit_over_open_savepoints_records_all_the_same(
    sessions: sessionmaker[Session], engine: Engine, story: int, depth: int
) -> None:
    with sessions() as session, session.begin() as transaction:
        session.get_one(Story, story).title = "second"
        for _ in range(depth):
            session.begin_nested()
            session.add(Story(title="other"))
        transaction.commit()
    assert sorted(found.method for found in events_in(engine)) == ["POST"] * depth + ["PUT"]


def test_a_savepoint_committed_over_an_open_one_is_no_end(
    sessions: sessionmaker[Session], engine: Engine
) -> None:
    with sessions.begin() as session:
        outermost = session.begin_nested()
        outer = session.begin_nested()
        session.add(Story(title="a"))
        session.begin_nested()
        session.add(Story(title="b"))
        outer.commit()
        outermost.rollback()
        session.add(Story(title="c"))
    assert [found.resource_after["title"] for found in events_in(engine)] == ["c"]  # type: ignore[index]


def test_what_another_listener_changes_at_the_commit_is_recorded(
    sessions: sessionmaker[Session], engine: Engine
) -> None:
    @event.listens_for(sessions, "before_commit")
    def add_another(session: Session) -> None:
        session.add(Story(title="late"))

    with sessions.begin() as session:
        session.add(Story(title="early"))
    assert count_of(engine) == 2
