"""What the rules of the configuration mean, and what an event concerns by them."""

from typing import Any

import pytest

from eventworker.errors import ConfigError
from eventworker.event import Event
from eventworker.workers.subscription.concern import places_of, ways_from
from eventworker.workers.subscription.options import GROUP
from eventworker.workers.subscription.rules import (
    DetailRule,
    KeyRule,
    PreferenceRule,
    PrivateRule,
    Rules,
    Step,
    TableRule,
    VisibleRule,
    rules_of,
)
from eventworker.workers.subscription.words import event_type, info_of, type_rules
from tests.helpers.events import make_event
from tests.helpers.subscriptions import worker

PROJECT = TableRule("story", Step("app.links", "story_id", "project_id"), "project")
TEAM = TableRule("project", Step("members", "project_id", "group_id"), "project_group")
STORY = KeyRule("task", "story_id", "story")


def read(**options: list[str]) -> Rules:
    return rules_of(worker(**options).config[GROUP], GROUP)


def test_rules_are_written_one_per_line_or_with_commas_between() -> None:
    rules = read(
        belongs_to=[
            "task:story_id:story, story : app.links( story_id , project_id ) : project",
            "project:members(project_id,group_id):project_group",
            "",
        ]
    )
    assert rules.parents == (STORY, PROJECT, TEAM)
    assert read().parents == ()


def test_a_table_may_count_with_some_of_its_rows_only() -> None:
    (rule,) = read(belongs_to=["story:items(item_id, list_id, item_type = story):worklist"]).parents
    assert rule == TableRule(
        "story", Step("items", "item_id", "list_id", (("item_type", "story"),)), "worklist"
    )


def test_each_kind_of_rule_is_read_as_it_is_meant() -> None:
    rules = read(
        part_of=["task:story_id:story"],
        private=[
            "story:stories(id,private):story_private",
            "note:notes(id,audience=few,kind=note)",
        ],
        visible_to=["story:links(story_id,team_id):teams(id,user_id), story:creator_id"],
        preference=["worklist:preferences(user_id,value,key=lists):no", "task:users(id,tasks)"],
        details=["story:story_title=title", "story:story_title=stories(id,title)"],
    )
    assert rules.parents == (KeyRule("task", "story_id", "story", is_part=True),)
    assert rules.private == {
        "story": PrivateRule("story", "stories", "id", "private", part_key="story_private"),
        "note": PrivateRule("note", "notes", "id", "audience", "few", (("kind", "note"),)),
    }
    teams = (Step("links", "story_id", "team_id"), Step("teams", "id", "user_id"))
    assert rules.visible == {
        "story": [VisibleRule("story", None, teams), VisibleRule("story", "creator_id", ())]
    }
    lists = Step("preferences", "user_id", "value", (("key", "lists"),))
    assert rules.preferences == {
        "worklist": [PreferenceRule("worklist", lists, unless_set=False)],
        "task": [PreferenceRule("task", Step("users", "id", "tasks"), unless_set=True)],
    }
    assert rules.details == {
        "story": [
            DetailRule("story", "story_title", "title"),
            DetailRule("story", "story_title", Step("stories", "id", "title")),
        ]
    }


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("belongs_to", "task"),
        ("belongs_to", "task:story_id"),
        ("belongs_to", "task:story id:story"),
        ("belongs_to", "task:links(story_id):story"),
        ("belongs_to", "task:links(a,b,c):story"),
        ("belongs_to", "task:links(a;drop,b):story"),
        ("belongs_to", "task:links(a,b,c=d=e):story"),
        ("belongs_to", ":a:b"),
        ("belongs_to", "a:b:c:d"),
        ("belongs_to", "task:parent_id:task"),
        ("part_of", "task:story_id"),
        ("private", "story"),
        ("private", "story:private"),
        ("private", "story:stories(id,private):a(b,c)"),
        ("private", "story:stories(id)"),
        ("private", "story:stories(a,b,c)"),
        ("private", "story:stories(a=b,c)"),
        ("visible_to", "story"),
        ("visible_to", "story:links(a,b):user"),
        ("preference", "worklist:key"),
        ("preference", "worklist:users(id,wants):maybe"),
        ("details", "story:title"),
        ("details", "story:=title"),
        ("details", "story:title=stories(id)"),
        ("event_types", "story:word"),
        ("event_types", "POST story"),
        ("event_types", "POST story:{}"),
    ],
)
def test_what_is_no_rule_is_named_before_the_first_event(option: str, text: str) -> None:
    with pytest.raises(ConfigError) as found:
        worker(**{option: [text]}).enabled()
    sentence = str(found.value)
    assert sentence.startswith(f"[plugin:subscription] {option}: ")
    assert text in sentence
    assert "write" in sentence or "cannot belong to its own kind" in sentence


