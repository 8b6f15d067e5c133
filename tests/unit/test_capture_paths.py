"""What a request is about, read from its path."""

import pytest

from eventworker.capture.paths import PathRules, singular_of


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/v1/stories", ("story", None, None, None)),
        ("/v1/stories/", ("story", None, None, None)),
        ("/api/v1/stories/12", ("story", 12, None, None)),
        ("/v1/stories/12/comments", ("story", 12, "comment", None)),
        ("/v1/stories/12/comments/3/", ("story", 12, "comment", 3)),
        ("/v1/project_groups/1/projects/7", ("project_group", 1, "project", 7)),
        ("/v1/branches/master", ("branch", "master", None, None)),
        ("/v1/users/0190a7c0-7b1e", ("user", "0190a7c0-7b1e", None, None)),
        ("/v1/users/Žofie", ("user", "Žofie", None, None)),
        ("/v1/timeline_events/9", ("timeline_event", 9, None, None)),
        # A number that no column holds is a text.
        ("/v1/tasks/" + "9" * 40, ("task", "9" * 40, None, None)),
    ],
)
def test_a_path_names_a_resource(path: str, named: tuple[object, ...]) -> None:
    assert PathRules().parse(path) == named


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/v1",
        "/v1/",
        "/v2/stories",
        "/v10/stories",
        "/stories/1",
        "/v1/stories/1/comments/2/likes",
        "/v1//1",
        "/v1/stories//comments",
        "/v1/stories/1/comments//",
        "/v1/1/2",
        "/v1/st\x00ories",
        "/v1/stories/a\nb",
        "/v1/stories/" + "x" * 256,
        "/v1/" + "s" * 200,
    ],
)
def test_other_paths_are_no_resource(path: str) -> None:
    assert PathRules().parse(path) is None


@pytest.mark.parametrize(
    ("plural", "singular"),
    [
        ("stories", "story"),
        ("tasks", "task"),
        ("projects", "project"),
        ("project_groups", "project_group"),
        ("timeline_events", "timeline_event"),
        ("branches", "branch"),
        ("milestones", "milestone"),
        ("statuses", "status"),
        ("status", "status"),
        ("addresses", "address"),
        ("boxes", "box"),
        ("releases", "release"),
        ("due_dates", "due_date"),
        ("people", "person"),
        ("series", "series"),
        ("ties", "tie"),
        ("analysis", "analysis"),
        ("access", "access"),
        ("story", "story"),
    ],
)
def test_names_are_made_singular(plural: str, singular: str) -> None:
    assert singular_of(plural) == singular


def test_the_mapping_wins_over_the_rule() -> None:
    rules = PathRules(singular={"caches": "cache", "stories": "tale"})
    assert rules.parse("/v1/caches/1/stories") == ("cache", 1, "tale", None)


def test_the_prefix_is_configurable() -> None:
    rules = PathRules(prefixes=("/rest",))
    assert rules.parse("/rest/tasks/1") == ("task", 1, None, None)
    assert rules.parse("/v1/tasks/1") is None
    assert PathRules(prefixes=("",)).parse("/tasks/1") == ("task", 1, None, None)


def test_only_listed_names_are_resources_if_there_is_a_list() -> None:
    rules = PathRules(only=frozenset({"stories"}))
    assert rules.parse("/v1/stories/1/anything") is not None
    assert rules.parse("/v1/openid/authorize") is None


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/v1/stories/42/close", ("story", 42, None, None)),
        ("/v1/stories/42/close/", ("story", 42, None, None)),
        ("/v1/stories/42/comments/3/close", ("story", 42, "comment", 3)),
        ("/v1/stories/42", ("story", 42, None, None)),
        ("/v1/stories/42/comments", ("story", 42, "comment", None)),
        # On a whole collection it is about no one resource.
        ("/v1/stories/close", None),
        ("/v1/stories/42/comments/close", None),
        ("/v1/close", None),
        ("/v1/stories/42/close/close", None),
    ],
)
def test_an_action_at_the_end_is_about_what_stands_before_it(
    path: str, named: tuple[object, ...] | None
) -> None:
    assert PathRules(actions=frozenset({"close"})).parse(path) == named


def test_without_actions_such_a_path_names_a_sub_resource() -> None:
    assert PathRules().parse("/v1/stories/42/close") == ("story", 42, "close", None)
