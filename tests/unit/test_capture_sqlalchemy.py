"""A session records what its transaction changed, in that transaction."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, event, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from eventworker.capture.sqlalchemy import Resource, capture
from eventworker.event import MAX_BODY_BYTES, Event
from tests.helpers.stories import (
    Base,
    Chore,
    Comment,
    Draft,
    Membership,
    Status,
    Story,
    Task,
    User,
    captured_sessions,
    clear,
    count_of,
    events_in,
)


@pytest.fixture
def engine(sqlite_engine: Engine) -> Engine:
    return sqlite_engine


@pytest.fixture
def sessions(engine: Engine) -> sessionmaker[Session]:
    return captured_sessions(engine, source="tracker")


@pytest.fixture
def story(sessions: sessionmaker[Session], engine: Engine) -> int:
    """The id of a story that is there already."""
    with sessions.begin() as session:
        made = Story(title="first", description="text")
        session.add(made)
    clear(engine)
    return made.id


def only(events: list[Event]) -> Event:
    assert len(events) == 1
    return events[0]


@pytest.fixture
def selects(engine: Engine) -> Iterator[list[str]]:
    """The SELECTs that the database was asked."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.startswith("SELECT"):
            seen.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    yield seen
    event.remove(engine, "before_cursor_execute", note)


def test_a_created_object_is_an_event_with_its_row_as_it_is_now(
    sessions: sessionmaker[Session], engine: Engine
) -> None:
    with sessions.begin() as session:
        made = Story(title="Příběh")
        session.add(made)
    found = only(events_in(engine))
    assert (found.method, found.resource, found.resource_id) == ("POST", "story", made.id)
    assert found.resource_before is None
    assert found.resource_after == {
        "id": made.id,
        "title": "Příběh",
        "description": None,
        "votes": 0,
        "state": "new",
    }
    assert found.source == "tracker"
    assert found.author_id is None


def test_a_created_object_costs_no_select(
    sessions: sessionmaker[Session], selects: list[str]
) -> None:
    with sessions.begin() as session:
        session.add_all([Story(title=str(number)) for number in range(10)])
    assert selects == []


def test_a_changed_object_is_an_event_with_both_images(
    sessions: sessionmaker[Session], engine: Engine, story: int
) -> None:
    with sessions.begin() as session:
        session.get_one(Story, story).title = "second"
    found = only(events_in(engine))
    assert (found.method, found.resource_id) == ("PUT", story)
    assert found.resource_before is not None
    assert found.resource_after == {**found.resource_before, "title": "second"}
    assert found.resource_before["title"] == "first"
    assert found.resource_before["description"] == "text"


def test_a_deleted_object_is_an_event_with_its_last_image(
    sessions: sessionmaker[Session], engine: Engine, story: int
) -> None:
    with sessions.begin() as session:
        loaded = session.get_one(Story, story)
        loaded.title = "never written"
        session.delete(loaded)
    found = only(events_in(engine))
    assert (found.method, found.resource_id, found.resource_after) == ("DELETE", story, None)
    assert found.resource_before is not None
    assert found.resource_before["title"] == "first"


def test_attributes_that_were_not_loaded_are_in_the_image_before(
    sessions: sessionmaker[Session], engine: Engine, story: int
) -> None:
    with sessions.begin() as session:
        loaded = session.get_one(Story, story)
        session.expire(loaded)
        loaded.title = "second"
    found = only(events_in(engine))
    assert found.resource_before is not None
    assert found.resource_before["title"] == "first"
    assert found.resource_before["description"] == "text"


def test_objects_that_expire_with_each_commit_have_their_images_all_the_same(
    sessions: sessionmaker[Session], engine: Engine
) -> None:
    with sessions(expire_on_commit=True) as session:
        made = Story(title="first")
        session.add(made)
        session.commit()
        made.title = "second"
        session.commit()
        session.delete(made)
        session.commit()
    titles = [
        [image and image["title"] for image in (found.resource_before, found.resource_after)]
        for found in events_in(engine)
    ]
    assert titles == [[None, "first"], ["first", "second"], ["second", None]]


