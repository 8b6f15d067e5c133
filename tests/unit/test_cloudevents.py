"""CloudEvents 1.0: what we write is read back as it was, and a stranger's event is understood or
refused with its own reason."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from eventworker import cloudevents, wire
from eventworker.cloudevents import NAMESPACE, decode, encode
from eventworker.errors import DecodeError, EncodeError
from eventworker.event import MAX_BODY_BYTES, MAX_DEPTH, WIRE_FIELDS, Event
from tests.helpers.events import (
    STORYBOARD_FIELDS,
    TRACEPARENT,
    TRACESTATE,
    events,
    make_event,
    nested,
)

ID = UUID("01976a4e-0000-7000-8000-000000000001")
WHEN = datetime(2026, 11, 21, 7, 8, 9, 123456, UTC)


def ours(**fields: Any) -> Event:
    known = {"id": ID, "time": WHEN, "source": "tracker"}
    return make_event(**{**known, **fields})


def written(event: Event, **options: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(encode(event, **options))
    return found


def foreign(**attributes: Any) -> bytes:
    """A stranger's event; an attribute that is `...` is left out."""
    whole = {
        "specversion": "1.0",
        "id": "A234-1234-1234",
        "source": "https://example.com/shop",
        "type": "com.example.order.created",
        **attributes,
    }
    return json.dumps({name: each for name, each in whole.items() if each is not ...}).encode()


def change(event: Event) -> dict[str, Any]:
    return {name: value for name in WIRE_FIELDS if (value := getattr(event, name)) is not None}


def test_an_event_is_written_as_the_documentation_shows() -> None:
    event = ours(**STORYBOARD_FIELDS, traceparent=TRACEPARENT, tracestate=TRACESTATE)
    assert written(event) == {
        "specversion": "1.0",
        "id": str(ID),
        "source": "tracker",
        "type": "org.eventworker.story.put",
        "subject": "story/12",
        "time": "2026-11-21T07:08:09.123456Z",
        "datacontenttype": "application/json",
        "traceparent": TRACEPARENT,
        "tracestate": TRACESTATE,
        "data": STORYBOARD_FIELDS,
    }


def test_what_is_unknown_is_left_out() -> None:
    fields = written(make_event(resource_id=None, source=""), source="urn:x", type_prefix="com.x")
    assert (fields["source"], fields["type"], fields["subject"]) == (
        "urn:x",
        "com.x.story.post",
        "story",
    )
    assert not {"traceparent", "tracestate"} & fields.keys()


@pytest.mark.parametrize(
    ("place", "subject"),
    [
        ((42, None, None), "story/42"),
        ((42, "comment", 7), "story/42/comment/7"),
        ((42, "comment", None), "story/42/comment"),
        ((None, "comment", 7), "story//comment/7"),
        (("a/b c", None, None), "story/a%2Fb%20c"),
        (("ž\x80", None, None), "story/%C5%BE%C2%80"),
    ],
)
def test_the_subject_is_a_path(place: tuple[Any, Any, Any], subject: str) -> None:
    names = ("resource_id", "sub_resource", "sub_resource_id")
    assert written(ours(**dict(zip(names, place, strict=True))))["subject"] == subject


@pytest.mark.parametrize(
    ("source", "uri"),
    [
        ("tracker", "tracker"),
        ("https://example.com:80/a?b=c#d", "https://example.com:80/a?b=c#d"),
        ("urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66",) * 2,
        ("1-555-123-4567",) * 2,
        ("http://[::1]/x",) * 2,
        ("/a%20b",) * 2,
        ("my tracker", "my%20tracker"),
        ("Žofie", "%C5%BDofie"),
        ("100%", "100%25"),
        ("1:2", "1%3A2"),
        ("a#b#c", "a%23b%23c"),
    ],
)
def test_a_source_is_a_uri_reference_or_made_one(source: str, uri: str) -> None:
    assert written(ours(source=source))["source"] == uri