def test_two_rules_of_what_is_private_are_one_too_many() -> None:
    with pytest.raises(ConfigError, match="private: there are two rules for story"):
        worker(private=["story:a(id,private), story:b(id,private)"]).enabled()


@pytest.mark.parametrize(
    "path", ["nonsense", "missing.module:info", "json:missing", "json:__name__"]
)
def test_a_function_that_is_not_there_is_named_before_the_first_event(path: str) -> None:
    with pytest.raises(ConfigError, match=rf"\[plugin:subscription\] info_by: {path} "):
        worker(info_by=path).enabled()


def test_it_is_off_unless_it_is_switched_on() -> None:
    assert worker().enabled()
    assert not worker(enabled=False).enabled()


def named(event: Event, rules: Rules) -> list[tuple[str, object]]:
    return [(place.shape.kind, place.id) for place in places_of(event, rules)]


def about(event: Event, rules: Rules) -> list[tuple[str, object]]:
    places = places_of(event, rules)
    return [(place.shape.kind, place.id) for place in places if place.shape.is_about]


def test_an_event_concerns_its_resource_and_its_sub_resource() -> None:
    event = make_event(resource="story", resource_id=1, sub_resource="comment", sub_resource_id=2)
    assert named(event, Rules()) == [("story", 1), ("comment", 2)]
    assert named(make_event(resource_id=None), Rules()) == []


def test_an_event_concerns_the_parents_in_both_images() -> None:
    event = make_event(
        resource="task",
        resource_id=1,
        resource_before={"story_id": 5},
        resource_after={"story_id": 6},
    )
    assert named(event, Rules((STORY,))) == [("task", 1), ("story", 5), ("story", 6)]


def test_a_child_is_part_of_what_the_last_image_says() -> None:
    rules = read(part_of=["task:story_id:story"], belongs_to=["task:project_id:project"])
    moved = make_event(
        method="PUT",
        resource="task",
        resource_id=1,
        resource_before={"story_id": 5, "project_id": 3},
        resource_after={"story_id": 6, "project_id": 3},
    )
    assert about(moved, rules) == [("task", 1), ("story", 6)]
    gone = make_event(
        method="DELETE", resource="task", resource_id=1, resource_before={"story_id": 5}
    )
    assert about(gone, rules) == [("task", 1), ("story", 5)]


@pytest.mark.parametrize("parent", [None, True, 1.5, [None], [[1]], {"id": 1}])
def test_what_is_no_id_in_an_image_is_passed_over(parent: object) -> None:
    event = make_event(resource="task", resource_id=1, resource_after={"story_id": parent})
    assert named(event, Rules((STORY,))) == [("task", 1)]


def test_an_image_may_name_several_parents() -> None:
    event = make_event(
        method="DELETE", resource="task", resource_id=1, resource_before={"story_id": [5, "x"]}
    )
    assert named(event, Rules((STORY,))) == [("task", 1), ("story", 5), ("story", "x")]


def test_the_images_of_a_sub_resources_event_are_the_sub_resources() -> None:
    rules = read(belongs_to=["story:owner_id:user", "comment:owner_id:team"])
    event = make_event(
        resource_id=1, sub_resource="comment", sub_resource_id=2, resource_after={"owner_id": 3}
    )
    assert named(event, rules) == [("story", 1), ("comment", 2), ("team", 3)]


