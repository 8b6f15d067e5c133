"""StoryBoard's tables as SQLAlchemy 2 classes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import Engine, func, select, text
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.exc import StatementError
from sqlalchemy.orm import Session
from sqlalchemy.schema import CreateTable
from storyboard.common import event_types
from storyboard.db import models


def test_every_table_can_be_made_on_every_database() -> None:
    for table in models.Base.metadata.sorted_tables:
        for dialect in (postgresql.dialect(), mysql.dialect()):
            assert str(CreateTable(table).compile(dialect=dialect))


@pytest.mark.parametrize("kls", models.Base.__subclasses__())
def test_every_class_can_be_read_from_its_table(session: Session, kls: type[models.Base]) -> None:
    expected = 1 if kls is models.StoryType else 0

    assert session.scalar(select(func.count()).select_from(kls)) == expected
    assert len(session.scalars(select(kls)).all()) == expected


@pytest.mark.parametrize("kls", models.Base.__subclasses__())
def test_public_fields_are_columns(kls: type[models.Base]) -> None:
    assert set(kls._public_fields) <= set(kls.__mapper__.column_attrs.keys())


def test_a_record_knows_when_it_was_made_and_changed(session: Session) -> None:
    story = models.Story(title="First")
    session.add(story)
    session.commit()
    assert story.created_at is not None
    assert story.created_at.tzinfo is UTC
    assert story.updated_at is None

    story.title = "Second"
    session.commit()
    assert story.updated_at is not None
    assert story.updated_at >= story.created_at


def test_moments_are_stored_in_utc_without_a_time_zone(session: Session) -> None:
    in_berlin = datetime(2024, 7, 1, 14, 0, tzinfo=timezone(timedelta(hours=2)))
    session.add(models.User(id=1, last_login=in_berlin))
    session.commit()

    assert session.scalar(text("SELECT last_login FROM users")) == "2024-07-01 12:00:00.000000"
    assert session.get_one(models.User, 1).last_login == in_berlin


def test_a_value_that_storyboard_does_not_know_cannot_be_written(session: Session) -> None:
    session.add(models.TimeLineEvent(event_type="story_eaten"))

    with pytest.raises(StatementError, match="story_eaten"):
        session.flush()


def test_a_value_of_a_newer_storyboard_can_be_read(engine: Engine, session: Session) -> None:
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO events (id, event_type) VALUES (5, 'due_date_set')"))

    assert session.get_one(models.TimeLineEvent, 5).event_type == "due_date_set"


def test_the_event_types_are_storyboards_own() -> None:
    assert len(event_types.ALL) == len(set(event_types.ALL)) == 22
    assert event_types.USER_COMMENT == "user_comment"


def test_a_record_reads_and_writes_like_a_dict() -> None:
    task = models.Task(title="Sweep", status="todo")

    task["status"] = "merged"
    task.update({"priority": "high", "story_id": 3})

    assert (task["title"], task.get("status"), task.get("nothing", 0)) == ("Sweep", "merged", 0)
    assert "priority" in task
    assert "nothing" not in task
    assert dict(task) == task.as_dict()
    assert task.as_dict()["story_id"] == 3


def test_an_unknown_name_is_refused_and_nothing_is_set() -> None:
    task = models.Task(title="Sweep")

    with pytest.raises(TypeError, match="Task has no attribute colour"):
        task.update({"title": "Mop", "colour": "red"})

    assert task.title == "Sweep"


@pytest.mark.parametrize("value", ["text", 5, True, False, 2.5])
def test_a_preference_keeps_its_type(value: str | int | bool | float) -> None:
    preference = models.UserPreference(key="k")

    preference.cast_value = value

    assert preference.cast_value == value
    assert type(preference.cast_value) is type(value)


def test_a_preference_that_is_not_of_its_type_is_given_as_text() -> None:
    assert models.UserPreference(type="int", value="many").cast_value == "many"


def test_relations_work_from_both_ends(session: Session) -> None:
    team = models.Team(name="Core", users=[models.User(full_name="Ada")])
    group = models.ProjectGroup(name="All", projects=[models.Project(name="One")])
    story = models.Story(title="S", tasks=[models.Task(title="T", project=group.projects[0])])
    board = models.Board(title="B", lanes=[models.BoardWorklist(worklist=models.Worklist())])
    due = models.DueDate(name="Soon", tasks=list(story.tasks), boards=[board])
    reply = models.Comment(content="No", parent=models.Comment(content="Yes"))
    session.add_all([team, group, story, board, due, reply])
    session.commit()

    assert team.users[0].teams == [team]
    assert group.projects[0].tasks[0].story is story
    assert board.due_dates == [due]
    assert reply.parent is not None
    assert reply.parent.children == [reply]