LONG_AGO, FAR_AWAY = (WHEN.replace(year=year, tzinfo=None) for year in (1970, 9998))
BESIDE = st.fixed_dictionaries(
    {
        "id": st.uuids(),
        "time": st.datetimes(LONG_AGO, FAR_AWAY, timezones=st.just(UTC)),
        "source": st.sampled_from(["tracker", "https://example.com/a?b#c", "urn:x:y", "/%20"]),
        "traceparent": st.sampled_from([None, TRACEPARENT]),
    }
)


@given(events, BESIDE)
def test_what_is_written_is_read_back_as_it_was(event: Event, beside: dict[str, Any]) -> None:
    event = msgspec.structs.replace(event, **beside)
    try:
        body = encode(event)
    except EncodeError:
        return
    assert decode(body) == event


def test_an_event_without_a_source_has_the_configured_one_afterwards() -> None:
    assert decode(encode(ours(source=""))) == ours(source="urn:eventworker")
    assert decode(encode(ours(source=""), source="/us")) == ours(source="/us")


@given(st.text(max_size=255))
@example("0000000%%" + "\x80" * 40 + "\u0800")
def test_any_source_that_may_be_sent_is_a_plain_text_on_the_wire(source: str) -> None:
    try:
        body = encode(ours(source=source))
    except EncodeError:
        return
    uri = json.loads(body)["source"]
    assert uri.isascii()
    assert uri.isprintable()
    assert " " not in uri
    # Once written it stays what it is, as far as there is room for whole escapes.
    again = written(decode(body))["source"]
    assert uri.startswith(again)
    assert again == uri or 253 <= len(again) <= 255


def test_the_largest_and_the_deepest_event_fit() -> None:
    room = MAX_BODY_BYTES - len(make_event(resource_after={"a": ""}).encode())
    large = ours(resource_after={"a": "x" * room}, source="x" * 255)
    assert decode(encode(large)) == large
    deep = ours(resource_after=nested(MAX_DEPTH - 1))
    assert decode(encode(deep)) == deep
    with pytest.raises(EncodeError):
        encode(ours(resource_after=nested(MAX_DEPTH)))
    with pytest.raises(DecodeError, match="deeper"):
        decode(foreign(data=nested(MAX_DEPTH + 1)))
    with pytest.raises(DecodeError, match="the limit is"):
        decode(foreign(data={"a": "x" * (MAX_BODY_BYTES + 40_000)}))


def test_attributes_of_others_are_ignored_and_null_is_unset() -> None:
    body = foreign(
        subject=None, time=None, dataschema="x", comexampleothervalue=5, data=STORYBOARD_FIELDS
    )
    assert change(decode(body)) == {k: v for k, v in STORYBOARD_FIELDS.items() if v is not None}


def test_a_uuid_is_the_identity_and_another_id_makes_one_with_its_source() -> None:
    assert decode(foreign(id=str(ID))).id == ID
    assert decode(foreign(id=str(ID).upper(), source="/other")).id == ID
    one = decode(foreign(id="7")).id
    assert one == uuid5(NAMESPACE, "https://example.com/shop\n7")
    assert str(NAMESPACE) == "bb029af4-db24-5ccf-92da-7e3ecfc5d29a"
    assert decode(foreign(id="7", time="2026-01-01T00:00:00Z")).id == one
    assert decode(foreign(id="7", source="https://example.com/sho")).id != one
    assert decode(foreign(id="8")).id != one


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("2018-04-05T17:31:00Z", datetime(2018, 4, 5, 17, 31, tzinfo=UTC)),
        ("2018-04-05t17:31:00.5z", datetime(2018, 4, 5, 17, 31, 0, 500_000, UTC)),
        ("2018-04-05T17:31:00.123456789+02:00", datetime(2018, 4, 5, 15, 31, 0, 123456, UTC)),
    ],
)
def test_a_timestamp_is_read(text: str, when: datetime) -> None:
    assert decode(foreign(time=text)).time == when


def test_a_time_that_no_database_can_say_counts_as_unknown() -> None:
    assert decode(foreign(time="1066-10-14T09:00:00Z"), time=WHEN).time == WHEN
    assert decode(foreign(), time=WHEN).time == WHEN


