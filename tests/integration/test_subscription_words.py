"""What a notification says, and an application's own functions."""

import logging
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import CompoundSelect, Engine, Select, column, select, table, text

from eventworker.db import metadata
from eventworker.errors import ConfigError
from eventworker.event import Event
from tests.helpers.events import make_event
from tests.helpers.subscriptions import follow, followers, handle, notices, told, worker

DETAILS = [
    "comment:comment_id=id",
    "comment:comment_content=content",
    "comment:comment_content=comments(id,content)",
    "story:story_id=id",
    "story:story_title=title",
    "story:story_title=stories(id,title)",
    "list:list_id=id",
]
TIMELINE = {
    "part_of": [
        "timeline_event:story_id:story",
        "timeline_event:list_id:list",
        "timeline_event:comment_id:comment",
    ],
    "event_types": ["POST timeline_event:{event_type}"],
}


@pytest.fixture
def engine(shared_engine: Callable[..., Engine]) -> Engine:
    built = shared_engine("subscription", metadata)
    with built.begin() as connection:
        for statement in (
            "CREATE TABLE stories (id integer, title varchar(100))",
            "CREATE TABLE comments (id integer, content text)",
            "INSERT INTO stories VALUES (7, 'Příběh')",
            "INSERT INTO comments VALUES (3, 'from the table')",
        ):
            connection.execute(text(statement))
    follow(built, (1, "story", 7), (2, "list", 4))
    return built


def notice(engine: Engine, event: Event, **options: Any) -> dict[str, Any]:
    """The one notification that the event leads to."""
    handle(worker(**{"details": DETAILS, **options}), engine, event)
    (found,) = notices(engine)
    return found


def comment(number: int, image: dict[str, Any] | None) -> Event:
    return make_event(sub_resource="comment", sub_resource_id=number, resource_after=image)


@pytest.mark.parametrize(
    ("number", "image", "content"),
    [
        (3, {"content": "from the image"}, "from the image"),
        (3, {"content": None}, "from the table"),
        (3, None, "from the table"),
        (3, {"content": "long " * 500}, ("long " * 500)[:1000]),
        (99, None, None),
    ],
)
def test_a_comment_is_told_with_its_text_and_its_story(
    engine: Engine, number: int, image: dict[str, Any] | None, content: str | None
) -> None:
    """A comment that is gone is told without its text."""
    expected = {
        "comment_id": number,
        "story_id": 7,
        "story_title": "Příběh",
        "sub_resource": "comment",
        "sub_resource_id": number,
    }
    if content is not None:
        expected["comment_content"] = content
    assert notice(engine, comment(number, image))["info"] == expected


def test_a_timeline_event_of_a_story_is_told_to_its_followers_in_its_own_word(
    engine: Engine,
) -> None:
    image = {"id": 5, "event_type": "user_comment", "story_id": 7, "list_id": None, "comment_id": 3}
    event = make_event(resource="timeline_event", resource_id=5, resource_after=image)
    found = notice(engine, event, **TIMELINE)
    assert (found["subscriber_id"], found["event_type"]) == ("1", "user_comment")
    assert found["info"] == {
        "comment_id": 3,
        "comment_content": "from the table",
        "story_id": 7,
        "story_title": "Příběh",
    }


def test_a_timeline_event_of_a_list_is_told_to_the_lists_followers(engine: Engine) -> None:
    image = {"event_type": "list_changed", "story_id": None, "list_id": 4}
    event = make_event(resource="timeline_event", resource_id=6, resource_after=image)
    found = notice(engine, event, **TIMELINE)
    assert (found["subscriber_id"], found["event_type"]) == ("2", "list_changed")
    assert found["info"] == {"list_id": 4}


