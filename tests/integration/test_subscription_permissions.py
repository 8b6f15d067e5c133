"""Who may hear of an event: what is private, what is part of it, and what users want to hear of."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, text

from eventworker.db import metadata
from eventworker.event import Event
from tests.helpers.events import make_event
from tests.helpers.subscriptions import follow, handle, told, worker

PRIVATE = "story:stories(id,private):story_private"
RULES = {
    "private": [PRIVATE],
    "visible_to": [
        "story:story_permissions(story_id,permission_id):user_permissions(permission_id,user_id)",
        "story:story_permissions(story_id,permission_id):team_permissions(permission_id,team_id)"
        ":team_membership(team_id,user_id)",
    ],
    "part_of": ["task:story_id:story", "task:tasks(id,story_id):story"],
}
#: User 1 has the permission, user 2 has it through a team, user 3 has it not.
TABLES = """
CREATE TABLE stories (id integer, title varchar(100), private boolean);
CREATE TABLE tasks (id integer, story_id integer);
CREATE TABLE comments (id integer, task_id integer, content text);
CREATE TABLE story_permissions (story_id integer, permission_id integer);
CREATE TABLE user_permissions (user_id integer, permission_id integer);
CREATE TABLE team_permissions (team_id integer, permission_id integer);
CREATE TABLE team_membership (user_id integer, team_id integer);
CREATE TABLE user_preferences (user_id integer, name varchar(50), value varchar(50));
INSERT INTO stories VALUES (7, 'Secret', true), (8, 'Known', false), (9, 'Old', NULL);
INSERT INTO tasks VALUES (70, 7), (80, 8);
INSERT INTO comments VALUES (700, 70, 'Hush'), (800, 80, 'Hello');
INSERT INTO story_permissions VALUES (7, 1);
INSERT INTO user_permissions VALUES (1, 1);
INSERT INTO team_permissions VALUES (5, 1);
INSERT INTO team_membership VALUES (2, 5)
"""
TASK = {"resource": "task", "resource_id": 70}
ALL = [1, 2, 3]


@pytest.fixture
def engine(shared_engine: Callable[..., Engine]) -> Engine:
    built = shared_engine("subscription", metadata)
    run(built, *TABLES.split(";"))
    for kind, own_id in (
        ("story", 7),
        ("story", 8),
        ("story", 9),
        ("task", 70),
        ("task", 71),
        ("task", 80),
    ):
        follow(built, *((user, kind, own_id) for user in ALL))
    return built


def run(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def hearing(engine: Engine, event: Event, **rules: Any) -> list[int]:
    """Those who are told of one event."""
    handle(worker(**{**RULES, **rules}), engine, event)
    return [int(user) for user, _ in told(engine)]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, [1, 2]),
        ({"resource_id": 8}, ALL),
        ({"resource_id": 9}, ALL),
        ({"sub_resource": "comment", "sub_resource_id": 1}, [1, 2]),
        ({"resource_id": 8, "sub_resource": "comment", "sub_resource_id": 1}, ALL),
        ({**TASK, "resource_after": {"story_id": 7}}, [1, 2]),
        (TASK, [1, 2]),
        ({"resource": "task", "resource_id": 71, "resource_after": {"story_id": 7}}, [1, 2]),
        ({"resource": "task", "resource_id": 80, "resource_after": {"story_id": 8}}, ALL),
        # The image was captured when the story was another one, or not private.
        ({**TASK, "resource_after": {"story_id": 8}}, [1, 2]),
        ({"resource_after": {"private": False}}, [1, 2]),
        # It was private when it was captured, and its title is of that time.
        ({"resource_id": 8, "resource_after": {"private": True, "title": "Hush"}}, []),
        # It moved out of a private story.
        (
            {
                "method": "PUT",
                "resource": "task",
                "resource_id": 80,
                "resource_before": {"story_id": 7},
                "resource_after": {"story_id": 8},
            },
            ALL,
        ),
    ],
)
def test_of_what_is_private_only_those_hear_who_may_see_it(
    engine: Engine, fields: dict[str, Any], expected: list[int]
) -> None:
    assert hearing(engine, make_event(**fields)) == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("UPDATE stories SET private = true WHERE id = 8", []),
        ("DELETE FROM team_membership", ALL),
        ("DELETE FROM stories WHERE id = 8", []),
    ],
)
def test_it_is_decided_when_the_notification_is_written(
    engine: Engine, change: str, expected: list[int]
) -> None:
    event = make_event(method="PUT", resource_id=8, resource_after={"private": False})
    run(engine, change)
    assert hearing(engine, event) == expected


@pytest.mark.parametrize("kind", ["boolean", "integer"])
@pytest.mark.parametrize("rule", ["private=true", "private=Yes", "private=1", "private"])
def test_a_yes_is_found_in_a_number_and_in_a_boolean_which_mariadb_keeps_as_one(
    engine: Engine, kind: str, rule: str
) -> None:
    value = "true" if kind == "boolean" else "1"
    run(engine, f"CREATE TABLE flags (story_id integer, private {kind})")
    run(engine, f"INSERT INTO flags VALUES (7, {value})")
    assert hearing(engine, make_event(), private=[f"story:flags(story_id,{rule})"]) == [1, 2]


def test_a_permission_that_was_withdrawn_or_given_meanwhile_counts(engine: Engine) -> None:
    event = make_event()
    run(engine, "DELETE FROM team_membership", "INSERT INTO user_permissions VALUES (3, 1)")
    assert hearing(engine, event) == [1, 3]


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ({"private": False}, ALL),
        ({"private": True}, [1, 2]),
        ({"title": "says nothing of it"}, [1, 2]),
        (None, [1, 2]),
    ],
)
def test_of_a_deletion_the_image_is_the_last_word(
    engine: Engine, image: dict[str, Any] | None, expected: list[int]
) -> None:
    """What it does not say is not told, but to those whose permissions are still there."""
    run(engine, "DELETE FROM stories WHERE id = 7")
    assert hearing(engine, make_event(method="DELETE", resource_before=image)) == expected


def test_once_the_permissions_are_gone_too_the_image_may_name_who_saw_it(engine: Engine) -> None:
    event = make_event(
        method="DELETE",
        resource_before={"private": True, "creator_id": 3, "teams": [5, "x", None]},
    )
    rules = {"visible_to": ["story:creator_id", "story:teams:team_membership(team_id,user_id)"]}
    assert hearing(engine, event, **rules) == []  # the row is there, and it decides
    follow(engine, *((user, "story", 7) for user in ALL))
    run(engine, "DELETE FROM stories WHERE id = 7", "DELETE FROM eventworker_notification")
    assert hearing(engine, event, **rules) == [2, 3]


@pytest.mark.parametrize(("said", "expected"), [(False, ALL), (True, []), (None, [])])
def test_of_parts_that_are_deleted_with_the_whole_the_image_speaks_for_it(
    engine: Engine, said: bool | None, expected: list[int]
) -> None:
    run(engine, "DELETE FROM stories", "DELETE FROM tasks", "DELETE FROM story_permissions")
    image = {"story_id": 7} if said is None else {"story_id": 7, "story_private": said}
    assert hearing(engine, make_event(method="DELETE", **TASK, resource_before=image)) == expected


def test_what_is_part_of_a_part_is_hidden_with_the_whole(engine: Engine) -> None:
    rules = [*RULES["part_of"], "comment:comments(id,task_id):task"]
    follow(engine, *((user, "comment", own_id) for user in ALL for own_id in (700, 800)))
    hidden = make_event(resource="comment", resource_id=700)
    assert hearing(engine, hidden, part_of=rules) == [1, 2]
    shown = make_event(resource="comment", resource_id=800)
    assert hearing(engine, shown, part_of=rules) == sorted([*ALL, 1, 2])


def test_without_a_rule_of_what_is_private_all_of_the_kind_is(engine: Engine) -> None:
    event = make_event(resource_id=8)
    assert hearing(engine, event, private=[]) == []
    run(engine, "INSERT INTO story_permissions VALUES (8, 1)")
    assert hearing(engine, event, private=[]) == [1, 2]


def test_without_a_rule_of_who_may_see_it_nobody_does(engine: Engine) -> None:
    assert hearing(engine, make_event(), visible_to=[]) == []
    assert hearing(engine, make_event(resource_id=8), visible_to=[]) == ALL


def test_private_may_be_one_value_of_several(engine: Engine) -> None:
    run(
        engine,
        "CREATE TABLE audience (story integer, who varchar(9), of varchar(9))",
        "INSERT INTO audience VALUES (7, 'all', 'story'), (8, 'few', 'story'), (7, 'few', 'task')",
    )
    rules = {"private": ["story:audience(story,who=few,of=story)"], "visible_to": []}
    assert hearing(engine, make_event(), **rules) == ALL
    run(engine, "DELETE FROM eventworker_notification")
    assert hearing(engine, make_event(resource_id=8), **rules) == []


def test_an_id_that_the_tables_cannot_hold_is_of_something_hidden(engine: Engine) -> None:
    follow(engine, (1, "story", "x"), (1, "story", 2**40), (1, "task", 2**40))
    assert hearing(engine, make_event(resource_id="x")) == []
    assert hearing(engine, make_event(resource_id=2**40)) == []
    assert hearing(engine, make_event(resource="task", resource_id=2**40)) == [1]


LISTS = "list:user_preferences(user_id,value,name=lists)"
WISHES = ["('1', 'lists', 'true')", "('2', 'lists', 'False')", "('3', 'mail', 'true')"]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (LISTS, [1, 3]),
        (f"{LISTS}:yes", [1, 3]),
        (f"{LISTS}:no", [1]),
        ("list:wishes(person,lists)", [1, 3]),
        ("list:wishes(person,lists):no", [1]),
        ("list:wishes(person,number)", [2, 3]),
    ],
)
def test_who_does_not_want_to_hear_of_a_kind_does_not(
    engine: Engine, rule: str, expected: list[int]
) -> None:
    """User 1 said yes, user 2 no, user 3 nothing."""
    run(
        engine,
        *(f"INSERT INTO user_preferences VALUES {wish}" for wish in WISHES),
        "CREATE TABLE wishes (person varchar(9), lists boolean, number integer)",
        "INSERT INTO wishes VALUES ('1', true, 0), ('2', false, 5), ('3', NULL, NULL)",
    )
    follow(engine, *((user, "list", 1) for user in ALL))
    below = make_event(resource="list", resource_id=1, sub_resource="item", sub_resource_id=2)
    part = make_event(resource="entry", resource_id=1, resource_after={"list_id": 1})
    for event in (make_event(resource="list", resource_id=1), below, part):
        run(engine, "DELETE FROM eventworker_notification")
        assert hearing(engine, event, preference=[rule], part_of=["entry:list_id:list"]) == expected
    run(engine, "DELETE FROM eventworker_notification")
    assert hearing(engine, make_event(resource_id=8), preference=[rule]) == ALL


def test_whoever_follows_a_hidden_place_does_not_hear_through_it(engine: Engine) -> None:
    """A story that everybody may see is on a private list."""
    run(
        engine,
        "CREATE TABLE lists (id integer, private boolean)",
        "CREATE TABLE items (list_id integer, story_id integer)",
        "INSERT INTO lists VALUES (1, true), (2, false)",
        "INSERT INTO items VALUES (1, 8), (2, 8)",
    )
    follow(engine, (5, "list", 1), (6, "list", 2))
    private = [PRIVATE, "list:lists(id,private)"]
    image = {"lists": [1, 2]}
    for rule in ("story:items(story_id,list_id):list", "story:lists:list"):
        run(engine, "DELETE FROM eventworker_notification")
        event = make_event(resource_id=8, resource_after=image)
        assert hearing(engine, event, private=private, belongs_to=[rule]) == [*ALL, 6]
