"""StoryBoard's own handler of subscriptions: who is told of which event."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from oslo_config import cfg
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session
from storyboard.common import event_types
from storyboard.db import models
from storyboard.db.api import subscriptions as sub_api
from storyboard.plugin.subscription.base import Subscription

from eventworker.event import Event

#: Rows: where something happens. Columns: who hears of it, each a follower of one thing alone.
#:
#: Group 1 holds projects 1 and 2, group 2 holds project 2. Story 1 has task 1 in project 1 and task
#: 2 in project 2; story 2 has task 3 in project 3, which is in no group; story 3 has no tasks.
TABLE = """
           group1 group2 project1 project2 project3 story1 story2 task1 task2 task3 worklist1
story1     x      x      x        x        .        x      .      x     x     .     .
story2     .      .      .        .        x        .      x      .     .     x     .
story3     .      .      .        .        .        .      .      .     .     .     .
worklist1  .      .      .        .        .        .      .      .     .     .     x
worklist2  .      .      .        .        .        .      .      .     .     .     .
board1     .      .      .        .        .        .      .      .     .     .     .
"""
#: Rows: where something happens. Columns: three who follow all of it; one is a stranger to it, one
#: holds a permission, one is in a team that holds it.
PRIVATE = """
                          stranger holder member
public_story              x        x      x
private_story             .        x      x
public_worklist           x        x      x
private_worklist          .        x      x
private_lane_of_public    x        x      x
public_lane_of_private    .        x      x
lane_of_both              x        x      x
story_on_private_board    .        x      x
"""


def rows_of(table: str) -> list[tuple[str, set[str]]]:
    head, *lines = (line.split() for line in table.strip().splitlines())
    names = head
    return [
        (place, {name for name, mark in zip(names, marks, strict=True) if mark == "x"})
        for place, *marks in lines
    ]


FOLLOWED = {name: number for number, name in enumerate(TABLE.split("\n")[1].split(), start=11)}
STRANGER, HOLDER, MEMBER = 91, 92, 93
NAMES = {
    **{number: name for name, number in FOLLOWED.items()},
    STRANGER: "stranger",
    HOLDER: "holder",
    MEMBER: "member",
}
#: What an entry of a timeline points to, by the names in the tables.
PLACES = {
    **{f"story{number}": {"story_id": number} for number in (1, 2, 3)},
    **{f"worklist{number}": {"worklist_id": number} for number in (1, 2)},
    "board1": {"board_id": 1},
    "public_story": {"story_id": 5},
    "private_story": {"story_id": 6},
    "public_worklist": {"worklist_id": 5},
    "private_worklist": {"worklist_id": 6},
    "private_lane_of_public": {"worklist_id": 7},
    "public_lane_of_private": {"worklist_id": 8},
    "lane_of_both": {"worklist_id": 9},
    "story_on_private_board": {"story_id": 5, "board_id": 2},
}
AUTHOR = 1
NO_ITEM = json.dumps({"added": None, "removed": None, "updated": None})


def tracker() -> Iterator[models.Base]:
    """Everything that the tables speak of."""
    view = models.Permission(id=1, name="view")
    yield models.User(id=AUTHOR, email="author@example.org")
    for number in NAMES:
        wants = models.UserPreference(key="receive_notifications_worklists", value="true")
        yield models.User(
            id=number, email=f"{number}@example.org", preferences={wants.key or "": wants}
        )
    projects = {number: models.Project(id=number, name=f"P{number}") for number in (1, 2, 3)}
    yield from projects.values()
    yield models.ProjectGroup(id=1, name="G1", projects=[projects[1], projects[2]])
    yield models.ProjectGroup(id=2, name="G2", projects=[projects[2]])
    yield from (models.Story(id=number, title=f"S{number}") for number in (1, 2, 3, 5))
    yield models.Story(id=6, private=True, permissions=[view])
    for number, story_id, project_id in [(1, 1, 1), (2, 1, 2), (3, 2, 3), (6, 6, None)]:
        yield models.Task(id=number, story_id=story_id, project_id=project_id)
    yield models.Task(id=7)
    boards = [models.Board(id=1, title="B1")]
    boards.append(models.Board(id=2, title="B2", private=True, permissions=[view]))
    yield from boards
    yield from (models.Worklist(id=number) for number in (1, 2, 5, 8, 9))
    yield models.Worklist(id=6, private=True, permissions=[view])
    yield models.Worklist(id=7, private=True)
    for list_id, board_id in [(7, 1), (8, 2), (9, 1), (9, 2)]:
        yield models.BoardWorklist(list_id=list_id, board_id=board_id)


def follow(user_id: int, target_type: str, target_id: int) -> models.Subscription:
    return models.Subscription(user_id=user_id, target_type=target_type, target_id=target_id)


def follows() -> Iterator[models.Subscription]:
    for name, number in FOLLOWED.items():
        kind, target_id = name.rstrip("0123456789"), int(name[-1])
        yield follow(number, "project_group" if kind == "group" else kind, target_id)
    for number in (STRANGER, HOLDER, MEMBER):
        yield from (follow(number, "story", target_id) for target_id in (5, 6))
        yield from (follow(number, "worklist", target_id) for target_id in (5, 6, 7, 8, 9))


@pytest.fixture(scope="module")
def filled(module_engine: Engine) -> Engine:
    with Session(module_engine) as session, session.begin():
        session.add_all(tracker())
        session.flush()
        session.add_all(follows())
        view = session.get_one(models.Permission, 1)
        view.users.append(session.get_one(models.User, HOLDER))
        member = session.get_one(models.User, MEMBER)
        view.teams.append(models.Team(name="Security", users=[member]))
    return module_engine


@pytest.fixture
def session(filled: Engine) -> Iterator[Session]:
    with Session(filled) as session:
        yield session


@pytest.fixture
def plugin(conf: cfg.ConfigOpts) -> Subscription:
    return Subscription(conf)


def entry(session: Session, place: str, event_type: str, info: str | None = "{}") -> Event:
    """An entry in a timeline, and the event that tells of it."""
    made = models.TimeLineEvent(event_type=event_type, event_info=info, **PLACES[place])
    session.add(made)
    session.flush()
    return Event(author_id=AUTHOR, method="POST", resource="timeline_event", resource_id=made.id)


def told(session: Session) -> set[str]:
    """Who was told; nobody is ever told twice."""
    receivers = session.scalars(select(models.SubscriptionEvents.subscriber_id)).all()
    assert len(receivers) == len(set(receivers))
    return {NAMES[number or 0] for number in receivers}


def types_at(place: str) -> list[str]:
    """The types of entries that there are in such a place."""
    if "story" in place:
        return [name for name in event_types.ALL if name.startswith(("story", "task", "user"))] + [
            event_types.TAGS_ADDED,
            event_types.TAGS_DELETED,
        ]
    kind = "board" if place.startswith("board") else "worklist"
    return [name for name in event_types.ALL if name.startswith(kind)]


def cases(table: str) -> list[Any]:
    return [
        pytest.param(place, event_type, receivers, id=f"{place}-{event_type}")
        for place, receivers in rows_of(table)
        for event_type in types_at(place)
    ]


@pytest.mark.parametrize(("place", "event_type", "receivers"), cases(TABLE))
def test_those_are_told_who_follow_it_or_what_is_above_it(
    session: Session, plugin: Subscription, place: str, event_type: str, receivers: set[str]
) -> None:
    event = entry(session, place, event_type, NO_ITEM)
    plugin.handle(session, event)

    assert told(session) == receivers
    ids = sub_api.subscription_get_all_subscriber_ids(
        "timeline_event", event.resource_id, session=session
    )
    assert {NAMES[number] for number in ids} == receivers
    kinds = session.scalars(select(models.SubscriptionEvents.event_type)).all()
    assert set(kinds) == ({event_type} if receivers else set())


def test_every_event_type_stands_in_the_table() -> None:
    assert {event_type for _, event_type, _ in (case.values for case in cases(TABLE))} == set(
        event_types.ALL
    )


@pytest.mark.parametrize(("place", "receivers"), rows_of(PRIVATE))
def test_of_what_is_private_only_those_are_told_who_may_see_it(
    session: Session, plugin: Subscription, place: str, receivers: set[str]
) -> None:
    plugin.handle(session, entry(session, place, types_at(place)[0]))

    assert told(session) == receivers


EVERYBODY, ALLOWED = {"stranger", "holder", "member"}, {"holder", "member"}
PUBLIC = {"item_type": "story", "item_id": 5}
HIDDEN = {"item_type": "story", "item_id": 6}


@pytest.mark.parametrize(
    ("change", "receivers"),
    [
        ({"added": PUBLIC}, EVERYBODY),
        ({"added": HIDDEN}, ALLOWED),
        ({"removed": HIDDEN, "added": None, "updated": None}, ALLOWED),
        ({"updated": {"old": HIDDEN, "new": HIDDEN}}, ALLOWED),
        ({"updated": {"old": PUBLIC, "new": PUBLIC}, "added": None}, EVERYBODY),
        ({"added": {"item_type": "task", "item_id": 6}}, ALLOWED),
        ({"added": {"item_type": "task", "item_id": "3"}}, EVERYBODY),
        # A task of no story is nobody's secret; whether what is gone was one cannot be told.
        ({"added": {"item_type": "task", "item_id": 7}}, EVERYBODY),
        ({"added": {"item_type": "task", "item_id": 99}}, set()),
        ({"added": {"item_type": "story", "item_id": 99}}, set()),
        ({"added": {"item_type": "picture", "item_id": 6}}, EVERYBODY),
        ({"added": None}, EVERYBODY),
        ({}, EVERYBODY),
        # What StoryBoard does not write: nothing is told that cannot be checked.
        ({"added": {"item_type": "story"}}, set()),
        ({"added": {"item_type": "story", "item_id": 2**40}}, set()),
        ({"added": 6}, set()),
        ({"updated": []}, set()),
        ([], set()),
    ],
)
def test_a_worklists_item_is_told_to_those_who_may_see_the_item(
    session: Session, plugin: Subscription, change: Any, receivers: set[str]
) -> None:
    what = event_types.WORKLIST_CONTENTS_CHANGED
    plugin.handle(session, entry(session, "public_worklist", what, json.dumps(change)))

    assert told(session) == receivers


@pytest.mark.parametrize("info", [None, "", "{", "[" * 50_000])
def test_an_item_that_cannot_be_read_is_told_to_nobody(
    session: Session, plugin: Subscription, info: str | None
) -> None:
    what = event_types.WORKLIST_CONTENTS_CHANGED
    plugin.handle(session, entry(session, "public_worklist", what, info))

    assert told(session) == set()


@pytest.mark.parametrize(
    ("preference", "wants"),
    [
        (None, False),
        (("receive_notifications_worklists", "true", "string"), True),
        (("receive_notifications_worklists", "True", "bool"), True),
        (("receive_notifications_worklists", "false", "string"), False),
        (("receive_notifications_worklists", "False", "bool"), False),
        (("receive_notifications_worklists", None, "string"), False),
        (("receive_notifications_worklists", "1", "int"), False),
        (("receive_notifications_stories", "true", "string"), False),
    ],
)
def test_of_worklists_those_are_told_who_have_asked_for_it(
    session: Session,
    plugin: Subscription,
    preference: tuple[str, str | None, str] | None,
    wants: bool,
) -> None:
    user = session.get_one(models.User, STRANGER)
    user.preferences.clear()
    if preference is not None:
        key, value, kind = preference
        user.preferences[key] = models.UserPreference(key=key, value=value, type=kind)

    plugin.handle(session, entry(session, "public_worklist", event_types.WORKLIST_CREATED))
    assert told(session) == (EVERYBODY if wants else ALLOWED)


def test_of_stories_those_are_told_who_want_no_worklists(
    session: Session, plugin: Subscription
) -> None:
    user = session.get_one(models.User, STRANGER)
    user.preferences.clear()

    plugin.handle(session, entry(session, "public_story", event_types.STORY_CREATED))
    assert told(session) == EVERYBODY


def test_whoever_follows_in_several_ways_is_told_once(
    session: Session, plugin: Subscription
) -> None:
    session.add_all(follow(FOLLOWED["story1"], "task", number) for number in (1, 1, 2))
    session.add(follow(FOLLOWED["story1"], "project", 1))

    plugin.handle(session, entry(session, "story1", event_types.STORY_CREATED))
    assert "story1" in told(session)