def test_the_trace_context_of_the_event_wins_over_that_of_its_last_hop() -> None:
    hop = TRACEPARENT.replace("b7ad", "cccc")
    event = decode(foreign(traceparent=TRACEPARENT), traceparent=hop, tracestate=TRACESTATE)
    assert (event.traceparent, event.tracestate) == (TRACEPARENT, None)
    event = decode(foreign(), traceparent=hop, tracestate=TRACESTATE)
    assert (event.traceparent, event.tracestate) == (hop, TRACESTATE)
    assert decode(foreign(traceparent=5, tracestate=[])).traceparent is None


FOREIGN: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "created": (
        {"data": {"total": 5}, "subject": "42"},
        {"method": "POST", "resource": "order", "resource_id": 42, "resource_after": {"total": 5}},
    ),
    "deleted": (
        {"type": "com.example.order.deleted.v2", "data": {"total": 5}, "subject": "A-1"},
        {
            "method": "DELETE",
            "resource": "order",
            "resource_id": "A-1",
            "resource_before": {"total": 5},
        },
    ),
    "no data": (
        {"type": "order.Updated", "subject": "order/042"},
        {"method": "PUT", "resource": "order", "resource_id": "042"},
    ),
    "a path": (
        {"type": "order.patched", "subject": "/order/7/line/b%2F1"},
        {
            "method": "PATCH",
            "resource": "order",
            "resource_id": 7,
            "sub_resource": "line",
            "sub_resource_id": "b/1",
        },
    ),
    "a path of something else": (
        {"subject": "partnerid/5:clientid/100"},
        {"method": "POST", "resource": "order", "resource_id": "partnerid/5:clientid/100"},
    ),
    "a path that is too long": (
        {"subject": "order/1/line/2/piece/3"},
        {"method": "POST", "resource": "order", "resource_id": "order/1/line/2/piece/3"},
    ),
    "only the resource": ({"subject": "order"}, {"method": "POST", "resource": "order"}),
    "an id beyond 64 bits": (
        {"subject": str(2**63)},
        {"method": "POST", "resource": "order", "resource_id": str(2**63)},
    ),
    "data that is half ours": (
        {"data": {"method": "card"}},
        {"method": "POST", "resource": "order", "resource_after": {"method": "card"}},
    ),
    "data of another JSON type": (
        {"datacontenttype": "application/vnd.shop+JSON; charset=utf-8", "data": {}},
        {"method": "POST", "resource": "order", "resource_after": {}},
    ),
    "a type of ours": (
        {"type": "org.eventworker.story.put", "subject": "story/1"},
        {"method": "PUT", "resource": "story", "resource_id": 1},
    ),
}


@pytest.mark.parametrize(("attributes", "expected"), FOREIGN.values(), ids=FOREIGN)
def test_of_a_strangers_event_type_and_subject_tell_the_change(
    attributes: dict[str, Any], expected: dict[str, Any]
) -> None:
    event = decode(foreign(**attributes))
    assert change(event) == expected
    assert event.source == "https://example.com/shop"