@pytest.mark.parametrize(
    ("method", "sub_resource", "word"),
    [
        ("PUT", "project", "project added to project_group"),
        ("DELETE", "project", "project removed from project_group"),
        ("DELETE", None, "project_group deleted"),
        ("PUT", None, "project_group_changed"),
    ],
)
def test_an_application_has_its_own_words(
    engine: Engine, method: str, sub_resource: str | None, word: str
) -> None:
    follow(engine, (1, "project_group", 1))
    event = make_event(
        method=method,
        resource="project_group",
        resource_id=1,
        sub_resource=sub_resource,
        sub_resource_id=9,
    )
    words = [
        "PUT project_group/project: project added to project_group",
        "DELETE project_group/project: project removed from project_group",
        "DELETE project_group: project_group deleted",
    ]
    assert notice(engine, event, event_types=words)["event_type"] == word


def test_a_word_that_is_empty_tells_nobody_but_forgets_as_always(engine: Engine) -> None:
    handle(worker(event_types=["DELETE story:"]), engine, make_event(method="DELETE"))
    assert told(engine) == []
    assert followers(engine) == 1


def test_the_subscriptions_of_a_sub_resource_that_was_deleted_are_removed(engine: Engine) -> None:
    follow(engine, (1, "comment", 3), (1, "project", 3))
    for kind in ("comment", "project"):
        gone = make_event(method="DELETE", sub_resource=kind, sub_resource_id=3)
        handle(worker(deleted_with_parent=["comment"]), engine, gone)
    assert followers(engine) == 3


def test_a_kind_without_a_rule_is_told_to_its_own_followers_with_one_line_for_the_curious(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "eventworker.workers.subscription")
    follow(engine, (5, "release", 1))
    plugin = worker(belongs_to=["task:story_id:story"])
    handle(plugin, engine, make_event(resource="release", resource_id=1))
    assert told(engine) == [("5", "release_created")]
    assert [record.message for record in caplog.records] == [
        "no rule says what a release belongs to"
    ]


def shout(event: Event, word: str) -> str | None:
    return None if event.method == "DELETE" else word.upper()


def add_link(event: Event, info: dict[str, Any]) -> dict[str, Any]:
    return {**info, "link": f"/stories/{event.resource_id}"}


Query = Select[Any] | CompoundSelect[Any]


def also_the_boss(event: Event, query: Query | None) -> Query | None:
    boss = select(table("staff", column("user_id")).c.user_id)
    return None if event.method == "DELETE" else (boss if query is None else boss.union(query))


def wrong(event: Event, default: Any) -> Any:
    return 5


HERE = __name__


def test_functions_of_the_application_have_the_last_word(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE staff (user_id varchar(20))"))
        connection.execute(text("INSERT INTO staff VALUES ('9'), ('1')"))
    plugin = worker(
        event_type_by=f"{HERE}:shout",
        info_by=f"{HERE}:add_link",
        receivers_by=f"{HERE}:also_the_boss",
    )
    assert plugin.enabled()
    handle(plugin, engine, make_event(), make_event(method="DELETE"), make_event(resource_id=None))
    found = notices(engine)
    assert [each["subscriber_id"] for each in found] == ["1", "1", "9", "9"]
    assert {each["event_type"] for each in found} == {"STORY_CREATED"}
    assert {each["info"]["link"] for each in found} == {"/stories/7", "/stories/None"}


def test_whom_the_application_chooses_may_still_not_see_everything(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE staff (user_id varchar(20))"))
        connection.execute(text("INSERT INTO staff VALUES ('9')"))
    plugin = worker(receivers_by=f"{HERE}:also_the_boss", visible_to=["story:comments(id,content)"])
    handle(plugin, engine, make_event())
    assert told(engine) == []


@pytest.mark.parametrize(
    ("option", "wanted"),
    [
        ("event_type_by", "a text, or None for nobody"),
        ("info_by", "a dict"),
        ("receivers_by", "a SELECT with one column, user_id, or None for nobody"),
    ],
)
def test_a_function_that_returns_something_else_is_named(
    engine: Engine, option: str, wanted: str
) -> None:
    plugin = worker(**{option: f"{HERE}:wrong"})
    with pytest.raises(ConfigError) as found:
        handle(plugin, engine, make_event())
    assert str(found.value) == (
        f"[plugin:subscription] {option}: {HERE}:wrong returned a int; it has to return {wanted}"
    )
