"""What a plugin is given, by its signature, and what its base class does for it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventworker.engine.filters import declared
from eventworker.engine.loader import ARGUMENTS, Loaded, handle_arguments
from eventworker.errors import PluginError
from eventworker.plugin import WorkerTaskBase
from tests.helpers.configuration import configuration
from tests.helpers.events import STORYBOARD_FIELDS, make_event

EVENT = make_event(**STORYBOARD_FIELDS)
GIVEN = {"session": "the session", "author": "the author", "event": EVENT, **STORYBOARD_FIELDS}
del GIVEN["author_id"]


class Plugin:
    def enabled(self) -> bool:
        return True


class Seed(Plugin):
    def handle(
        self, session, author, method, path, status, resource, resource_id,
        sub_resource=None, sub_resource_id=None, resource_before=None, resource_after=None,
    ):  # fmt: skip
        self.seen = {name: value for name, value in locals().items() if name != "self"}


class StoryBoards(Plugin):
    def handle(
        self, session, author, method, url, path, query_string, status, resource, resource_id,
        sub_resource=None, sub_resource_id=None, resource_before=None, resource_after=None,
    ):  # fmt: skip
        self.seen = {name: value for name, value in locals().items() if name != "self"}


class Everything(Plugin):
    def handle(self, **kwargs):
        self.seen = kwargs


class OnlyTheEvent(Plugin):
    def handle(self, event):
        self.seen = {"event": event}


class KeywordsOnly(Plugin):
    def handle(self, session, *, status, karma=0):
        self.seen = {"session": session, "status": status}


class Nothing(Plugin):
    def handle(self, *args):
        assert args == ()
        self.seen = {}


def call(plugin: Any) -> dict[str, Any]:
    loaded = Loaded(name="a", plugin=plugin, arguments=handle_arguments(plugin))
    loaded.call("the session", "the author", EVENT)
    seen: dict[str, Any] = plugin.seen
    return seen


def test_the_seeds_signature_gets_neither_url_nor_query_string() -> None:
    left_out = ("url", "query_string", "event")
    assert call(Seed()) == {key: value for key, value in GIVEN.items() if key not in left_out}


def test_storyboards_signature_gets_them_too() -> None:
    assert call(StoryBoards()) == {key: value for key, value in GIVEN.items() if key != "event"}


def test_keyword_arguments_get_all_there_is() -> None:
    assert call(Everything()) == GIVEN
    assert set(GIVEN) == set(ARGUMENTS)


def test_a_plugin_gets_what_it_names_and_no_more() -> None:
    assert call(OnlyTheEvent()) == {"event": EVENT}
    assert call(KeywordsOnly()) == {"session": "the session", "status": 200}
    assert call(Nothing()) == {}


class Demanding(Plugin):
    def handle(self, session, karma): ...


class Asynchronous(Plugin):
    async def handle(self, session): ...


class PositionalOnly(Plugin):
    def handle(self, session, /): ...


class NoMethod(Plugin):
    handle = "handle"


class NotAsked:
    def handle(self, session): ...


@pytest.mark.parametrize("kind", [Demanding, Asynchronous, PositionalOnly, NoMethod, NotAsked])
def test_a_handle_that_cannot_be_called_is_refused_at_the_start(kind: type) -> None:
    with pytest.raises(PluginError):
        handle_arguments(kind())


@pytest.mark.parametrize(
    ("resources", "methods", "wanted"),
    [
        (None, None, True),
        (("story",), None, True),
        (("task",), None, False),
        (None, ("PUT", "POST"), True),
        (None, ("POST",), False),
        (("story",), ("POST",), False),
        ((), None, False),
    ],
)
def test_filters_admit_what_they_name(resources: Any, methods: Any, wanted: bool) -> None:
    plugin = Everything()
    plugin.resources, plugin.methods = resources, methods
    assert declared(plugin).admits(EVENT) is wanted


class Base(WorkerTaskBase):
    def handle(self, **kwargs: Any) -> None: ...


def test_a_plugin_without_handle_cannot_be_made() -> None:
    with pytest.raises(TypeError):
        WorkerTaskBase(configuration())  # type: ignore[abstract]


def test_the_base_class_keeps_the_configuration_and_says_yes() -> None:
    conf = configuration()
    assert Base(conf).config is conf
    assert Base(conf).enabled()


properties = st.dictionaries(st.sampled_from("abcd"), st.none() | st.integers(0, 2), max_size=4)


@given(st.none() | properties, st.none() | properties)
def test_changed_properties_lead_from_one_to_the_other(before: Any, after: Any) -> None:
    old, new = Base(configuration()).get_changed_properties(before, after)
    patched = {key: value for key, value in (before or {}).items() if key not in old}
    assert patched | new == (after or {})
    assert all(old.get(key, old) != new.get(key, new) for key in {**old, **new})


def test_timestamps_are_no_change() -> None:
    before = {"title": "a", "created_at": 1, "updated_at": 1}
    after = {"title": "a", "created_at": 2, "updated_at": 2, "status": None}
    assert Base(configuration()).get_changed_properties(before, after) == ({}, {"status": None})