def test_a_value_that_the_database_computes_is_in_the_image_after(
    sessions: sessionmaker[Session], engine: Engine, story: int
) -> None:
    with sessions.begin() as session:
        session.get_one(Story, story).votes = Story.votes + 5
    found = only(events_in(engine))
    assert found.resource_before is not None
    assert found.resource_after == {**found.resource_before, "votes": 5}
    assert found.resource_before["votes"] == 0


def test_several_flushes_make_one_event_from_the_first_before_to_the_last_after(
    sessions: sessionmaker[Session], engine: Engine, story: int
) -> None:
    with sessions.begin() as session:
        loaded = session.get_one(Story, story)
        for title in ("second", "third", "fourth"):
            loaded.title = title
            session.flush()
    found = only(events_in(engine))
    assert found.resource_before is not None
    assert found.resource_after is not None
    assert (found.resource_before["title"], found.resource_after["title"]) == ("first", "fourth")


def test_created_and_then_changed_is_created(
    sessions: sessionmaker[Session], engine: Engine
) -> None:
    with sessions.begin() as session:
        made = Story(title="a")
        session.add(made)
        session.flush()
        made.title = "b"
    found = only(events_in(engine))
    assert (found.method, found.resource_before) == ("POST", None)
    assert found.resource_after is not None
    assert found.resource_after["title"] == "b"


def test_created_and_deleted_in_one_transaction_is_nothing(
    sessions: sessionmaker[Session], engine: Engine
) -> None:
    with sessions.begin() as session:
        made = Story(title="a")
        session.add(made)
        session.flush()
        session.delete(made)
    assert events_in(engine) == []


def test_changed_and_then_deleted_is_deleted_with_the_first_image(
    sessions: sessionmaker[Session], engine: Engine, story: int
) -> None:
    with sessions.begin() as session:
        loaded = session.get_one(Story, story)
        loaded.title = "second"
        session.flush()
        session.delete(loaded)
    found = only(events_in(engine))
    assert found.method == "DELETE"
    assert found.resource_before is not None
    assert found.resource_before["title"] == "first"


def test_changed_and_changed_back_is_nothing(
    sessions: sessionmaker[Session], engine: Engine, story: int
) -> None:
    with sessions.begin() as session:
        loaded = session.get_one(Story, story)
        for title in ("second", "first"):
            loaded.title = title
            session.flush()
    assert events_in(engine) == []


def test_a_replaced_row_is_deleted_and_created(
    sessions: sessionmaker[Session], engine: Engine, story: int
) -> None:
    with sessions.begin() as session:
        session.delete(session.get_one(Story, story))
        session.add(Story(id=story, title="other"))
    assert [found.method for found in events_in(engine)] in (["DELETE", "POST"], ["POST", "DELETE"])


def test_what_is_only_read_or_set_to_the_same_is_nothing(
    sessions: sessionmaker[Session], engine: Engine, story: int
) -> None:
    with sessions.begin() as session:
        loaded = session.get_one(Story, story)
        loaded.title = "first"
        session.add(Draft(text="not captured"))
    assert events_in(engine) == []


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


def test_secrets_and_excluded_columns_and_bytes_appear_in_no_image(
    sessions: sessionmaker[Session], engine: Engine
) -> None:
    with sessions.begin() as session:
        user = User(
            name="Ada",
            password_hash="hunter2",
            key="hunter2",
            phone="hunter2",
            photo=b"hunter2",
            biography="long",
            settings={"theme": "dark"},
            status=Status.OPEN,
            balance=Decimal("1.10"),
            joined=datetime(2026, 1, 2, tzinfo=UTC),
        )
        session.add(user)
    found = only(events_in(engine))
    assert found.resource_id == str(user.id)
    assert found.resource_after == {
        "id": str(user.id),
        "name": "Ada",
        "biography": "long",
        "settings": {"theme": "dark"},
        "status": "open",
        "balance": "1.10",
        "joined": found.resource_after and found.resource_after["joined"],
        "seen": None,
    }
    assert str(found.resource_after["joined"]).startswith("2026-01-02T00:00:00")
    assert b"hunter2" not in found.encode()


