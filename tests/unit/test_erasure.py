"""Which events, and which bytes, an erasure is about."""

import json
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventworker.erasure import Erasure
from tests.helpers.events import make_event

ID = UUID("01976a4e-0000-7000-8000-000000000001")


@pytest.mark.parametrize("author_id", [7, "7"])
def test_an_authors_id_is_covered_as_number_and_as_text(author_id: object) -> None:
    assert Erasure(author="7").covers(make_event(author_id=author_id))


@pytest.mark.parametrize("author_id", [None, 77, "07", "7 ", 70, -7])
def test_another_authors_event_is_not_covered(author_id: object) -> None:
    assert not Erasure(author="7").covers(make_event(author_id=author_id))


def test_nobody_is_no_author() -> None:
    assert not Erasure(author="None").covers(make_event(author_id=None))


@pytest.mark.parametrize(
    ("fields", "covered"),
    [
        ({"resource": "story", "resource_id": 42}, True),
        ({"resource": "story", "resource_id": "42"}, True),
        ({"resource": "story", "resource_id": 4}, False),
        ({"resource": "task", "resource_id": 42}, False),
        ({"resource": "project", "sub_resource": "story", "sub_resource_id": 42}, True),
        ({"resource": "project", "resource_id": 42, "sub_resource": "story"}, False),
        ({"resource": "story", "resource_id": 1, "sub_resource_id": 42}, False),
    ],
)
def test_a_resource_is_covered_wherever_an_event_has_it(
    fields: dict[str, Any], covered: bool
) -> None:
    assert Erasure(resource=("story", "42")).covers(make_event(**fields)) is covered


@pytest.mark.parametrize(
    "body",
    [
        b'{"author_id": 7',
        b'{"author_id" : "7"}',
        b'{"author_id":7,"method":NaN}',
        b'[{"author_id":\n7}]',
        '{"author_id": 7}'.encode("utf-16"),
        '{"author_id": 7}'.encode("utf-32"),
        b'\xff\xfe{"author_id": 7}\xff',
        b'{"resource_after": {"author_id": 7}, "author_id": 8',
    ],
)
def test_damaged_bytes_that_name_an_author_are_found(body: bytes) -> None:
    assert Erasure(author="7").is_named_in(body)


@pytest.mark.parametrize(
    "body", [b"", b'{"author_id": 77', b'{"author_id": 7.5', b'{"author": 7', b'{"status": 7']
)
def test_bytes_that_name_somebody_else_are_not_found(body: bytes) -> None:
    assert not Erasure(author="7").is_named_in(body)


def test_damaged_bytes_that_name_a_resource_are_found() -> None:
    erasure = Erasure(resource=("story", "42"))
    assert erasure.is_named_in(b'{"resource_id": 42, "resource": "story"')
    assert erasure.is_named_in(b'{"specversion": "2", "subject": "/story/42/comment/1"')
    assert not erasure.is_named_in(b'{"resource_id": 42, "resource": "task"')
    assert not erasure.is_named_in(b'{"resource_id": 421, "resource": "story"')


def test_damaged_bytes_that_name_an_event_are_found() -> None:
    assert Erasure(event=ID).is_named_in(b'{"id": "%s"' % str(ID).upper().encode())
    assert not Erasure(event=ID).is_named_in(b'{"id": "01976a4e"')


#: As ids may be: the wire refuses those with control characters.
names = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20)


@given(names, st.binary(max_size=20))
def test_whatever_an_id_looks_like_it_is_found_behind_any_damage(name: str, damage: bytes) -> None:
    for ascii_only in (True, False):
        text = json.dumps({"author_id": name}, ensure_ascii=ascii_only)
        assert Erasure(author=name).is_named_in(damage + text.encode() + damage)


@given(st.none() | st.integers(-(2**63), 2**63 - 1) | names, st.text(max_size=5))
def test_an_event_and_its_bytes_agree(author_id: object, other: str) -> None:
    event = make_event(id=ID, author_id=author_id)
    erasure = Erasure(author=other if author_id is None else str(author_id))
    assert erasure.covers_body(ID, event.encode()) is erasure.covers(event)
    assert erasure.covers(event) is (author_id is not None)


def test_an_erasure_is_about_one_thing() -> None:
    for wrong in ({}, {"author": "7", "event": ID}):
        with pytest.raises(ValueError, match="an author, a resource or an event"):
            Erasure(**wrong)  # type: ignore[arg-type]
