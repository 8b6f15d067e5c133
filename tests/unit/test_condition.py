"""Conditions from the configuration: what they say, and what is said about the wrong ones."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from eventworker.engine.condition import (
    FIELDS,
    OPERATORS,
    ConditionError,
    parse,
)
from tests.helpers.events import make_event

EVENT = make_event(
    method="PUT",
    author_id=7,
    status=200,
    resource_id="7",
    path="/v1/stories/7",
    source="tracker",
    resource_before={"title": "Old", "status": "active", "updated_at": 1, "tags": []},
    resource_after={
        "title": "New",
        "status": "closed",
        "updated_at": 2,
        "tags": ["urgent", 3],
        "private": False,
        "karma": 1.5,
        "assignee": {"id": 9, "name": "Ann Lee"},
        "due": "2026-11-21",
        "odd key": 1,
    },
)
TRUE = [
    "resource_after.status == closed",
    'resource_after.status == "closed"',
    "resource_after.status==closed",
    "  status <   300 ",
    "status<300",
    "status <= 200",
    "status >= 200.0",
    "status > -1e3",
    "author_id != 8",
    "author_id == 7",
    "resource_id == 7",
    'resource_id == "7"',
    'author_id != "7"',
    "author_id in 1, 7,9",
    "author_id  not   in 1, 2",
    "method in POST, PUT",
    "sub_resource == null",
    "resource_after.gone == null",
    "resource_after.title.gone == null",
    "resource_before.private == null",
    "resource_after.private == false",
    "resource_after.private != 0",
    "resource_after.karma > 1",
    "resource_after.assignee.id == 9",
    'resource_after.assignee.name == "Ann Lee"',
    "resource_after.assignee has id",
    "resource_after.assignee lacks karma",
    "resource_after.tags has urgent",
    "resource_after.tags has 3",
    "resource_before.tags lacks urgent",
    "resource_after.gone lacks x",
    'resource_after.due < "2027"',
    "changed has title",
    "changed lacks updated_at",
    "changed has private",
    "path != /v1/stories",
    "source == tracker",
]


@pytest.mark.parametrize("text", TRUE)
def test_what_is_so_holds(text: str) -> None:
    assert parse(text).holds(EVENT)


@pytest.mark.parametrize(
    "text",
    [
        "status >= 300",
        "status > high",  # a number and a text are in no order
        "resource_after.due < 2027",
        "resource_after.private < 1",
        "query_string > 0",
        "resource_after.tags == urgent",
        "resource_after.assignee == 9",
        "resource_after.title has N",
        "changed has created_at",
        "author_id not in 1, 7",
    ],
)
def test_what_is_not_so_does_not_hold(text: str) -> None:
    assert not parse(text).holds(EVENT)


def test_an_event_without_images_has_changed_nothing() -> None:
    bare = make_event()
    assert parse("changed lacks title").holds(bare)
    assert not parse("changed has title").holds(bare)
    assert parse("changed has title").holds(make_event(resource_after={"title": "New"}))


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "FIELD OPERATOR VALUE with one of ==, !=, <"),
        ("status", "FIELD OPERATOR VALUE"),
        ("status = 3", "FIELD OPERATOR VALUE"),
        ("status is 3", "FIELD OPERATOR VALUE"),
        ("status == = 3", "write a value after it"),
        ("status ==", "write a value after it"),
        ("method in POST,", "write a value after it"),
        ("method in , POST", "write a value after it"),
        ("method in POST PUT", "write a value after it"),
        ('resource_after.title == "half', "write a value after it"),
        ("resource_after.title == Hello world", 'a text in "quotes"'),
        (r'resource_after.title == "\x"', "backslash"),
        ("status == 200, 201", "for several write in"),
        ("statuss < 300", "there is no field statuss; write one of author_id, method"),
        ("story.title == x", "there is no field story"),
        ("resource_after == x", "such as resource_after.title"),
        ("resource_after. == x", "such as resource_after.title"),
        ("status.code == 3", "status has no properties; only resource_before, resource_after"),
        ("changed == title", "write changed has NAME"),
        ("changed.title has x", "changed has no properties"),
        ("author_id == None", 'write null, or "None" in quotes'),
        ("resource_after.x == True", 'write true, or "True" in quotes'),
        ("status < 1e999", "too large"),
        (f"status < {'9' * 5000}", "too large"),
        ("__class__ == 1", "there is no field __class__"),
    ],
)
def test_a_wrong_one_is_told_what_to_write(text: str, hint: str) -> None:
    with pytest.raises(ConditionError) as caught:
        parse(text)
    assert hint in str(caught.value)


def test_what_looks_like_code_is_only_text() -> None:
    condition = parse("path == __import__('os').system('id')")
    assert condition.values[0].value == "__import__('os').system('id')"


pieces = st.sampled_from(
    [*FIELDS, *OPERATORS, " ", ".", ",", '"', "\\", "null", "true", "1", "-1.5e3", "x", "\n"]
)


@given(st.lists(pieces | st.text(max_size=5), max_size=10).map("".join))
@example("status == 1e400")
@example("status == " + "9" * 400)
def test_any_text_is_a_condition_or_is_refused_and_a_condition_never_raises(text: str) -> None:
    try:
        condition = parse(text)
    except ConditionError:
        return
    assert isinstance(condition.holds(EVENT), bool)
    assert parse(str(condition)) == condition


images = st.lists(st.from_regex(r"\A[^\s<>=!.]+\Z"), min_size=1, max_size=3)
fields = st.sampled_from(["status", "author_id", "source"]) | images.map(
    lambda keys: ".".join(["resource_after", *keys])
)
written = (
    st.sampled_from(["null", "true", "false", "closed"])
    | st.integers().map(str)
    | st.floats(allow_nan=False, allow_infinity=False).map(repr)
    | st.text().map(json.dumps)
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=5,
)


@given(fields, st.sampled_from(OPERATORS), written)
def test_a_condition_is_written_as_it_is_read(field: str, operator: str, value: str) -> None:
    condition = parse(f"{field} {operator} {value}")
    assert parse(str(condition)) == condition
    assert condition.values[0].value == json.loads(value if value != "closed" else '"closed"')


@given(written, json_values)
def test_an_operator_and_its_opposite_never_agree(value: str, found: Any) -> None:
    event = make_event(resource_after={"x": found})

    def holds(operator: str) -> bool:
        return parse(f"resource_after.x {operator} {value}").holds(event)

    for one, other in (("==", "!="), ("in", "not in"), ("has", "lacks")):
        assert holds(one) is not holds(other)
    assert holds("==") is holds("in")
    assert not (holds("<") and holds(">="))
    assert not (holds(">") and holds("<="))
