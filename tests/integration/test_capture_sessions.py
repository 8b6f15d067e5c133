"""Capture in sessions on both databases: change and event are committed together, or neither."""

from collections.abc import Callable
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest
from sqlalchemy import Engine, insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from eventworker.capture import request_facts
from eventworker.capture.wsgi import EventMiddleware, outbox_sink
from eventworker.db import metadata
from eventworker.outbox.queue import claim
from tests.helpers.stories import (
    Comment,
    Status,
    Story,
    User,
    captured_sessions,
    clear,
    count_of,
    events_in,
)


@pytest.fixture
def engine(database_url: str, new_engine: Callable[[str], Engine]) -> Engine:
    """A database of the test's own, since it makes tables of its own."""
    built = new_engine(database_url)
    metadata.create_all(built)
    return built


@pytest.fixture
def sessions(engine: Engine) -> sessionmaker[Session]:
    return captured_sessions(engine)


def test_the_life_of_a_story(sessions: sessionmaker[Session], engine: Engine) -> None:
    with request_facts("POST", "/v1/stories", author_id=1), sessions.begin() as session:
        story = Story(title="Příběh")
        session.add(story)
    with sessions.begin() as session:
        loaded = session.get_one(Story, story.id)
        session.expire(loaded)
        loaded.title = "second"
        session.flush()
        loaded.votes = Story.votes + 2
        session.add(Comment(story_id=story.id, text="hello"))
    with sessions.begin() as session:
        session.delete(session.get_one(Story, story.id))
    # Events of one transaction have no order among each other.
    found = sorted(events_in(engine), key=lambda event: (event.time, event.sub_resource or ""))
    seen = sorted((event.method, event.sub_resource or event.resource) for event in found)
    assert seen == sorted(
        [
            ("POST", "story"),
            ("PUT", "story"),
            ("POST", "comment"),
            ("DELETE", "comment"),
            ("DELETE", "story"),
        ]
    )
    (changed,) = (event for event in found if event.method == "PUT")
    assert changed.resource_before is not None
    assert changed.resource_after is not None
    assert (changed.resource_before["title"], changed.resource_before["votes"]) == ("Příběh", 0)
    assert (changed.resource_after["title"], changed.resource_after["votes"]) == ("second", 2)


def test_native_types_have_json_images(sessions: sessionmaker[Session], engine: Engine) -> None:
    with sessions.begin() as session:
        user = User(name="Ada", settings={"a": [1, None]}, status=Status.DONE)
        session.add(user)
    clear(engine)
    with sessions.begin() as session:
        loaded = session.get_one(User, user.id)
        session.expire(loaded)
        loaded.name = "Ada L."
    (found,) = events_in(engine)
    assert found.resource_id == str(user.id)
    assert found.resource_before is not None
    assert found.resource_before["settings"] == {"a": [1, None]}
    assert found.resource_before["status"] == "done"


def test_a_savepoint_that_failed_takes_its_events_along(
    sessions: sessionmaker[Session], engine: Engine
) -> None:
    def fail(session: Session, story_id: int) -> None:
        with session.begin_nested():
            session.add(Comment(story_id=story_id, text="lost"))
            session.flush()
            session.execute(insert(Story).values(id=story_id, title="taken"))

    with sessions.begin() as session:
        kept = Story(title="kept")
        session.add(kept)
        session.flush()
        with pytest.raises(IntegrityError):
            fail(session, kept.id)
    (found,) = events_in(engine)
    assert (found.resource_id, found.sub_resource) == (kept.id, None)


def test_nothing_can_be_claimed_before_the_commit(
    sessions: sessionmaker[Session], engine: Engine
) -> None:
    with sessions() as session:
        session.add(Story(title="a"))
        session.flush()
        assert count_of(engine) == 0
        session.commit()
    with engine.begin() as connection:
        assert len(claim(connection, 10, 30.0, "me")) == 1


def test_the_middlewares_own_transaction_reaches_the_outbox(
    sessions: sessionmaker[Session], engine: Engine
) -> None:
    def app(_environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return []

    environ: dict[str, Any] = {"REQUEST_METHOD": "PUT", "PATH_INFO": "/v1/stories/3"}
    setup_testing_defaults(environ)
    middleware = EventMiddleware(app, outbox_sink(engine))
    response: Any = middleware(environ, lambda *_arguments: lambda _chunk: None)
    response.close()
    assert count_of(engine) == 1
    assert events_in(engine)[0].resource_id == 3