@pytest.mark.parametrize(
    ("private", "was_private"),
    [(True, True), (False, False), (None, False), ("False", False), ("yes", True), (1, True)],
)
def test_the_image_says_whether_what_changed_was_private(
    private: object, was_private: bool
) -> None:
    rules = read(private=["story:stories(id,private)"])
    gone = make_event(method="DELETE", resource_before={"private": private})
    assert [place.shape.was_private for place in places_of(gone, rules)] == [was_private]
    # Of what goes on living, that it was not private says nothing about now.
    changed = make_event(method="PUT", resource_after={"private": private})
    expected = True if was_private else None
    assert [place.shape.was_private for place in places_of(changed, rules)] == [expected]


def test_an_image_without_the_flag_says_nothing() -> None:
    rules = read(private=["story:stories(id,private)", "task:tasks(id,private)"])
    (place,) = places_of(make_event(resource_after={"title": "a"}), rules)
    assert place.shape.was_private is None
    below = make_event(sub_resource="comment", resource_after={"private": False})
    assert places_of(below, rules)[0].shape.was_private is None


def test_the_image_of_a_part_may_say_whether_the_whole_was_private() -> None:
    rules = read(
        part_of=["task:story_id:story"], private=["story:stories(id,private):story_private"]
    )
    image = {"story_id": 7, "story_private": False}
    task = make_event(method="DELETE", resource="task", resource_id=1, resource_before=image)
    comment = make_event(method="DELETE", sub_resource="comment", resource_before=image)
    for event in (task, comment):
        (story,) = (each for each in places_of(event, rules) if each.shape.kind == "story")
        assert story.shape.was_private is False


def ways(event: Event, rules: Rules) -> list[list[str]]:
    """From each place the kinds that each way comes to."""
    return [
        [place.shape.kind, *(rule.parent for rule in way)]
        for place in places_of(event, rules)
        for way in ways_from(place.shape.kind, place.shape.passed, rules)
    ]


def test_tables_lead_from_one_kind_to_the_next_but_never_in_a_circle() -> None:
    back = TableRule("project_group", Step("links", "a", "b"), "story")
    rules = Rules((STORY, PROJECT, TEAM, back))
    assert ways(make_event(), rules) == [
        ["story", "project"],
        ["story", "project", "project_group"],
    ]


def test_a_way_does_not_lead_back_to_the_kind_that_changed() -> None:
    """A task belongs to its story, the story to its tasks; the other tasks are not concerned."""
    down = TableRule("story", Step("tasks", "story_id", "id"), "task")
    event = make_event(resource="task", resource_after={"story_id": 5})
    assert ways(event, Rules((STORY, down))) == []
    assert ways(make_event(), Rules((STORY, down))) == [["story", "task"]]


def test_a_project_put_into_a_group_does_not_concern_its_other_groups() -> None:
    event = make_event(
        resource="project_group", resource_id=1, sub_resource="project", sub_resource_id=7
    )
    assert ways(event, Rules((TEAM,))) == []


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


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"method": "POST"}, "a new story"),
        ({"method": "PUT"}, "story_changed"),
        ({"method": "PUT", "sub_resource": "comment"}, "comment on a story"),
        (
            {"resource": "timeline_event", "resource_after": {"event_type": "task_lost"}},
            "task_lost",
        ),
        ({"resource": "timeline_event", "resource_after": {"event_type": 5}}, "something"),
        ({"resource": "view"}, ""),
    ],
)
def test_an_application_may_have_its_own_words(fields: dict[str, Any], word: str) -> None:
    rules = type_rules(
        [
            "post story: a new story",
            "* story/comment:comment on a story",
            "POST timeline_event:{event_type}",
            "POST timeline_event:something",
            "* view:",
        ],
        "option",
    )
    assert event_type(make_event(**fields), rules) == word


def test_the_rest_of_a_notification_is_short() -> None:
    event = make_event(method="PUT", resource_after={"title": "x" * 1000})
    info = info_of(event, [f"column_{number:03}" for number in range(500)])
    assert info["title"] == "x" * 255
    assert len(info["changed"]) == 50
    assert info_of(make_event(resource_before={"name": "n", "title": 5}), ()) == {"title": "n"}
