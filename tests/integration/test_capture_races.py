"""Images when a row changes under the session that is about to change it."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event, select, text
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.orm.exc import StaleDataError

from eventworker.event import Event
from tests.helpers.stories import (
    Base,
    Chore,
    Comment,
    Counter,
    Membership,
    Story,
    captured_sessions,
    clear,
    events_in,
)
from tests.servers import wait_until


def emptied(engine: Engine) -> Engine:
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        for table in reversed(Base.metadata.sorted_tables):
            connection.execute(table.delete())
    return engine


@pytest.fixture
def engine(postgres_engine: Engine) -> Engine:
    """PostgreSQL, whose transactions see each commit of others as soon as it is made."""
    return emptied(postgres_engine)


@pytest.fixture
def applications_own(maria_engine: Engine) -> Iterator[Engine]:
    """As an application makes it: with MariaDB's REPEATABLE READ, where a SELECT reads the past
    and a write the present."""
    made = create_engine(maria_engine.url)
    yield emptied(made)
    made.dispose()


@pytest.fixture
def sessions(engine: Engine) -> sessionmaker[Session]:
    return captured_sessions(engine)


@pytest.fixture
def story(sessions: sessionmaker[Session], engine: Engine) -> int:
    with sessions.begin() as session:
        made = Story(title="first", description="text")
        session.add(made)
    clear(engine)
    return made.id


@pytest.fixture
def statements(engine: Engine) -> Iterator[list[str]]:
    """What this engine's database is asked."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        seen.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    yield seen
    event.remove(engine, "before_cursor_execute", note)


def elsewhere(engine: Engine, statement: str, **values: object) -> None:
    """Another application's change, committed at once."""
    with engine.begin() as connection:
        connection.execute(text(statement), values)


def only(engine: Engine) -> Event:
    (found,) = events_in(engine)
    return found


def test_the_image_before_is_what_the_database_had(
    sessions: sessionmaker[Session], engine: Engine, story: int
) -> None:
    with sessions.begin() as session:
        loaded = session.get_one(Story, story)
        elsewhere(engine, "UPDATE story SET title = 'other', votes = 5")
        loaded.title = "second"
    found = only(engine)
    assert found.resource_before is not None
    assert found.resource_after is not None
    assert (found.resource_before["title"], found.resource_before["votes"]) == ("other", 5)
    # What the session believed to know is in no image, nor did it write that.
    assert (found.resource_after["title"], found.resource_after["votes"]) == ("second", 5)


def test_the_object_is_left_as_the_session_knows_it(
    sessions: sessionmaker[Session], engine: Engine, story: int
) -> None:
    with sessions.begin() as session:
        loaded = session.get_one(Story, story)
        elsewhere(engine, "UPDATE story SET votes = 5")
        loaded.title = "second"
        session.flush()
        assert loaded.votes == 0


def test_the_same_for_a_row_that_is_deleted(
    sessions: sessionmaker[Session], engine: Engine, story: int
) -> None:
    with sessions.begin() as session:
        loaded = session.get_one(Story, story)
        elsewhere(engine, "UPDATE story SET title = 'other'")
        session.delete(loaded)
    found = only(engine)
    assert found.resource_before is not None
    assert found.resource_before["title"] == "other"


def test_a_change_that_another_has_made_already_is_no_event(
    sessions: sessionmaker[Session], engine: Engine, story: int
) -> None:
    with sessions.begin() as session:
        loaded = session.get_one(Story, story)
        elsewhere(engine, "UPDATE story SET title = 'second'")
        loaded.title = "second"
    assert events_in(engine) == []


@pytest.mark.parametrize("title", ["second", "third"])
def test_images_are_of_the_present_where_a_select_reads_the_past(
    applications_own: Engine, title: str
) -> None:
    sessions = captured_sessions(applications_own)
    with sessions.begin() as session:
        session.add(Story(title="first"))
    clear(applications_own)
    with sessions.begin() as session:
        loaded = session.scalars(select(Story)).one()
        elsewhere(applications_own, "UPDATE story SET title = 'second', votes = 5")
        loaded.title = title
    images = [(one.resource_before, one.resource_after) for one in events_in(applications_own)]
    told = [(before["title"], after["title"], after["votes"]) for before, after in images]
    assert told == ([] if title == "second" else [("second", "third", 5)])


