"""What is no event: one corpus for the decoder, the fuzzers' seeds and the tests with a broker."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from typing import Any

_SOUND = b'{"method": "POST", "resource": "story"}'
REST = b', "method": "POST", "resource": "story"}'


@dataclass(frozen=True)
class Poison:
    """One message that is no event.

    :ivar word: of the reason that an operator is to read.
    :ivar properties: what the publisher says beside the body.
    """

    body: bytes
    word: str
    properties: dict[str, Any] = field(default_factory=dict)


def _image(value: bytes) -> bytes:
    return b'{"resource_after": {"a": ' + value + b"}" + REST


#: By the word of the reason. Each is a body that some JSON reader accepts, or that takes one down.
_BODIES: dict[str, dict[str, bytes]] = {
    "not strict JSON": {
        "nothing": b"",
        "blanks": b"  \n",
        "no JSON": b"<event/>",
        "a pickle": b"\x80\x04\x95pickle?",
        "half an object": b'{"method": "POST"',
        "two objects": b"{}{}",
        "a trailing comma": b'{"method": "POST", "resource": "story",}',
        "a comment": b"/* */" + _SOUND,
        "single quotes": b"{'method': 'POST', 'resource': 'story'}",
        "a raw NUL": b'{"path": "\x00"' + REST,
        "a raw line break in a string": b'{"path": "\n"' + REST,
        "a number of 5000 digits": _image(b"9" * 5000),
        "UTF-16 without a mark": _SOUND.decode().encode("utf-16-le"),
    },
    "object is expected": {
        "null": b"null",
        "a list": b"[]",
        "a number": b"1",
        "a string": b'"POST"',
        "true": b"true",
    },
    "resource": {
        "no resource": b'{"method": "POST"}',
        "resource a list": b'{"method": "POST", "resource": ["story"]}',
        "resource a number": b'{"method": "POST", "resource": 7}',
        "resource too long": b'{"method": "POST", "resource": "%s"}' % (b"x" * 121),
        "NUL in the resource": b'{"method": "POST", "resource": "st\\u0000ory"}',
        "a line break in the resource": b'{"method": "POST", "resource": "story\\n"}',
        "an image that is a list": b'{"resource_after": []' + REST,
        "an image that is a string": b'{"resource_before": "x"' + REST,
        "an id that is an object": b'{"resource_id": {}' + REST,
        "an id that is a float": b'{"resource_id": 1.5' + REST,
        "an id that is true": b'{"resource_id": true' + REST,
        "an id of 2**63": b'{"resource_id": 9223372036854775808' + REST,
        "an id below -2**63": b'{"resource_id": -9223372036854775809' + REST,
        "NUL in an id": b'{"resource_id": "\\u0000"' + REST,
        "NUL in the sub-resource": b'{"sub_resource": "\\u0000"' + REST,
    },
    "method": {
        "no fields": b"{}",
        "no method": b'{"resource": "story"}',
        "method null": b'{"method": null, "resource": "story"}',
        "method a number": b'{"method": 1, "resource": "story"}',
        "method empty": b'{"method": "", "resource": "story"}',
        "NUL in the method": b'{"method": "PO\\u0000ST", "resource": "story"}',
    },
    "status": {
        "status a string": b'{"status": "200"' + REST,
        "status beyond 64 bits": b'{"status": %d' % 2**70 + REST,
    },
    "path": {"a path that is too long": b'{"path": "%s"' % (b"x" * 8193) + REST},
    "duplicate": {
        "duplicate keys": b'{"method": "PUT"' + REST,
        "duplicate keys further in": b'{"resource_after": {"a": 1, "a": 2}' + REST,
    },
    "NaN": {"NaN": _image(b"NaN")},
    "Infinity": {"Infinity": _image(b"Infinity"), "-Infinity": _image(b"-Infinity")},
    "too large": {"1e999": _image(b"1e999"), "-1e999": _image(b"-1e999")},
    "nested": {
        "100,000 lists": b"[" * 100_000,
        "100,000 objects": b'{"a":' * 100_000,
        "100,000 levels that are closed": b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + REST,
        "100 levels": _image(b"[" * 100 + b"]" * 100),
        "65 levels": b'{"a":' + b"[" * 64 + b"]" * 64 + REST,
    },
    "utf-8": {
        "bad UTF-8": b'{"path": "\xff\xfe"' + REST,
        "overlong UTF-8": b'{"path": "\xc0\xaf"' + REST,
        "a surrogate in UTF-8": b'{"path": "\xed\xa0\x80"' + REST,
        "Latin-1": '{"path": "Grüße"'.encode("latin-1") + REST,
        "UTF-16": _SOUND.decode().encode("utf-16"),
        "UTF-32": _SOUND.decode().encode("utf-32"),
    },
    "byte order mark": {"a byte order mark": b"\xef\xbb\xbf" + _SOUND},
    "lone surrogate": {
        "a lone surrogate": b'{"path": "\\ud800"' + REST,
        "a lone low surrogate": b'{"path": "x\\udfffx"' + REST,
        "surrogates the wrong way round": b'{"path": "\\udc0d\\ud83d"' + REST,
        "a lone surrogate in a key": b'{"resource_after": {"\\uD8aB": 1}' + REST,
        "a lone surrogate in an unknown field": b'{"more": ["\\ud800"]' + REST,
    },
    "the limit is": {
        "a body that is too large": b'{"path": ""' + b" " * 2**20 + REST,
        "2 MB of text": b'{"path": "%s"' % (b"x" * 2**21) + REST,
    },
}
#: A good body under a name that says it is something else, and what that name would be.
_LABELLED: dict[str, Poison] = {
    "a pickle by its name": Poison(
        _SOUND + b" ",
        "application/x-python-serialize",
        {"content_type": "application/x-python-serialize"},
    ),
    "YAML by its name": Poison(
        _SOUND + b"\n", "application/yaml", {"content_type": "application/yaml"}
    ),
    "text by its name": Poison(_SOUND + b"\t", "text/plain", {"content_type": "text/plain"}),
    "a name with a NUL": Poison(
        _SOUND + b"  ", "content type", {"content_type": "application/json\x00"}
    ),
    "compressed": Poison(gzip.compress(_SOUND, mtime=0), "'gzip'", {"content_encoding": "gzip"}),
    # 64 MiB of blanks in 64 kB: whoever unpacks it first and asks then has lost.
    "a gzip bomb": Poison(
        gzip.compress(_SOUND + b" " * 2**26, mtime=0),
        "'gzip'",
        {"content_type": "application/json", "content_encoding": "gzip"},
    ),
    "said to be compressed and not": Poison(
        _SOUND + b"\r\n", "'deflate'", {"content_encoding": "deflate"}
    ),
    "a batch of CloudEvents": Poison(
        b"[]  ", "batch", {"content_type": "application/cloudevents-batch+json"}
    ),
}

BODIES = {
    name: Poison(body, word) for word, named in _BODIES.items() for name, body in named.items()
}
POISON = {**BODIES, **_LABELLED}

#: Good bodies under headers that nobody should believe: they are events like any other.
STRANGE_HEADERS: dict[str, dict[str, Any]] = {
    "10,000 headers": {f"h{number}": True for number in range(10_000)},
    "a bogus x-death": {"x-death": [{"count": 2**40, "queue": "storyboard_events"}]},
    "an x-death that is a text": {"x-death": "yes"},
    "a bogus x-delivery-count": {"x-delivery-count": 2**62},
    "a delivery count below zero": {"x-delivery-count": -1},
    "a time that is none": {"time": "tomorrow"},
    "a time that is a table": {"time": {"a": []}},
    "a source that is a number": {"source": 7},
    "a trace that is a list": {"traceparent": ["00"], "tracestate": {}},
}


def sound(number: int) -> bytes:
    """An event's body, told from others by its resource id."""
    return json.dumps({"method": "POST", "resource": "story", "resource_id": number}).encode()