REFUSED: dict[str, tuple[bytes, str]] = {
    "no specversion": (foreign(specversion=...), "attribute specversion is missing"),
    "an old version": (foreign(specversion="0.3"), "CloudEvents '0.3' is not read"),
    "a new version": (foreign(specversion="2.0"), "CloudEvents '2.0' is not read"),
    "a version that is a number": (foreign(specversion=1.0), "specversion has to be text"),
    "no id": (foreign(id=...), "attribute id is missing"),
    "id null": (foreign(id=None), "attribute id is missing"),
    "id empty": (foreign(id=""), "attribute id has to be text, not empty"),
    "id a number": (foreign(id=5), "attribute id has to be text"),
    "NUL in the id": (foreign(id="a\x00"), "id has to be text, not empty and without control"),
    "no source": (foreign(source=...), "attribute source is missing"),
    "a line break in the source": (foreign(source="a\nb"), "attribute source has to be text"),
    "no type": (foreign(type=...), "attribute type is missing"),
    "a C1 control in the type": (foreign(type="a\x85b"), "attribute type has to be text"),
    "a batch": (b"[%s]" % foreign(), "a batch of CloudEvents is not read"),
    "a batch after blanks": (b" \n[]", "a batch of CloudEvents is not read"),
    "binary data": (foreign(data_base64="eyJ9"), "data_base64 is not read"),
    "XML": (foreign(datacontenttype="text/xml", data="<a/>"), "datacontenttype 'text/xml'"),
    "a content type that is a number": (foreign(datacontenttype=5), "datacontenttype '5'"),
    "a list as data": (foreign(data=[1]), "data has to be a JSON object, not list"),
    "a text as data": (foreign(data="x"), "data has to be a JSON object, not str"),
    "no such day": (foreign(time="2026-02-30T00:00:00Z"), "time is no RFC 3339 timestamp"),
    "a day only": (foreign(time="2026-02-03"), "time is no RFC 3339 timestamp"),
    "no zone": (foreign(time="2026-02-03T04:05:06"), "time is no RFC 3339 timestamp"),
    "a time that is a number": (foreign(time=5), "time is no RFC 3339 timestamp"),
    "a type that tells no change": (foreign(type="com.example.order.shipped"), "type '"),
    "a type of one word": (foreign(type="created"), "type 'created' does not end in"),
    "a type that is a version": (foreign(type="v1"), "type 'v1' does not end in"),
    "a subject that is no text": (foreign(subject=5), "attribute subject has to be text"),
    "a subject that is too long": (foreign(subject="x" * 256), "at `$.resource_id`"),
    "no resource": (foreign(type=".created"), "at `$.resource`"),
    "our data, out of bounds": (foreign(data={"method": 5, "resource": "x"}), "at `$.method`"),
    "not strict JSON": (b'{"specversion": "1.0", "id": NaN}', "not strict JSON"),
    "a key twice": (b'{"id": "1", "id": "2"}', "duplicate keys"),
    "a lone surrogate": (foreign(id="\ud800"), "a lone surrogate"),
    "no object": (b"5", "a JSON object is expected"),
}


@pytest.mark.parametrize(("body", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_event_is_refused_with_its_own_reason(body: bytes, reason: str) -> None:
    with pytest.raises(DecodeError) as refused:
        decode(body)
    assert reason in refused.value.reason
    assert refused.value.body is body
    assert len(refused.value.reason) < 500


@given(st.dictionaries(st.text(max_size=20), st.none() | st.text() | st.integers(), max_size=3))
def test_any_object_is_read_or_refused_and_nothing_else(attributes: dict[str, Any]) -> None:
    try:
        event = decode(foreign(**attributes))
    except DecodeError:
        return
    assert decode(encode(event)).id == event.id


@pytest.mark.parametrize(
    ("content_type", "is_one"),
    [
        ("application/cloudevents+json", True),
        ("Application/CloudEvents+JSON; charset=utf-8", True),
        ("application/cloudevents-batch+json", True),
        ("application/cloudevents+avro", True),
        ("application/json", False),
        ("", False),
        (None, False),
    ],
)
def test_the_content_type_says_whether_it_is_one(content_type: str | None, is_one: bool) -> None:
    assert cloudevents.is_named_by(content_type) is is_one
    assert wire.has_own_id(content_type) is is_one


@pytest.mark.parametrize(
    "spelling", ["application/cloudevents+json ;x=y", "APPLICATION/cloudEvents+json"]
)
def test_each_format_is_read_as_its_content_type_says(spelling: str) -> None:
    event = ours()
    assert wire.read(encode(event), spelling, id=UUID(int=5), source="no") == event
    body, known = event.encode(), {"id": ID, "time": WHEN, "source": "tracker"}
    for content_type in (None, "application/json", "application/x+json", ""):
        assert wire.read(body, content_type, **known) == event  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("content_type", "reason"),
    [
        ("application/cloudevents-batch+json", "a batch of CloudEvents"),
        ("application/cloudevents+avro", r"application/cloudevents\+avro is not read"),
        ("application/cloudevents", "application/cloudevents is not read"),
    ],
)
def test_another_format_of_cloudevents_is_refused_by_name(content_type: str, reason: str) -> None:
    with pytest.raises(DecodeError, match=reason):
        wire.read(foreign(), content_type)
