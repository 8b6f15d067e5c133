"""Who hears of what: a subscription covers what lies below it."""

from __future__ import annotations

import pytest
from sqlalchemy.orm import Session
from storyboard.db import models
from storyboard.db.api import subscriptions as sub_api

#: One subscriber per resource, so that the answer says by which subscriptions it came about.
SUBSCRIBERS = {
    ("project_group", 1): 11,
    ("project_group", 2): 12,
    ("project", 1): 21,
    ("project", 2): 22,
    ("project", 3): 23,
    ("story", 1): 31,
    ("story", 2): 32,
    ("task", 1): 41,
    ("task", 2): 42,
    ("task", 3): 43,
    ("worklist", 1): 51,
    ("worklist", 2): 52,
}


@pytest.fixture
def tracker(session: Session) -> Session:
    """Group 1 holds projects 1 and 2, group 2 holds 2. Story 1 has task 1 in project 1 and task 2
    in project 2; story 2 has task 3 in project 3. Task 4 and story 3 stand alone."""
    projects = {number: models.Project(id=number, name=f"P{number}") for number in (1, 2, 3)}
    session.add_all(
        [
            models.ProjectGroup(id=1, name="G1", projects=[projects[1], projects[2]]),
            models.ProjectGroup(id=2, name="G2", projects=[projects[2]]),
            projects[3],
            models.Story(id=1),
            models.Story(id=2),
            models.Story(id=3),
            models.Task(id=1, story_id=1, project_id=1),
            models.Task(id=2, story_id=1, project_id=2),
            models.Task(id=3, story_id=2, project_id=3),
            models.Task(id=4),
            models.Worklist(id=1),
            models.Worklist(id=2),
            models.TimeLineEvent(id=1, story_id=2, event_type="story_created"),
            models.TimeLineEvent(id=2, worklist_id=1, event_type="worklist_created"),
            models.TimeLineEvent(id=3, board_id=1, event_type="board_created"),
        ]
    )
    for (target_type, target_id), user_id in SUBSCRIBERS.items():
        session.add(models.User(id=user_id, email=f"{user_id}@example.org"))
        session.add(
            models.Subscription(user_id=user_id, target_type=target_type, target_id=target_id)
        )
    session.flush()
    return session


def subscribers(session: Session, resource: str, resource_id: object) -> set[int]:
    return sub_api.subscription_get_all_subscriber_ids(resource, resource_id, session=session)


@pytest.mark.parametrize(
    ("resource", "resource_id", "expected"),
    [
        ("project_group", 1, {11}),
        ("project", 1, {21, 11}),
        ("project", 2, {22, 11, 12}),
        ("project", 3, {23}),
        ("story", 1, {31, 41, 42, 21, 22, 11, 12}),
        ("story", "2", {32, 43, 23}),
        ("story", 3, set()),
        ("task", 1, {41, 31, 21, 11}),
        ("task", 2, {42, 31, 22, 11, 12}),
        ("task", 4, set()),
        ("worklist", 1, {51}),
        ("timeline_event", 1, {32, 43, 23}),
        ("timeline_event", 2, {51}),
        ("timeline_event", 3, set()),
        ("timeline_event", 99, set()),
        ("task", 99, set()),
        ("story", 2**40, set()),
        ("story", None, set()),
        ("story", "one", set()),
        ("board", 1, set()),
    ],
)
def test_the_subscribers_are_those_of_the_resource_and_of_what_is_above_it(
    tracker: Session, resource: str, resource_id: object, expected: set[int]
) -> None:
    assert subscribers(tracker, resource, resource_id) == expected


def test_whoever_is_subscribed_twice_counts_once(tracker: Session) -> None:
    tracker.add(models.Subscription(user_id=31, target_type="project", target_id=1))

    assert subscribers(tracker, "story", 1) == {31, 41, 42, 21, 22, 11, 12}


@pytest.mark.parametrize("resource", ["story", "task", "timeline_event"])
def test_of_a_private_story_only_those_hear_who_may_see_it(tracker: Session, resource: str) -> None:
    stranger, member, holder = (tracker.get_one(models.User, number) for number in (11, 23, 43))
    view = models.Permission(name="view", teams=[models.Team(name="Security", users=[member])])
    tracker.add(view)
    view.users = [holder, stranger]
    story = tracker.get_one(models.Story, 2)
    story.private = True
    story.permissions = [view]
    resource_id = 3 if resource == "task" else 2 if resource == "story" else 1

    assert subscribers(tracker, resource, resource_id) == {43, 23}


def test_of_a_private_story_without_permissions_nobody_hears(tracker: Session) -> None:
    tracker.get_one(models.Story, 1).private = True

    assert subscribers(tracker, "story", 1) == set()


@pytest.mark.parametrize("resource", ["story", "task", "worklist"])
def test_of_what_is_gone_nobody_hears_since_it_may_have_been_private(
    tracker: Session, resource: str
) -> None:
    tracker.add(models.Subscription(user_id=31, target_type=resource, target_id=77))

    assert subscribers(tracker, resource, 77) == set()


def test_of_a_project_group_that_is_gone_its_subscribers_hear(tracker: Session) -> None:
    tracker.add(models.Subscription(user_id=31, target_type="project_group", target_id=77))

    assert subscribers(tracker, "project_group", 77) == {31}


def test_of_a_private_worklist_only_those_hear_who_may_see_it(tracker: Session) -> None:
    worklist = tracker.get_one(models.Worklist, 1)
    worklist.private = True
    assert subscribers(tracker, "worklist", 1) == set()

    view = models.Permission(name="view", users=[tracker.get_one(models.User, 51)])
    tracker.add(view)
    worklist.permissions = [view]
    assert subscribers(tracker, "worklist", 1) == {51}


def test_subscriptions_are_found_by_one_target_or_several(tracker: Session) -> None:
    one = sub_api.subscription_get_all_by_target("task", 2, session=tracker)
    several = sub_api.subscription_get_all_by_target("task", [1, 3], session=tracker)
    kinds = sub_api.subscription_get_all_by_target(["task", "story"], 1, session=tracker)

    assert [each.user_id for each in one] == [42]
    assert [each.user_id for each in several] == [41, 43]
    assert {each.user_id for each in kinds} == {41, 31}


def test_a_subscription_is_made_counted_and_ended(tracker: Session) -> None:
    wish = {"user_id": 11, "target_type": "story", "target_id": 3}

    made = sub_api.subscription_create(wish, session=tracker)
    assert sub_api.subscription_get(made.id, session=tracker) is made
    assert sub_api.subscription_get_count(user_id=11, session=tracker) == 2

    sub_api.subscription_delete(made.id, session=tracker)
    sub_api.subscription_delete(made.id, session=tracker)
    assert sub_api.subscription_get_count(user_id=11, session=tracker) == 1


def test_the_resource_of_a_subscription_is_found(tracker: Session) -> None:
    found = sub_api.subscription_get_resource("story", 2, session=tracker)

    assert found is tracker.get_one(models.Story, 2)
    assert sub_api.subscription_get_resource("board", 2, session=tracker) is None
