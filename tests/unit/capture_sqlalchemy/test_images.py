"""What an image holds and what not, and of which resource it is."""

import logging
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session, sessionmaker

from eventworker.capture.sqlalchemy import Resource, capture
from eventworker.event import MAX_BODY_BYTES
from tests.helpers.stories import (
    Base,
    Chore,
    Comment,
    Membership,
    Status,
    Story,
    Task,
    User,
    captured_sessions,
    clear,
    events_in,
    only,
)


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
