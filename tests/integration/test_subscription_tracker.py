"""The tracker's API, what it records, and the notifications in the tracker's own tables."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine

from eventworker.db import metadata
from examples.tracker.models import Base
from tests.helpers.tracker import Tracker, tracker_at


def peopled(engine: Engine) -> Tracker:
    """Ann and Bob, and Ann's story with a task."""
    tracker = tracker_at(engine)
    for name in ("ann", "bob"):
        tracker.ask("POST", "/users", {"name": name})
    tracker.ask("POST", "/stories", {"title": "Příběh"}, user=1)
    tracker.ask("POST", "/tasks", {"story_id": 1, "title": "Find"}, user=1)
    tracker.new_events()
    return tracker


@pytest.fixture
def tracker(shared_engine: Callable[..., Engine]) -> Tracker:
    return peopled(shared_engine("tracker", metadata, Base.metadata))


@pytest.fixture
def sqlite_tracker(sqlite_url: str, new_engine: Callable[[str], Engine]) -> Tracker:
    return peopled(new_engine(sqlite_url))


def test_what_people_do_is_told_to_those_who_follow(tracker: Tracker) -> None:
    follow = {"user_id": 2, "target_type": "story", "target_id": 1}
    tracker.ask("POST", "/subscriptions", follow)
    tracker.ask("POST", "/stories/1/comments", {"content": "Hello"}, user=1)
    tracker.ask("PATCH", "/tasks/1", {"status": "review"}, user=1)
    tracker.ask("PUT", "/stories/1", {"title": "New"}, user=2)
    assert len(tracker.new_events()) == 3
    assert tracker.told(1) == []
    assert sorted(tracker.told(2)) == ["comment_created", "task_changed"]
    newest = tracker.ask("GET", "/notifications?user_id=2")[0]
    assert (newest["author_id"], newest["subscriber_id"]) == (1, 2)
    tracker.new_events()
    assert len(tracker.told(2)) == 2


def test_a_request_is_an_event_with_its_author_and_path(tracker: Tracker) -> None:
    tracker.ask("PATCH", "/tasks/1?why=test", {"status": "review", "assignee_id": 2}, user=2)
    (event,) = tracker.new_events()
    assert (event.method, event.path, event.query_string) == ("PATCH", "/v1/tasks/1", "why=test")
    assert (event.author_id, event.source) == (2, "tracker")
    assert event.resource_before is not None
    assert event.resource_after is not None
    assert (event.resource_before["status"], event.resource_after["status"]) == ("todo", "review")


def test_a_story_is_deleted_with_an_event_for_each_of_its_parts(tracker: Tracker) -> None:
    tracker.ask("POST", "/stories/1/comments", {"content": "Hello"}, user=1)
    tracker.ask(
        "POST", "/subscriptions", {"user_id": 2, "target_type": "story", "target_id": 1}, user=2
    )
    tracker.new_events()
    tracker.ask("DELETE", "/stories/1", user=1)
    seen = sorted((event.sub_resource or event.resource) for event in tracker.new_events())
    assert seen == ["comment", "story", "task"]
    assert "story_deleted" in tracker.told(2)
    assert tracker.ask("GET", "/subscriptions?user_id=2") == []
    assert tracker.refused("GET", "/stories/1")[0] == 404


def test_a_subscription_can_be_ended(tracker: Tracker) -> None:
    made = tracker.ask(
        "POST", "/subscriptions", {"user_id": 2, "target_type": "story", "target_id": 1}
    )
    tracker.ask("DELETE", f"/subscriptions/{made['id']}")
    assert tracker.ask("GET", "/subscriptions") == []


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("GET", "/stories/99", None, 404, "there is no story 99"),
        ("GET", "/stories/99999999999999999999", None, 404, "there is no story 99999999999999999"),
        (
            "GET",
            "/nonsense",
            None,
            404,
            "there is no nonsense; there are users, stories, tasks, pro",
        ),
        ("POST", "/stories", {}, 400, "missing required field `title`"),
        ("POST", "/stories", {"title": ""}, 400, "length >= 1"),
        ("POST", "/stories", {"title": "a\0b"}, 400, "`$.title`"),
        ("POST", "/stories", {"title": "a", "colour": 1}, 400, "unknown field `colour`"),
        ("POST", "/stories", b"nonsense", 400, "malformed"),
        ("POST", "/stories", b'{"title": "\xff"}', 400, "utf-8"),
        ("POST", "/stories", b"", 400, "truncated"),
        ("PUT", "/stories/1", [1], 400, "Expected `object`"),
        ("PATCH", "/tasks/1", {"status": "lost"}, 400, "Invalid enum value 'lost'"),
        ("POST", "/tasks", {"story_id": 99, "title": "a"}, 400, "story_id: there is no story 99"),
        ("POST", "/tasks", {"story_id": 2**70, "title": "a"}, 400, "`$.story_id`"),
        ("POST", "/stories/99/comments", {"content": "a"}, 404, "there is no story 99"),
        ("POST", "/users", {"name": "ann"}, 409, "it conflicts with what is there"),
        ("DELETE", "/users/1", None, 409, "it conflicts with what is there"),
        (
            "POST",
            "/subscriptions",
            {"user_id": 1, "target_type": "task", "target_id": 99},
            404,
            "there is no task 99",
        ),
        ("GET", "/notifications?user_id=x", None, 400, "user_id: 'x' is no user's id"),
        ("DELETE", "/stories", None, 405, "not allowed"),
    ],
)
def test_a_request_that_cannot_be_done_says_why_and_is_no_event(
    sqlite_tracker: Tracker, method: str, path: str, body: Any, status: int, words: str
) -> None:
    found, answer = sqlite_tracker.refused(method, path, body, user=1)
    assert (found, list(answer)) == (status, ["error"])
    assert words.lower() in answer["error"].lower()
    assert sqlite_tracker.new_events() == []


@pytest.mark.parametrize("user", [99, "²", "9" * 5000])
def test_an_author_who_does_not_exist_is_refused_or_nobody(
    sqlite_tracker: Tracker, user: object
) -> None:
    status, answer = sqlite_tracker.refused("POST", "/stories", {"title": "a"}, user)
    if user == 99:
        assert (status, answer) == (400, {"error": "X-User-Id: there is no user 99"})
    else:
        assert (status, answer["creator_id"]) == (201, None)