def test_a_change_of_a_hidden_column_alone_is_an_event_without_a_difference(
    sessions: sessionmaker[Session], engine: Engine
) -> None:
    with sessions.begin() as session:
        user = User(name="Ada", password_hash="a")
        session.add(user)
    clear(engine)
    with sessions.begin() as session:
        loaded = session.get_one(User, user.id)
        loaded.password_hash = "b"
    found = only(events_in(engine))
    assert found.method == "PUT"
    assert found.resource_after is not None
    # The only other difference is the column that every UPDATE sets.
    assert found.resource_before == {**found.resource_after, "seen": None}


def test_deferred_mutable_and_onupdate_columns_have_their_old_values_before(
    sessions: sessionmaker[Session], engine: Engine
) -> None:
    with sessions.begin() as session:
        user = User(name="Ada", biography="old", settings={"theme": "dark"}, seen="then")
        session.add(user)
    clear(engine)
    with sessions.begin() as session:
        loaded = session.get_one(User, user.id)
        assert loaded.settings is not None
        loaded.settings["theme"] = "light"
        loaded.biography = "new"
        session.flush()
        loaded.settings["theme"] = "none"
    found = only(events_in(engine))
    before, after = found.resource_before, found.resource_after
    assert before is not None
    assert after is not None
    assert (before["settings"], after["settings"]) == ({"theme": "dark"}, {"theme": "none"})
    assert (before["biography"], after["biography"]) == ("old", "new")
    assert before["seen"] == "then"
    assert after["seen"] != "then"


def test_a_sub_resource_is_recorded_under_its_parent(
    sessions: sessionmaker[Session], engine: Engine, story: int
) -> None:
    with sessions.begin() as session:
        comment = Comment(story_id=story, text="hello")
        session.add(comment)
    found = only(events_in(engine))
    assert (found.resource, found.resource_id) == ("story", story)
    assert (found.sub_resource, found.sub_resource_id) == ("comment", comment.id)
    assert found.resource_after == {"id": comment.id, "story_id": story, "text": "hello"}


def test_what_the_flush_itself_deletes_is_recorded(
    sessions: sessionmaker[Session], engine: Engine, story: int
) -> None:
    with sessions.begin() as session:
        comment = Comment(story_id=story, text="hello")
        session.add(comment)
    clear(engine)
    with sessions.begin() as session:
        loaded = session.get_one(Story, story)
        loaded.comments.clear()
    found = only(events_in(engine))
    assert (found.method, found.resource_id) == ("DELETE", story)
    assert found.sub_resource_id == comment.id
    assert found.resource_before == {"id": comment.id, "story_id": story, "text": "hello"}


def test_a_foreign_key_that_the_flush_sets_is_a_change(
    sessions: sessionmaker[Session], engine: Engine, story: int
) -> None:
    with sessions.begin() as session:
        task = Task(kind="task")
        session.add(task)
    clear(engine)
    with sessions.begin() as session:
        loaded = session.get_one(Task, task.id)
        session.expire(loaded)
        loaded.story = session.get_one(Story, story)
    found = only(events_in(engine))
    assert found.resource_before == {"id": task.id, "kind": "task", "story_id": None}
    assert found.resource_after == {"id": task.id, "kind": "task", "story_id": story}


def test_subclasses_are_recorded_with_the_columns_of_both_tables(
    sessions: sessionmaker[Session], engine: Engine
) -> None:
    with sessions.begin() as session:
        chore = Chore(weekday="Monday")
        session.add(chore)
    with sessions.begin() as session:
        loaded = session.get_one(Chore, chore.id)
        session.expire(loaded)
        loaded.weekday = "Friday"
    created, changed = events_in(engine)
    assert (created.resource, created.resource_id) == ("task", chore.id)
    assert changed.resource_before == {
        "id": chore.id,
        "kind": "chore",
        "story_id": None,
        "weekday": "Monday",
    }


def test_a_key_of_two_columns_is_a_text(sessions: sessionmaker[Session], engine: Engine) -> None:
    with sessions.begin() as session:
        session.add(Membership(story_id=1, team="red"))
    with sessions.begin() as session:
        loaded = session.get_one(Membership, (1, "red"))
        loaded.team = "blue"
    created, changed = events_in(engine)
    assert created.resource_id == "1,red"
    assert changed.resource_id == "1,blue"
    assert changed.resource_before == {"story_id": 1, "team": "red", "role": None}


