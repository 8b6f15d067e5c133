"""What an event concerns, by the rules of what belongs to what."""

import pytest

from eventworker.errors import ConfigError
from eventworker.workers.subscription.notices import event_type, info_of
from eventworker.workers.subscription.rules import (
    KeyRule,
    TableRule,
    Target,
    parse,
    targets_of,
    walks_from,
)
from tests.helpers.events import make_event
from tests.helpers.subscriptions import worker

PROJECT = TableRule("story", "app.links", "story_id", "project_id", "project")
GROUP = TableRule("project", "members", "project_id", "group_id", "project_group")
STORY = KeyRule("task", "story_id", "story")


def test_rules_are_written_one_per_line_or_with_commas_between() -> None:
    lines = [
        "task:story_id:story, story : app.links( story_id , project_id ) : project",
        "project:members(project_id,group_id):project_group",
        "",
    ]
    assert parse(lines, "option") == (STORY, PROJECT, GROUP)
    assert parse([], "option") == ()


@pytest.mark.parametrize(
    "text",
    [
        "task",
        "task:story_id",
        "task:story id:story",
        "task:links(story_id):story",
        "task:links(a,b,c):story",
        "task:links(a;drop,b):story",
        ":a:b",
        "a:b:c:d",
        "task:parent_id:task",
    ],
)
def test_what_is_no_rule_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^option: "):
        parse([text], "option")


def test_a_plugin_with_a_broken_rule_says_so_before_the_first_event() -> None:
    with pytest.raises(ConfigError, match=r"\[plugin:subscription\] belongs_to: 'nonsense'"):
        worker(belongs_to=["nonsense"]).enabled()


def test_it_is_off_unless_it_is_switched_on() -> None:
    assert worker().enabled()
    assert not worker(enabled=False).enabled()


def test_an_event_concerns_its_resource_and_its_sub_resource() -> None:
    event = make_event(resource="story", resource_id=1, sub_resource="comment", sub_resource_id=2)
    assert targets_of(event, ()) == [Target("story", 1), Target("comment", 2)]
    assert targets_of(make_event(resource_id=None), ()) == []


def test_an_event_concerns_the_parents_in_both_images() -> None:
    event = make_event(
        resource="task",
        resource_id=1,
        resource_before={"story_id": 5},
        resource_after={"story_id": 6},
    )
    expected = [Target("task", 1), Target("story", 5), Target("story", 6)]
    assert targets_of(event, (STORY,)) == expected


@pytest.mark.parametrize("parent", [None, True, 1.5, [1], {"id": 1}])
def test_what_is_no_id_in_an_image_is_passed_over(parent: object) -> None:
    event = make_event(resource="task", resource_id=1, resource_after={"story_id": parent})
    assert targets_of(event, (STORY,)) == [Target("task", 1)]


def test_the_images_of_a_sub_resources_event_are_the_sub_resources() -> None:
    rules = parse(["story:owner_id:user", "comment:owner_id:team"], "option")
    event = make_event(
        resource_id=1, sub_resource="comment", sub_resource_id=2, resource_after={"owner_id": 3}
    )
    assert Target("team", 3) in targets_of(event, rules)
    assert Target("user", 3) not in targets_of(event, rules)


def test_tables_lead_from_one_kind_to_the_next_but_never_in_a_circle() -> None:
    back = TableRule("project_group", "links", "a", "b", "story")
    start = Target("story", 1)
    walks = walks_from([start], (STORY, PROJECT, GROUP, back))
    assert [walk.steps for walk in walks] == [(PROJECT,), (PROJECT, GROUP)]
    assert all(walk.start == start for walk in walks)


@pytest.mark.parametrize(
    ("method", "sub_resource", "expected"),
    [
        ("POST", None, "story_created"),
        ("PUT", None, "story_changed"),
        ("PATCH", None, "story_changed"),
        ("DELETE", None, "story_deleted"),
        ("POST", "comment", "comment_created"),
    ],
)
def test_a_notification_says_what_happened(
    method: str, sub_resource: str | None, expected: str
) -> None:
    assert event_type(make_event(method=method, sub_resource=sub_resource)) == expected


def test_the_rest_of_a_notification_is_short() -> None:
    event = make_event(method="PUT", resource_after={"title": "x" * 1000})
    info = info_of(event, [f"column_{number:03}" for number in range(500)])
    assert info["title"] == "x" * 255
    assert len(info["changed"]) == 50
    assert info_of(make_event(resource_before={"name": "n", "title": 5}), ()) == {"title": "n"}
