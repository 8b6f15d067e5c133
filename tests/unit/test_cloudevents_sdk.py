"""The CloudEvents project's own Python SDK reads what we write, and we read what it writes."""

from typing import Any

from cloudevents.core.bindings.rabbitmq import RabbitMQMessage, from_rabbitmq, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given

from eventworker import cloudevents, wire
from eventworker.errors import EncodeError
from eventworker.event import Event
from tests.helpers.events import STORYBOARD_FIELDS, TRACEPARENT, events, make_event


def by_sdk(body: bytes) -> Any:
    return from_rabbitmq(RabbitMQMessage({}, cloudevents.CONTENT_TYPE, body), JSONFormat())


def test_the_sdk_reads_what_we_write() -> None:
    event = make_event(**STORYBOARD_FIELDS, source="tracker", traceparent=TRACEPARENT)
    found = by_sdk(cloudevents.encode(event))
    assert found.get_specversion() == "1.0"
    assert found.get_id() == str(event.id)
    assert found.get_source() == "tracker"
    assert found.get_type() == "org.eventworker.story.put"
    assert found.get_subject() == "story/12"
    assert found.get_time() == event.time
    assert found.get_datacontenttype() == "application/json"
    assert found.get_extension("traceparent") == TRACEPARENT
    assert found.get_data() == STORYBOARD_FIELDS


@given(events)
def test_an_event_that_went_through_the_sdk_is_still_the_same(event: Event) -> None:
    try:
        body = cloudevents.encode(event)
    except EncodeError:
        return
    again = to_structured(by_sdk(body), JSONFormat())
    assert wire.read(again.body, again.content_type) == cloudevents.decode(body)


def test_we_read_what_the_sdk_writes() -> None:
    made = CloudEvent(
        {"type": "com.example.order.created", "source": "/shop", "id": "7", "subject": "order/42"},
        {"total": 5},
    )
    message = to_structured(made, JSONFormat())
    event = wire.read(message.body, message.content_type)
    assert (event.method, event.resource, event.resource_id) == ("POST", "order", 42)
    assert event.resource_after == {"total": 5}
    assert event.time == made.get_time()