def test_an_event_too_large_for_the_wire_is_recorded_without_images(
    sessions: sessionmaker[Session], engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), sessions.begin() as session:
        made = Story(title="x" * MAX_BODY_BYTES)
        session.add(made)
    found = only(events_in(engine))
    assert (found.resource_id, found.resource_after) == (made.id, None)
    assert "recorded without its images" in caplog.text


def test_an_image_too_deep_for_the_wire_is_left_out(
    sessions: sessionmaker[Session], engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    deep: Any = {}
    for _ in range(100):
        deep = {"a": deep}
    with caplog.at_level(logging.WARNING), sessions.begin() as session:
        session.add(User(name="Ada", settings=deep))
    assert only(events_in(engine)).resource_after is None
    assert "has no image" in caplog.text


def test_any_other_error_in_capture_fails_the_commit(engine: Engine) -> None:
    def broken(_instance: Any, _values: Any) -> Any:
        raise KeyError("a bug")

    sessions = captured_sessions(engine, images=broken)
    with sessions() as session:
        session.add(Story(title="a"))
        with pytest.raises(KeyError):
            session.commit()
        session.rollback()
        assert session.scalars(select(Story.id)).all() == []


def test_images_may_be_the_applications_own(engine: Engine) -> None:
    sessions = captured_sessions(
        engine, images=lambda story, values: {"kind": type(story).__name__, "t": values["title"]}
    )
    with sessions.begin() as session:
        made = Story(title="a")
        session.add(made)
    with sessions.begin() as session:
        session.get_one(Story, made.id).votes = 9  # the images are equal
        session.flush()
    assert only(events_in(engine)).resource_after == {"kind": "Story", "t": "a"}


def test_what_counts_as_a_secret_is_configurable(engine: Engine) -> None:
    sessions = captured_sessions(engine, secrets=("phone",), exclude=("title", "api_token"))
    with sessions.begin() as session:
        session.add_all([User(name="Ada", password_hash="shown"), Story(title="hidden")])
    images = {found.resource: found.resource_after for found in events_in(engine)}
    assert images["user"] is not None
    assert images["user"]["password_hash"] == "shown"
    assert "key" not in images["user"]
    assert images["story"] is not None
    assert "title" not in images["story"]


def test_a_parent_attribute_that_does_not_exist_is_named(engine: Engine) -> None:
    sessions = sessionmaker(engine)
    Base.metadata.create_all(engine)
    capture(sessions, {Comment: Resource("comment", parent=("story", "tale_id"))})
    with sessions() as session:
        session.add(Comment(story_id=1, text="a"))
        with pytest.raises(ValueError, match="Comment has no column attribute tale_id"):
            session.commit()


def test_statements_that_pass_objects_by_are_not_seen(
    sessions: sessionmaker[Session], engine: Engine, story: int
) -> None:
    with sessions.begin() as session:
        session.execute(update(Story).values(title="all"))
        session.execute(text("DELETE FROM task"))
    assert events_in(engine) == []


def test_a_scoped_session_and_a_single_session_can_be_captured(engine: Engine) -> None:
    Base.metadata.create_all(engine)
    scoped = scoped_session(sessionmaker(engine))
    capture(scoped, {Story: "story"})
    scoped.add(Story(title="a"))
    scoped.commit()
    scoped.remove()
    with Session(engine) as session, Session(engine) as other:
        capture(session, {Story: "story"})
        session.add(Story(title="b"))
        session.commit()
        other.add(Story(title="c"))
        other.commit()
    assert count_of(engine) == 2


def test_two_captures_of_one_factory_are_independent(engine: Engine) -> None:
    sessions = captured_sessions(engine)
    capture(sessions, {Draft: "draft"})
    with sessions.begin() as session:
        session.add_all([Story(title="a"), Draft(text="b")])
    assert sorted(found.resource for found in events_in(engine)) == ["draft", "story"]


def test_a_session_is_left_with_nothing_of_ours_after_its_transaction(
    sessions: sessionmaker[Session], story: int
) -> None:
    with sessions() as session:
        session.get_one(Story, story).title = "second"
        session.commit()
        session.add(Story(title="other"))
        session.flush()
        session.rollback()
        assert session.info == {}
