"""Bytes that are no event end in a DecodeError with a reason, and in nothing else."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventworker import wire
from eventworker.errors import DecodeError
from eventworker.event import decode

REST = b', "method": "POST", "resource": "story"}'
#: Each is one that some JSON reader accepts, or that takes one down.
POISON = {
    "nothing": b"",
    "blanks": b"  \n",
    "null": b"null",
    "a list": b"[]",
    "a number": b"1",
    "a string": b'"POST"',
    "true": b"true",
    "no JSON": b"<event/>",
    "half an object": b'{"method": "POST"',
    "two objects": b"{}{}",
    "a trailing comma": b'{"method": "POST", "resource": "story",}',
    "a comment": b'/* */{"method": "POST", "resource": "story"}',
    "single quotes": b"{'method': 'POST', 'resource': 'story'}",
    "no fields": b"{}",
    "no resource": b'{"method": "POST"}',
    "no method": b'{"resource": "story"}',
    "method null": b'{"method": null, "resource": "story"}',
    "method a number": b'{"method": 1, "resource": "story"}',
    "method empty": b'{"method": "", "resource": "story"}',
    "resource a list": b'{"method": "POST", "resource": ["story"]}',
    "resource too long": b'{"method": "POST", "resource": "%s"}' % (b"x" * 121),
    "an image that is a list": b'{"resource_after": []' + REST,
    "an image that is a string": b'{"resource_before": "x"' + REST,
    "an id that is an object": b'{"resource_id": {}' + REST,
    "an id that is a float": b'{"resource_id": 1.5' + REST,
    "an id that is true": b'{"resource_id": true' + REST,
    "status a string": b'{"status": "200"' + REST,
    "duplicate keys": b'{"method": "PUT"' + REST,
    "duplicate keys further in": b'{"resource_after": {"a": 1, "a": 2}' + REST,
    "NaN": b'{"resource_after": {"a": NaN}' + REST,
    "Infinity": b'{"resource_after": {"a": Infinity}' + REST,
    "-Infinity": b'{"resource_after": {"a": -Infinity}' + REST,
    "1e999": b'{"resource_after": {"a": 1e999}' + REST,
    "-1e999": b'{"resource_after": {"a": -1e999}' + REST,
    "a number of 5000 digits": b'{"resource_after": {"a": %s}' % (b"9" * 5000) + REST,
    "an id of 2**63": b'{"resource_id": 9223372036854775808' + REST,
    "an id below -2**63": b'{"resource_id": -9223372036854775809' + REST,
    "100,000 lists": b"[" * 100_000,
    "100,000 objects": b'{"a":' * 100_000,
    "100,000 levels that are closed": b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + REST,
    "65 levels": b'{"a":' + b"[" * 64 + b"]" * 64 + REST,
    "bad UTF-8": b'{"path": "\xff\xfe"' + REST,
    "overlong UTF-8": b'{"path": "\xc0\xaf"' + REST,
    "a surrogate in UTF-8": b'{"path": "\xed\xa0\x80"' + REST,
    "Latin-1": '{"path": "Grüße"'.encode("latin-1") + REST,
    "UTF-16": '{"method": "POST", "resource": "story"}'.encode("utf-16"),
    "UTF-16 without a mark": '{"method": "POST", "resource": "story"}'.encode("utf-16-le"),
    "UTF-32": '{"method": "POST", "resource": "story"}'.encode("utf-32"),
    "a byte order mark": b'\xef\xbb\xbf{"method": "POST", "resource": "story"}',
    "a lone surrogate": b'{"path": "\\ud800"' + REST,
    "a lone low surrogate": b'{"path": "x\\udfffx"' + REST,
    "surrogates the wrong way round": b'{"path": "\\udc0d\\ud83d"' + REST,
    "a lone surrogate in a key": b'{"resource_after": {"\\uD8aB": 1}' + REST,
    "a lone surrogate in an unknown field": b'{"more": ["\\ud800"]' + REST,
    "NUL in the method": b'{"method": "PO\\u0000ST", "resource": "story"}',
    "NUL in the resource": b'{"method": "POST", "resource": "st\\u0000ory"}',
    "NUL in the sub-resource": b'{"sub_resource": "\\u0000"' + REST,
    "NUL in an id": b'{"resource_id": "\\u0000"' + REST,
    "a raw NUL": b'{"path": "\x00"' + REST,
    "a raw line break in a string": b'{"path": "\n"' + REST,
    "a line break in the resource": b'{"method": "POST", "resource": "story\\n"}',
    "a path that is too long": b'{"path": "%s"' % (b"x" * 8193) + REST,
    "a body that is too large": b'{"path": ""' + b" " * 2**20 + REST,
}


@pytest.mark.parametrize("body", POISON.values(), ids=POISON)
def test_poison_is_refused_with_a_reason_and_its_bytes(body: bytes) -> None:
    with pytest.raises(DecodeError) as refused:
        decode(body)
    assert refused.value.reason
    assert refused.value.body is body
    assert len(refused.value.reason) < 500


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
