"""The subscription plugin on both databases, with its own tables."""

import tracemalloc
from collections.abc import Callable
from uuid import UUID

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.event import listen
from sqlalchemy.orm import Session

from eventworker.db import metadata
from eventworker.inbox.claims import FirstClaim, run_once
from eventworker.workers.subscription import subscribe, unsubscribe
from tests.helpers.events import make_event
from tests.helpers.subscriptions import (
    follow,
    follow_all,
    followers,
    handle,
    notices,
    told,
    worker,
)


@pytest.fixture
def engine(shared_engine: Callable[..., Engine]) -> Engine:
    """A database where the test may make tables of its own."""
    return shared_engine("subscription", metadata)


def test_every_follower_of_a_resource_is_told_what_happened(engine: Engine) -> None:
    follow(engine, (1, "story", 7), ("ada", "story", 7), (2, "story", 8), (3, "task", 7))
    event = make_event(
        method="PUT",
        resource_id=7,
        author_id=9,
        resource_before={"title": "Old", "votes": 1},
        resource_after={"title": "Nový", "votes": 1},
    )
    handle(worker(), engine, event)
    first, second = notices(engine)
    assert (first["subscriber_id"], second["subscriber_id"]) == ("1", "ada")
    assert first["event_id"] == event.id
    assert (first["author_id"], first["event_type"]) == ("9", "story_changed")
    assert (first["resource"], first["resource_id"]) == ("story", "7")
    assert first["info"] == {"title": "Nový", "changed": ["title"]}
    assert abs((first["created_at"] - event.time).total_seconds()) < 60


def test_whoever_follows_in_several_ways_is_told_once(engine: Engine) -> None:
    follow(engine, (1, "task", 3), (1, "story", 7), (2, "story", 7))
    event = make_event(resource="task", resource_id=3, resource_after={"story_id": 7})
    handle(worker(belongs_to=["task:story_id:story"]), engine, event)
    assert told(engine) == [("1", "task_created"), ("2", "task_created")]


def test_the_same_event_twice_gives_one_row_per_receiver(engine: Engine) -> None:
    follow(engine, (1, "story", 7))
    event = make_event()
    handle(worker(), engine, event, event)
    follow(engine, (2, "story", 7))
    handle(worker(), engine, event)
    assert told(engine) == [("1", "story_created"), ("2", "story_created")]


def test_the_author_is_left_out_unless_configured_otherwise(engine: Engine) -> None:
    follow(engine, (1, "story", 7), (2, "story", 7))
    handle(worker(), engine, make_event(author_id=1))
    assert told(engine) == [("2", "story_created")]
    handle(worker(notify_author=True), engine, make_event(author_id=1, method="PUT"))
    assert ("1", "story_changed") in told(engine)


def test_a_child_that_moves_is_told_to_the_followers_of_both_parents(engine: Engine) -> None:
    follow(engine, (1, "story", 7), (2, "story", 8), (3, "story", 9))
    event = make_event(
        method="PUT",
        resource="task",
        resource_before={"story_id": 7},
        resource_after={"story_id": "8"},
    )
    handle(worker(belongs_to=["task:story_id:story"]), engine, event)
    assert [user for user, _ in told(engine)] == ["1", "2"]


def test_a_sub_resource_is_told_to_the_followers_of_its_resource(engine: Engine) -> None:
    follow(engine, (1, "story", 7))
    event = make_event(
        sub_resource="comment", sub_resource_id=3, resource_after={"content": "hello"}
    )
    handle(worker(), engine, event)
    (found,) = notices(engine)
    assert found["event_type"] == "comment_created"
    assert found["info"] == {"sub_resource": "comment", "sub_resource_id": 3}


def test_a_deleted_resources_followers_are_told_and_then_forgotten(engine: Engine) -> None:
    follow(engine, (1, "story", 7), (1, "story", 8), (1, "task", 7))
    handle(worker(), engine, make_event(method="DELETE", resource_before={"title": "Gone"}))
    assert told(engine) == [("1", "story_deleted")]
    assert followers(engine) == 2


def test_the_deletion_of_a_sub_resource_ends_no_subscription(engine: Engine) -> None:
    # DELETE /v1/project_groups/1/projects/7 takes the project out of the group, no more.
    follow(engine, (1, "project_group", 1), (2, "project", 7))
    event = make_event(
        method="DELETE",
        resource="project_group",
        resource_id=1,
        sub_resource="project",
        sub_resource_id=7,
    )
    handle(worker(), engine, event)
    assert len(told(engine)) == 2
    assert followers(engine) == 2


def test_an_event_of_no_resource_in_particular_tells_nobody(engine: Engine) -> None:
    follow(engine, (1, "story", 7))
    handle(worker(), engine, make_event(resource_id=None, method="DELETE"))
    assert told(engine) == []
    assert followers(engine) == 1


