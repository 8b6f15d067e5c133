"""Bytes that are no event end in a DecodeError with a reason, and in nothing else."""

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventworker import cloudevents, wire
from eventworker.errors import DecodeError, EncodeError
from eventworker.event import WIRE_FIELDS, Event, checked, decode
from tests.helpers.events import events, json_values
from tests.helpers.poison import POISON, REST, Poison, sound


@pytest.mark.parametrize("poison", POISON.values(), ids=POISON)
def test_poison_is_refused_with_a_reason_and_its_bytes(poison: Poison) -> None:
    with pytest.raises(DecodeError) as refused:
        wire.read(poison.body, **{"content_type": None, **poison.properties})
    assert poison.word.lower() in refused.value.reason.lower()
    assert refused.value.body is poison.body
    assert len(refused.value.reason) < 500


@pytest.mark.parametrize(
    "label",
    [
        {"content_type": None},
        {"content_type": ""},
        {"content_type": "application/json"},
        {"content_type": "Application/JSON; charset=utf-8"},
        {"content_type": "text/json"},
        {"content_type": "application/vnd.storyboard.event+json"},
        {"content_type": "application/json", "content_encoding": "utf-8"},
        {"content_type": None, "content_encoding": "UTF8"},
        {"content_type": None, "content_encoding": ""},
    ],
)
def test_what_publishers_call_json_is_read(label: dict[str, str | None]) -> None:
    assert wire.read(sound(7), **{"content_type": None, **label}).resource_id == 7


@pytest.mark.parametrize("name", ["json", "application/jsonx", "application/+json/x", "x" * 255])
def test_what_only_resembles_json_by_its_name_is_not_read(name: str) -> None:
    with pytest.raises(DecodeError, match="content type"):
        wire.read(sound(7), name)


def test_a_packed_body_is_not_unpacked() -> None:
    """The bomb in the corpus says 64 MiB; the refusal needs next to nothing."""
    bomb = POISON["a gzip bomb"]
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError):
            wire.read(bomb.body, **bomb.properties)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_the_frame_of_the_corpus_is_sound() -> None:
    """Without the poison it is read: each case above fails for its own reason."""
    assert decode(b'{"path": "/"' + REST).path == "/"


def test_a_body_that_grows_beyond_what_the_tables_hold_is_refused() -> None:
    """It would be found out when the event is to be stored, where nothing can be done about it."""
    numbers = b",".join([b"1e15"] * 2**20)
    body = b'{"resource_after": {"": [' + numbers + b"]}" + REST
    with pytest.raises(DecodeError, match="with its numbers written in full"):
        wire.read(body, None, max_bytes=2**24)
    shorter = body.replace(b"1e15", b"1000")
    assert wire.read(shorter, None, max_bytes=2**24).encode(2**24)


def test_nul_in_text_and_images_is_no_reason() -> None:
    event = decode(b'{"path": "\\u0000", "resource_after": {"\\u0000": "\\u0000"}' + REST)
    assert event.path == "\x00"
    assert event.resource_after == {"\x00": "\x00"}


@given(st.binary())
def test_arbitrary_bytes_are_read_or_refused_and_nothing_else(body: bytes) -> None:
    try:
        decode(body)
    except DecodeError:
        return


#: Pieces of JSON in any order get further into the reader than bytes do.
PIECES = st.sampled_from(
    [
        *(b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"\\u", b"d800", b"\xff", b"\x00"),
        *(b"NaN", b"-", b"1e999", b"0", b'"method"', b'"resource"', b'"POST"'),
        b'{"path":"/"' + REST,
    ]
)


@given(st.lists(PIECES).map(b"".join))
def test_pieces_of_json_are_read_or_refused_and_nothing_else(body: bytes) -> None:
    try:
        decode(body)
    except DecodeError:
        return


@given(st.integers(0, 200), st.sampled_from([b"{", b"}", b'"', b"\xff", b"9", b""]))
def test_a_damaged_body_is_read_or_refused_and_nothing_else(place: int, byte: bytes) -> None:
    sound = json.dumps({"method": "POST", "resource": "story", "path": "/é" * 20}).encode()
    try:
        decode(sound[:place] + byte + sound[place + 1 :])
    except DecodeError:
        return


#: The right names with whatever in them, under any label.
almost_events = st.dictionaries(st.sampled_from(WIRE_FIELDS) | st.text(max_size=5), json_values)
labels = st.sampled_from([None, "application/json", "text/x+json", cloudevents.CONTENT_TYPE])


@given(almost_events, labels)
def test_an_almost_event_is_read_or_refused_and_nothing_else(
    fields: dict[str, object], label: str | None
) -> None:
    body = json.dumps({"method": "PUT", "resource": "story", **fields}).encode()
    try:
        wire.read(body, label)
    except DecodeError as refused:
        assert len(str(refused)) < 500  # noqa: PT017 - either is right


@given(events)
def test_what_is_written_is_read_as_the_same_event(event: Event) -> None:
    """Where it is within the bounds of the wire at all."""
    try:
        body = checked(event).encode()
    except EncodeError:
        return
    assert wire.read(body, None, id=event.id, time=event.time) == event
