"""The event and its wire format: everything that StoryBoard sends is read, nothing else is."""

import json
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventworker.errors import DecodeError, EncodeError
from eventworker.event import MAX_DEPTH, WIRE_FIELDS, Event, checked, decode, uuid7
from eventworker.transport import Message
from tests.helpers.events import STORYBOARD_FIELDS, events, json_values, make_event, nested

SMALLEST = {"method": "POST", "resource": "story"}


def body_of(**fields: Any) -> bytes:
    return json.dumps({**SMALLEST, **fields}).encode()


def wire(event: Event) -> dict[str, Any]:
    return {name: getattr(event, name) for name in WIRE_FIELDS}


def test_a_storyboard_body_is_read_as_it_is() -> None:
    assert wire(decode(json.dumps(STORYBOARD_FIELDS).encode())) == STORYBOARD_FIELDS


@pytest.mark.parametrize("missing", [{"url"}, {"query_string"}, {"url", "query_string"}])
def test_a_body_of_an_older_storyboard_lacks_url_and_query_string(missing: set[str]) -> None:
    fields = {name: value for name, value in STORYBOARD_FIELDS.items() if name not in missing}
    assert wire(decode(json.dumps(fields).encode())) == fields | dict.fromkeys(missing)


def test_method_and_resource_are_enough() -> None:
    assert wire(decode(body_of())) == dict.fromkeys(WIRE_FIELDS) | SMALLEST


def test_unknown_fields_are_ignored_even_if_they_are_called_like_ours() -> None:
    event = decode(body_of(id="x", time=3, source=[], extra={"a": 1}), source="tracker")
    assert wire(event) == dict.fromkeys(WIRE_FIELDS) | SMALLEST
    assert event.source == "tracker"


@pytest.mark.parametrize("value", [0, -1, 12, 2**63 - 1, -(2**63), "12", "ABC-1", "Grüße", None])
@pytest.mark.parametrize("field", ["author_id", "resource_id", "sub_resource_id"])
def test_an_id_keeps_its_type(field: str, value: object) -> None:
    decoded = getattr(decode(body_of(**{field: value})), field)
    assert decoded == value
    assert type(decoded) is type(value)


def test_identity_time_and_source_come_from_beside_the_body() -> None:
    event_id, time = uuid4(), datetime(2024, 5, 6, 7, 8, 9, 123456, UTC)
    event = decode(body_of(), id=event_id, time=time, source="tracker")
    assert (event.id, event.time, event.source) == (event_id, time, "tracker")


def test_without_them_it_gets_an_id_of_its_own_and_the_present_time() -> None:
    one, two = decode(body_of()), decode(body_of())
    assert one.id != two.id
    assert abs((datetime.now(UTC) - one.time).total_seconds()) < 60


def test_non_ascii_is_put_on_the_wire_as_utf_8() -> None:
    event = make_event(resource_after={"title": "Grüße, 世界 \U0001f40d"})
    assert "Grüße, 世界 \U0001f40d".encode() in event.encode()
    assert decode(event.encode()).resource_after == event.resource_after


def test_an_escaped_pair_of_surrogates_is_one_character() -> None:
    event = decode(b'{"method": "POST", "resource": "story", "path": "\\ud83d\\udc0d"}')
    assert event.path == "\U0001f40d"


def test_sixty_four_levels_are_read_and_sixty_five_are_not() -> None:
    inside = decode(body_of(resource_after=nested(MAX_DEPTH - 1)))
    assert inside.resource_after == nested(MAX_DEPTH - 1)
    with pytest.raises(DecodeError, match="deeper"):
        decode(body_of(resource_after=nested(MAX_DEPTH)))


def test_many_brackets_side_by_side_are_not_deep() -> None:
    image = {"list": [[] for _ in range(1000)]}
    assert decode(make_event(resource_after=image).encode()).resource_after == image


def test_a_limit_in_bytes_is_kept_on_both_sides() -> None:
    event = make_event(resource_after={"a": "ü" * 100})
    size = len(event.encode())
    assert len(event.encode(max_bytes=size)) == size
    assert decode(event.encode(), max_bytes=size).resource_after == event.resource_after
    with pytest.raises(EncodeError, match=str(size)):
        event.encode(max_bytes=size - 1)
    with pytest.raises(DecodeError, match=str(size)):
        decode(event.encode(), max_bytes=size - 1)


UNSENDABLE: dict[str, dict[str, Any]] = {
    "no method": {"method": ""},
    "NUL in the resource": {"resource": "a\x00b"},
    "a routing key that is too long": {"resource": "語" * 120},
    "a line break in the method": {"method": "POST\n"},
    "a number as the path": {"path": 5},
    "an id beyond 64 bits": {"resource_id": 2**63},
    "a float as an id": {"resource_id": 1.5},
    "NUL in the source": {"source": "a\x00b"},
    "a source that is too long": {"source": "x" * 256},
    "a list as an image": {"resource_after": [1]},
    "an image too deep": {"resource_after": nested(MAX_DEPTH)},
    "an image without a JSON form": {"resource_after": {"a": object()}},
    "a lone surrogate": {"resource_after": {"a": "\ud800"}},
    "an image that is too large": {"resource_after": {"a": "x" * 2**20}},
}


@pytest.mark.parametrize("fields", UNSENDABLE.values(), ids=UNSENDABLE)
def test_what_a_reader_would_refuse_is_refused_to_the_sender(fields: dict[str, Any]) -> None:
    with pytest.raises(EncodeError):
        Message.of(make_event(**fields))


def test_what_can_be_sent_is_returned_unchanged_by_the_check() -> None:
    event = make_event(**STORYBOARD_FIELDS)
    assert checked(event) is event


@given(events)
def test_what_may_be_sent_is_read_back_as_it_was(event: Event) -> None:
    try:
        message = Message.of(event)
    except EncodeError:
        return
    back = decode(
        message.body,
        id=message.id,
        time=message.time,
        source=message.source,
        traceparent=message.traceparent,
        tracestate=message.tracestate,
    )
    assert back == event


@given(st.dictionaries(st.sampled_from(WIRE_FIELDS) | st.text(), json_values).map(SMALLEST.__or__))
def test_what_was_read_can_be_stored_again(fields: dict[str, Any]) -> None:
    try:
        event = decode(json.dumps(fields).encode())
    except DecodeError:
        return
    assert wire(decode(event.encode())) == wire(event)


def test_ids_are_ordered_by_time_also_within_a_millisecond() -> None:
    made = [uuid7() for _ in range(5000)]
    assert len(set(made)) == len(made)
    out_of_order = sum(a.int > b.int for a, b in pairwise(made))
    assert out_of_order < 50


def test_an_id_is_a_version_7_uuid_of_now() -> None:
    made = uuid7()
    assert made.version == 7
    assert made.variant == "specified in RFC 4122"
    assert abs((made.int >> 80) / 1000 - datetime.now(UTC).timestamp()) < 60
