"""Events written as JSON lines."""

import io
import json
import os
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from eventworker import cloudevents
from eventworker.cli.lines import Line, chunks, message
from eventworker.errors import DecodeError, EncodeError, EventworkerError
from eventworker.event import MAX_BODY_BYTES
from eventworker.transport import Message
from tests.helpers.events import TRACEPARENT, TRACESTATE, make_event

ID = "01976a4e-0000-7000-8000-000000000001"


def line(**fields: Any) -> bytes:
    return json.dumps({"method": "POST", "resource": "story", **fields}).encode()


def test_id_time_and_source_travel_beside_the_body() -> None:
    made = message(line(id=ID, time="2026-11-21T08:00:00+01:00", source="import"), MAX_BODY_BYTES)

    assert made.id == UUID(ID)
    assert made.time == datetime(2026, 11, 21, 7, tzinfo=UTC)
    assert made.source == "import"
    assert made.resource == "story"
    assert not {"id", "time", "source"} & json.loads(made.body).keys()


def test_a_trace_context_travels_beside_the_body() -> None:
    made = message(line(traceparent=TRACEPARENT, tracestate=TRACESTATE), MAX_BODY_BYTES)
    assert (made.traceparent, made.tracestate) == (TRACEPARENT, TRACESTATE)
    assert not {"traceparent", "tracestate"} & json.loads(made.body).keys()


def test_a_line_may_be_a_cloudevent() -> None:
    event = make_event(source="import", traceparent=TRACEPARENT)
    made = message(cloudevents.encode(event), MAX_BODY_BYTES)
    assert made == Message.of(event)


def test_a_cloudevent_that_is_none_is_refused_with_the_reason() -> None:
    with pytest.raises(DecodeError, match="attribute id is missing"):
        message(line(specversion="1.0"), MAX_BODY_BYTES)


def test_the_limit_of_a_cloudevent_is_that_of_its_data() -> None:
    event = make_event(source="import", url="x" * 1700)
    assert message(cloudevents.encode(event), 2048) == Message.of(event)
    with pytest.raises(EncodeError, match="the limit is 1024"):
        message(cloudevents.encode(event), 1024)


def test_they_may_be_missing_or_null() -> None:
    one, two = (message(line(id=None, source=None), MAX_BODY_BYTES) for _ in range(2))
    assert one.id != two.id
    assert one.source == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"{", "not strict JSON"),
        (b"[]", "a JSON object is expected"),
        (b'{"method": "POST", "resource": "story", "method": "PUT"}', "duplicate keys"),
        (b"[" * 100_000, "nested deeper"),
        (b'{"method": "POST"}', "resource"),
        (line(resourc_id=1), "unknown field resourc_id; events have author_id, "),
        (line(id="seventeen"), "Invalid UUID"),
        (line(time="2026-11-21T07:00:00"), "timezone"),
        (line(time=5), "Expected `datetime"),
        (line(source="a\nb"), "source"),
        (line(source="x" * 300), "source"),
        (line(traceparent="x"), "traceparent or tracestate is no W3C trace context"),
        (line(traceparent=TRACEPARENT, tracestate="x"), "no W3C trace context"),
        (line(tracestate=TRACESTATE), "no W3C trace context"),
        (line(traceparent=5), "traceparent"),
    ],
)
def test_what_is_no_event_is_refused_with_the_reason(text: bytes, expected: str) -> None:
    with pytest.raises(DecodeError, match=expected):
        message(text, MAX_BODY_BYTES)


def test_an_event_too_large_for_the_wire_is_refused() -> None:
    with pytest.raises(EncodeError, match="the limit is 2000"):
        message(line(url="x" * 2000), 2000)
    with pytest.raises(EventworkerError):
        message(line(url="x" * 8000), 2000)


def test_lines_are_numbered_and_empty_ones_skipped() -> None:
    found = list(chunks(io.BufferedReader(io.BytesIO(b"a\n\n  \nb\nc"))))  # type: ignore[arg-type]
    assert [each for chunk in found for each in chunk] == [
        Line(1, b"a"),
        Line(4, b"b"),
        Line(5, b"c"),
    ]


def test_a_line_that_has_arrived_is_not_held_back_until_more_come() -> None:
    read_end, write_end = os.pipe()
    with open(read_end, "rb") as stream, open(write_end, "wb", buffering=0) as pipe:
        arriving = chunks(stream)
        pipe.write(b"one\ntw")
        assert next(arriving) == [Line(1, b"one")]
        pipe.write(b"o\n")
        assert next(arriving) == [Line(2, b"two")]