def test_tables_of_the_application_lead_from_a_story_to_its_projects_and_their_groups(
    engine: Engine,
) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE story_project (story_id int, project_id int)"))
        connection.execute(text("CREATE TABLE grouping (project varchar(20), grp varchar(20))"))
        connection.execute(text("INSERT INTO story_project VALUES (7, 70), (7, 71), (8, 80)"))
        connection.execute(text("INSERT INTO grouping VALUES ('70', 'red'), ('80', 'blue')"))
    follow(
        engine,
        (1, "project", 70),
        (2, "project", 71),
        (3, "project", 80),
        (4, "project_group", "red"),
        (5, "project_group", "blue"),
        (1, "story", 7),
    )
    plugin = worker(
        belongs_to=[
            "task:story_id:story",
            "story:story_project(story_id,project_id):project",
            "project:grouping(project,grp):project_group",
        ]
    )
    handle(plugin, engine, make_event(resource="task", resource_after={"story_id": 7}))
    assert [user for user, _ in told(engine)] == ["1", "2", "4"]


def test_an_id_that_a_column_cannot_hold_meets_nobody_and_breaks_nothing(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE links (story_id int, project_id int)"))
    follow(engine, ("a", "story", "x'; DROP TABLE links"))
    plugin = worker(belongs_to=["story:links(story_id,project_id):project"])
    handle(plugin, engine, make_event(resource_id="x'; DROP TABLE links"))
    handle(plugin, engine, make_event(resource_id=2**62))
    assert told(engine) == [("a", "story_created")]


def test_following_twice_is_following_once(engine: Engine) -> None:
    follow(engine, (1, "story", 7), ("1", "story", "7"))
    assert followers(engine) == 1
    with Session(engine) as session, session.begin():
        assert unsubscribe(session, 1, "story", 7)
        assert not unsubscribe(session, 1, "story", 7)
    with engine.begin() as connection:
        subscribe(connection, 1, "story", 7)
    assert followers(engine) == 1


def test_it_works_in_the_transaction_that_the_daemon_gives_it(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE links (story_id int, project_id int)"))
        connection.execute(text("INSERT INTO links VALUES (7, 70)"))
    follow(engine, (1, "project", 70))
    plugin = worker(belongs_to=["story:links(story_id,project_id):project"])
    event = make_event()
    claim = FirstClaim(event.id, 1)
    for expected in (True, False):
        done = run_once(engine, claim, lambda session: plugin.handle(session=session, event=event))
        assert done is expected
    assert told(engine) == [("1", "story_created")]


@pytest.mark.parametrize("followers", [10_000, pytest.param(100_000, marks=pytest.mark.long)])
def test_however_many_followers_are_told_by_one_statement(engine: Engine, followers: int) -> None:
    """With rules and without; none of the followers passes through this process."""
    follow_all(engine, "story", "7", followers)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE stories (id integer, private boolean)"))
        key = "PRIMARY KEY (story_id, user_id)"
        connection.execute(text(f"CREATE TABLE seers (story_id int, user_id varchar(20), {key})"))
        connection.execute(text("INSERT INTO stories VALUES (7, true)"))
        odd = "SELECT 7, user_id FROM eventworker_subscription WHERE user_id LIKE '%1'"
        connection.execute(text(f"INSERT INTO seers {odd}"))
        if engine.dialect.name == "postgresql":
            connection.execute(text("ANALYZE"))
    rules = {
        "private": ["story:stories(id,private)"],
        "visible_to": ["story:seers(story_id,user_id)"],
    }
    statements: list[str] = []
    listen(engine, "before_cursor_execute", lambda *said: statements.append(said[2]))
    for number, plugin in enumerate((worker(), worker(**rules))):
        with engine.connect() as connection:
            plugin.check_database(connection)
        statements.clear()
        tracemalloc.start()
        try:
            handle(plugin, engine, make_event(id=UUID(int=number + 1), author_id=5))
            assert tracemalloc.get_traced_memory()[1] < 2_000_000
        finally:
            tracemalloc.stop()  # or all tests after a failure would crawl
        assert [statement.split()[0] for statement in statements if "INSERT" in statement] == [
            "INSERT"
        ]
    assert len(told(engine)) == (followers - 1) + followers // 10


@pytest.mark.parametrize("table", ["eventworker_subscription", "eventworker_notification"])
def test_own_tables_may_be_renamed_views_of_themselves(engine: Engine, table: str) -> None:
    """Naming the columns of our own tables is allowed, and changes nothing."""
    follow(engine, (1, "story", 7))
    option = "subscription_columns" if table.endswith("subscription") else "notification_columns"
    name = "user_id" if table.endswith("subscription") else "subscriber_id"
    handle(worker(**{option: {name: name}}), engine, make_event())
    assert told(engine) == [("1", "story_created")]