def test_over_several_flushes_the_first_before_and_the_last_after_count(
    sessions: sessionmaker[Session], engine: Engine, story: int
) -> None:
    with sessions.begin() as session:
        loaded = session.get_one(Story, story)
        elsewhere(engine, "UPDATE story SET votes = 5")
        loaded.title = "second"
        session.flush()
        loaded.description = "more"
        session.flush()
    found = only(engine)
    assert found.resource_before is not None
    assert found.resource_after is not None
    assert found.resource_before["votes"] == 5
    assert (found.resource_after["votes"], found.resource_after["description"]) == (5, "more")


def test_nobody_can_change_the_row_between_the_look_and_the_write(
    sessions: sessionmaker[Session], engine: Engine, story: int
) -> None:
    """The look takes the lock that the UPDATE would take a moment later."""
    done = threading.Event()

    def other() -> None:
        elsewhere(engine, "UPDATE story SET title = title || '!'")
        done.set()

    with sessions() as session:
        session.get_one(Story, story).title = "second"
        session.flush()
        thread = threading.Thread(target=other)
        thread.start()
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        with engine.connect() as looking:
            looking.execution_options(isolation_level="AUTOCOMMIT")
            wait_until(lambda: looking.scalar(text(waiting)), 10, "the other does not wait")
        assert not done.is_set()
        session.commit()
    thread.join(10)
    found = only(engine)
    assert found.resource_after is not None
    assert found.resource_after["title"] == "second"
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT title FROM story")) == "second!"


def test_the_look_does_not_hold_up_who_refers_to_the_row(
    sessions: sessionmaker[Session], engine: Engine, story: int
) -> None:
    with sessions() as session:
        session.get_one(Story, story).title = "second"
        session.flush()
        elsewhere(
            engine,
            "SET LOCAL lock_timeout = '5s';"
            f"INSERT INTO comment (id, story_id, text) VALUES (1, {story}, 'x')",
        )
        session.commit()


def test_each_kind_of_object_is_read_with_one_statement(
    sessions: sessionmaker[Session], engine: Engine, statements: list[str]
) -> None:
    with sessions.begin() as session:
        stories = [Story(title=str(number)) for number in range(3)]
        members = [Membership(story_id=1, team=str(number)) for number in range(2)]
        session.add_all([*stories, *members, chore := Chore(weekday="Monday")])
    with sessions.begin() as session:
        loaded = [session.merge(one, load=False) for one in (*stories, *members, chore)]
        for one in loaded[:3]:
            one.title += "!"
        for one in loaded[3:5]:
            one.role = "boss"
        loaded[5].weekday = "Friday"
        clear(engine)
        statements.clear()
        session.flush()
        looks = [said for said in statements if said.startswith("SELECT")]
    assert len(looks) == 3
    assert all("FOR NO KEY UPDATE" in look for look in looks)
    assert len(events_in(engine)) == 6


def test_a_counted_version_proves_the_row_and_spares_the_look(
    sessions: sessionmaker[Session], engine: Engine, statements: list[str]
) -> None:
    with sessions.begin() as session:
        session.add(made := Counter(value=1))
    with sessions.begin() as session:
        loaded = session.get_one(Counter, made.id)
        statements.clear()
        loaded.value = 2
        session.flush()
        assert not [said for said in statements if said.startswith("SELECT")]
    clear(engine)

    def change_a_stale_one() -> None:
        with sessions.begin() as session:
            loaded = session.get_one(Counter, made.id)
            elsewhere(engine, "UPDATE counter SET value = 7, version = version + 1")
            loaded.value = 3

    with pytest.raises(StaleDataError):
        change_a_stale_one()
    assert events_in(engine) == []


def test_a_row_that_is_gone_fails_the_commit_as_it_would_without_capture(
    sessions: sessionmaker[Session], engine: Engine, story: int
) -> None:
    def change_what_is_gone() -> None:
        with sessions.begin() as session:
            loaded = session.get_one(Story, story)
            elsewhere(engine, "DELETE FROM story")
            loaded.title = "second"

    with pytest.raises(StaleDataError):
        change_what_is_gone()
    assert events_in(engine) == []


def test_a_sub_resource_that_another_has_moved_is_of_its_new_parent(
    sessions: sessionmaker[Session], engine: Engine, story: int
) -> None:
    with sessions.begin() as session:
        session.add(other := Story(title="other"))
        session.add(comment := Comment(story_id=story, text="x"))
    clear(engine)
    with sessions.begin() as session:
        loaded = session.get_one(Comment, comment.id)
        elsewhere(engine, "UPDATE comment SET story_id = :id", id=other.id)
        loaded.text = "y"
    assert only(engine).resource_id == other.id
