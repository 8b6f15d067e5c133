"""Who is told of what in the tracker: each row of the table in the documentation.

The table says for each request, for each event that it makes, and for each target whether the
target's followers are told; and who of them if the story and the worklist are private.
"""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from eventworker.db import metadata
from examples.tracker import models
from tests.helpers.databases import start_over
from tests.helpers.subscriptions import handle
from tests.helpers.tracker import tracker_at

TABLE = Path(__file__).parents[2] / "docs" / "howto" / "subscription-receivers.csv"
ROWS = list(csv.DictReader(TABLE.read_text().splitlines()))
TARGETS = ["story 1", "task 1", "project 1", "project_group 1", "worklist 1"]
#: What some requests send; the others change the title, the name, or nothing.
BODIES: dict[str, Any] = {
    "POST /stories": {"title": "Another"},
    "POST /stories/1/comments": {"content": "Hello"},
    "POST /tasks": {"story_id": 1, "project_id": 1, "title": "More"},
    "PATCH /tasks/1": {"status": "review"},
    "POST /worklists/1/items": {"item_type": "task", "item_id": 2},
}


class World:
    """Story 1 with task 1 in project 1, which is in group 1; the story is on worklist 1. Beside
    each stands a second one that has nothing to do with it, and is followed, too.

    Of the two followers of each thing one has all permissions, the other none.
    """

    def __init__(self, engine: Engine) -> None:
        self.tracker = tracker_at(engine)

    def make(self, *, private: bool) -> None:
        """Make it anew; ids begin at 1."""
        engine = start_over(self.tracker.engine, metadata, models.Base.metadata)
        with Session(engine) as session, session.begin():
            for number in (1, 2):
                for part in _half(number, private):
                    session.add(part)
                    session.flush()
                pair = {"project_group_id": number, "project_id": number}
                session.execute(models.project_group_members.insert().values(pair))
            self._names: dict[int, str] = {}
            for target in (*TARGETS, *(target.replace("1", "2") for target in TARGETS)):
                self._add_followers(session, target)

    def _add_followers(self, session: Session, target: str) -> None:
        kind, _, number = target.partition(" ")
        for permitted in (True, False):
            name = target if permitted else f"{target}, not permitted"
            user = models.User(name=name)
            session.add(user)
            session.flush()
            self._names[user.id] = name
            what = {"user_id": user.id, "target_id": int(number)}
            session.add(models.Subscription(target_type=kind, **what))
            for hidden in ("story", "worklist") if permitted else ():
                session.add(models.Permission(target_type=hidden, **what))

    def told(self, request: str) -> dict[str, set[str]]:
        """Who is told, by event type."""
        method, _, path = request.partition(" ")
        default = {"name": "New"} if "/project" in path else {"title": "New"}
        body = BODIES.get(request, default if method in ("PUT", "POST") else None)
        self.tracker.ask(method, path, body)
        events = self.tracker.pending()
        handle(self.tracker.plugin, self.tracker.engine, *events, *events)
        found: dict[str, set[str]] = {}
        rows = self.tracker.ask("GET", "/notifications")
        for row in rows:
            found.setdefault(row["event_type"], set()).add(self._names[row["subscriber_id"]])
        assert len(rows) == sum(len(names) for names in found.values()), "somebody was told twice"
        return found


def _half(number: int, private: bool) -> list[models.Base]:
    return [
        models.Project(name=f"Project {number}"),
        models.ProjectGroup(name=f"Group {number}"),
        models.Story(title=f"Story {number}", private=private),
        models.Task(story_id=number, project_id=number, title="Task"),
        models.Comment(story_id=number, content="First"),
        models.Worklist(title=f"List {number}", private=private),
        models.WorklistItem(worklist_id=number, item_type="story", item_id=number),
    ]


def followers(row: dict[str, str], *, permitted: bool, others: bool) -> set[str]:
    found = {target for target in TARGETS if row[target]}
    return {
        *(found if permitted else ()),
        *((f"{each}, not permitted" for each in found) if others else ()),
    }


def expected(request: str, private: bool) -> dict[str, set[str]]:
    found = {}
    for row in ROWS:
        assert set(row.values()) <= {
            *(row["Request"], row["Event type"], row["If private"], "yes", "")
        }
        if row["Request"] == request:
            word = row["If private"] if private else "everybody"
            found[row["Event type"]] = followers(
                row, permitted=word in ("permitted", "everybody"), others=word == "everybody"
            )
    return {word: names for word, names in found.items() if names}


@pytest.mark.parametrize("private", [False, True], ids=["public", "private"])
def test_each_request_is_told_to_those_in_the_table(
    shared_engine: Callable[..., Engine], private: bool
) -> None:
    world = World(shared_engine("tracker", metadata, models.Base.metadata))
    found, wanted = {}, {}
    for request in dict.fromkeys(row["Request"] for row in ROWS):
        world.make(private=private)
        found[request] = world.told(request)
        wanted[request] = expected(request, private)
    # The followers of the group that the project comes into are told as well.
    wanted["PUT /project_groups/2/projects/1"]["project_added"] |= {
        "project_group 2",
        "project_group 2, not permitted",
    }
    assert found == wanted
