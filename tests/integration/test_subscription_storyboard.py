"""The rules for StoryBoard's own tables that the documentation prints."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session
from storyboard.db import models

from tests.helpers.events import make_event
from tests.helpers.subscriptions import handle, worker_of

RULES = Path(__file__).parents[2] / "docs" / "howto" / "subscription-storyboard.conf"
#: One follower of each; user 6 follows the story and has no permission.
FOLLOWED = ["story", "task", "project", "project_group", "worklist", "story"]


@pytest.fixture
def engine(shared_engine: Callable[..., Engine]) -> Engine:
    """Story 1 with task 1 in project 1, in group 1; both it and worklist 1 are private."""
    built = shared_engine("storyboard", models.Base.metadata)
    with Session(built) as session, session.begin():
        people = [models.User(email=f"{number}@example.org") for number in range(6)]
        kind = models.StoryType(id=1, name="bugs", icon="bug", restricted=False, private=False)
        session.add_all([*people, kind])
        session.flush()
        view = models.Permission(name="view", teams=[models.Team(name="all", users=people[:5])])
        project = models.Project(name="P")
        group = models.ProjectGroup(name="G", projects=[project])
        story = models.Story(title="S", private=True, permissions=[view])
        worklist = models.Worklist(title="W", private=True, permissions=[view])
        session.add_all([project, group, story, worklist])
        session.flush()
        session.add(models.Task(title="T", story_id=story.id, project_id=project.id))
        for place in ({"story_id": story.id}, {"worklist_id": worklist.id}):
            session.add(models.TimeLineEvent(event_type="user_comment", **place))
            session.flush()
        for person, what in zip(people, FOLLOWED, strict=True):
            wish = models.Subscription(user_id=person.id, target_type=what, target_id=1)
            session.add(wish)
        for person in people[3:]:
            switch = models.UserPreference(
                user_id=person.id, key="receive_notifications_worklists", value="True"
            )
            session.add(switch)
    return built


TIMELINE = {"resource": "timeline_event", "resource_after": {"event_type": "user_comment"}}


@pytest.mark.parametrize(
    ("fields", "word", "users"),
    [
        ({**TIMELINE, "resource_id": 1}, "user_comment", [1, 2, 3, 4]),
        ({**TIMELINE, "resource_id": 2}, "user_comment", [5]),
        ({"resource": "task", "method": "PUT"}, "task_changed", [1, 2, 3, 4]),
        ({"resource": "project_group", "method": "DELETE"}, "project_group deleted", [4]),
        (
            {"resource": "project_group", "sub_resource": "project", "sub_resource_id": 1}
            | {"method": "PUT"},
            "project added to project_group",
            [3, 4],
        ),
        ({"resource": "board"}, "", []),
    ],
)
def test_its_users_are_told_by_its_rules_in_its_words(
    engine: Engine, fields: dict[str, Any], word: str, users: list[int]
) -> None:
    handle(worker_of(RULES), engine, make_event(**{"resource_id": 1, **fields}))
    told = models.SubscriptionEvents
    with Session(engine) as session:
        rows = session.execute(select(told.subscriber_id, told.event_type)).all()
    assert sorted((user, said) for user, said in rows) == [(user, word) for user in users]
