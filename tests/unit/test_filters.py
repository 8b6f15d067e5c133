"""What a plugin declared, what its group narrows that to, and where the two cannot agree."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventworker.engine.filters import Filter, common, configured, conflicts, declared
from eventworker.errors import ConfigError, PluginError
from tests.helpers.configuration import configuration
from tests.helpers.events import make_event


class Plugin:
    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


COMMENT = make_event(sub_resource="comment")
STORY = make_event()


def test_a_resource_includes_what_is_below_it_and_a_sub_resource_is_itself() -> None:
    assert declared(Plugin(resources={"story"})).admits(COMMENT)
    only_comments = declared(Plugin(resources={"story/comment"}))
    assert only_comments.admits(COMMENT)
    assert not only_comments.admits(STORY)
    assert not only_comments.admits(make_event(resource="comment"))


def test_methods_are_one_without_regard_to_case() -> None:
    assert declared(Plugin(methods=["post"])).admits(make_event(method="POST"))
    assert declared(Plugin(methods=["POST"])).admits(make_event(method="post"))


@pytest.mark.parametrize(
    "attributes", [{"resources": "story"}, {"methods": 5}, {"resources": [None]}]
)
def test_attributes_that_are_no_names_break_the_plugin(attributes: dict[str, Any]) -> None:
    with pytest.raises(PluginError, match=r"resources|methods"):
        declared(Plugin(**attributes))


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str], Filter]:
    """The filter of the group [plugin:audit] with these lines."""

    def read_it(lines: str) -> Filter:
        path = tmp_path / "eventworker.conf"
        path.write_text(f"[plugin:audit]\n{lines}\n")
        conf = configuration()
        conf(args=[f"--config-file={path}"], default_config_files=[], default_config_dirs=[])
        return configured(conf, "audit")

    return read_it


def test_a_group_narrows_by_all_that_it_says(read: Callable[[str], Filter]) -> None:
    narrowing = read(
        "resources = story, task\nmethods = put\n"
        "condition = status < 300\ncondition = changed has title"
    )
    good = {"method": "PUT", "status": 200, "resource_after": {"title": "x"}}
    assert narrowing.admits(make_event(**good))
    for name, value in [
        ("resource", "user"),
        ("method", "POST"),
        ("status", 404),
        ("resource_after", {}),
    ]:
        assert not narrowing.admits(make_event(**{**good, name: value})), name


def test_a_group_that_says_nothing_admits_everything(read: Callable[[str], Filter]) -> None:
    assert read("resources =\nmethods =") == Filter()


def test_a_wrong_condition_is_named_with_option_and_text(read: Callable[[str], Filter]) -> None:
    with pytest.raises(ConfigError) as caught:
        read("condition = status < 300\ncondition = statuss < 300")
    assert str(caught.value).startswith(
        "[plugin:audit] condition: 'statuss < 300': there is no field statuss; write one of"
    )


def names(*these: str) -> Any:
    return frozenset(these) if these else None


@pytest.mark.parametrize(
    ("own", "narrowing"),
    [
        (names(), names("story")),
        (names("story"), names()),
        (names("story", "task"), names("story")),
        (names("story"), names("story/comment")),
        (names("story/comment"), names("story")),
    ],
)
def test_a_group_that_narrows_is_no_conflict(own: Any, narrowing: Any) -> None:
    assert conflicts("audit", Filter(resources=own), Filter(resources=narrowing)) == []


def test_a_name_that_the_plugin_does_not_want_is_warned_of() -> None:
    own = Filter(resources=names("story"), methods=names("POST"))
    narrowing = Filter(resources=names("story", "user"), methods=names("POST", "PUT"))
    assert conflicts("audit", own, narrowing) == [
        "[plugin:audit] resources names user, but the plugin wants only story",
        "[plugin:audit] methods names PUT, but the plugin wants only POST",
    ]


def test_a_group_that_leaves_nothing_is_refused() -> None:
    own, narrowing = Filter(resources=names("story", "task")), Filter(resources=names("stories"))
    with pytest.raises(ConfigError) as caught:
        conflicts("audit", own, narrowing)
    assert str(caught.value) == (
        "[plugin:audit] resources = stories: the plugin wants only story, task, so no event would "
        "ever come; write some of these, or disable the plugin"
    )


some_names = st.none() | st.frozensets(st.sampled_from(["a", "b", "a/x", "a/y", "b/x"]))


@given(some_names, some_names, st.sampled_from("abc"), st.sampled_from([None, "x", "y"]))
def test_what_both_admit_their_common_names_admit(
    one: Any, other: Any, resource: str, sub_resource: str | None
) -> None:
    event = make_event(resource=resource, sub_resource=sub_resource)
    both = Filter(resources=one).admits(event) and Filter(resources=other).admits(event)
    assert Filter(resources=common(one, other)).admits(event) is both
