"""A forged event at the broker is kept with the reason and reaches no plugin."""

import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any

import pika
import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from eventworker import outbox
from eventworker.db import short_transaction
from eventworker.engine.relay import Relay
from eventworker.event import Event
from eventworker.inbox.operations import quarantined
from eventworker.inbox.quarantine import quarantine_table
from eventworker.signature import HEADER, Signatures
from eventworker.transport import Message
from eventworker.transports.rabbit import RabbitTransport
from eventworker.transports.rabbit.settings import signed_part
from tests.helpers.databases import effects, rows
from tests.helpers.deliveries import take
from tests.helpers.events import TRACEPARENT, make_event
from tests.helpers.plugins import Plugin, Workshop, loaded, time_limits
from tests.helpers.rabbit import channel_at, consumers, has_queue, send_raw, settings_at
from tests.servers import Vhost, wait_until

KEY = {"k1": b"k" * 32}
REQUIRED = Signatures(KEY, "require")


@pytest.fixture(autouse=True)
def _limits() -> Iterator[None]:
    with time_limits():
        yield


class Place:
    """A consumer that wants signatures, and what its plugin was called with."""

    def __init__(self, engine: Engine, vhost: Vhost, signatures: Signatures = REQUIRED) -> None:
        self.engine = engine
        self.vhost = vhost
        self.events: list[Event] = []
        self.plugin = Plugin("a", lambda _session, event: self.events.append(event))
        self.shop = Workshop(engine, loaded(self.plugin))
        self.transport = RabbitTransport(settings_at(vhost, signatures=signatures))
        self.subscription = self.transport.subscribe(10)
        wait_until(lambda: has_queue(vhost) and consumers(vhost) > 0, 10, "nobody consumes")

    def close(self) -> None:
        self.subscription.close()
        self.transport.close()

    def handle(self, count: int = 1) -> None:
        for delivery in take(self.subscription, count):
            self.shop.dispatcher.dispatch(delivery)

    def publish(self, event: Event) -> None:
        assert self.transport.publish([Message.of(event)]) == [None]

    def reasons(self) -> list[str]:
        return [row.reason for row in rows(self.engine, quarantine_table)]


@pytest.fixture
def open_place(vhost: Vhost) -> Iterator[Callable[..., Place]]:
    made: list[Place] = []

    def build(engine: Engine, signatures: Signatures = REQUIRED) -> Place:
        made.append(Place(engine, vhost, signatures))
        return made[-1]

    yield build
    for place in made:
        place.close()


def captured(place: Place, event: Event) -> tuple[pika.BasicProperties, bytes]:
    """The event as it lies in the queue, signed: what somebody who may read it gets hold of."""
    with channel_at(place.vhost) as channel:
        copies = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(copies, "storyboard", routing_key="#")
        place.publish(event)
        _, properties, body = channel.basic_get(copies, auto_ack=True)
    return properties, body


def send_again(
    place: Place, properties: pika.BasicProperties, body: bytes, key: str = "story", **changes: Any
) -> None:
    """As somebody does who may publish and has no key."""
    for name, value in changes.items():
        setattr(properties, name, value)
    fields = ("message_id", "content_type", "app_id", "timestamp", "headers", "delivery_mode")
    send_raw(place.vhost, body, key, **{name: getattr(properties, name) for name in fields})


def test_what_the_relay_signs_is_handled(engine: Engine, open_place: Callable[..., Place]) -> None:
    place = open_place(engine)
    with Session(engine) as session:
        event = outbox.record(session, make_event(source="tracker", traceparent=TRACEPARENT))
        session.commit()
    assert Relay(engine, place.transport, 100, "host/1/1").run_once() == 1
    place.handle()
    assert place.events == [event]
    assert place.reasons() == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"headers": None}, "there is none"),
        ({"message_id": "01976a4e-0000-7000-8000-0000000000ff"}, "does not fit"),
        ({"body": b'{"method": "DELETE", "resource": "story"}'}, "does not fit"),
        ({"key": "user"}, "does not fit"),
        ({"timestamp": 1}, "does not fit"),
        ({"content_type": "application/cloudevents+json"}, "does not fit"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_is_altered_reaches_no_plugin_and_is_kept(
    sqlite_engine: Engine, open_place: Callable[..., Place], changes: dict[str, Any], reason: str
) -> None:
    place = open_place(sqlite_engine)
    event = make_event()
    properties, body = captured(place, event)
    send_again(place, properties, **{"body": body, **changes})
    place.handle(2)
    assert place.events == [event]
    (kept,) = place.reasons()
    assert kept.startswith("signature: ")
    assert reason in kept


def test_a_key_that_is_not_ours_is_not_believed(
    sqlite_engine: Engine, open_place: Callable[..., Place]
) -> None:
    place = open_place(sqlite_engine)
    strangers = open_place(sqlite_engine, Signatures({"k1": b"x" * 32}))
    strangers.subscription.close()
    strangers.publish(make_event())
    place.handle()
    assert place.events == []
    assert "does not fit" in place.reasons()[0]


def test_a_copy_under_the_same_id_is_absorbed_by_the_inbox(
    engine: Engine, open_place: Callable[..., Place]
) -> None:
    place = open_place(engine)
    properties, body = captured(place, make_event())
    send_again(place, properties, body)
    place.handle(2)
    assert effects(engine) == ["a"]
    assert place.reasons() == []


def test_a_copy_that_outlives_the_inbox_is_not_believed(
    sqlite_engine: Engine, open_place: Callable[..., Place]
) -> None:
    place = open_place(sqlite_engine)
    properties, body = captured(place, make_event())
    place.handle()
    signed = dataclasses.replace(
        signed_part("story", properties, body),
        headers={name: value for name, value in properties.headers.items() if name != HEADER},
    )
    old = REQUIRED.sign(signed, time.time() - 14 * 86400)
    send_again(place, properties, body, headers={**signed.headers, HEADER: old})
    place.handle()
    assert len(place.events) == 1
    assert "inbox_days" in place.reasons()[0]


def test_while_signatures_are_introduced_unsigned_events_are_handled(
    sqlite_engine: Engine, open_place: Callable[..., Place]
) -> None:
    place = open_place(sqlite_engine, Signatures(KEY, "accept"))
    event = make_event()
    properties, body = captured(place, event)
    send_again(place, properties, body, headers=None, message_id=str(make_event().id))
    send_again(place, properties, b"{}", headers={HEADER: "v1 k1 1 " + "0" * 64})
    place.handle(3)
    assert len(place.events) == 2
    assert len(place.reasons()) == 1


def test_what_was_not_believed_is_not_let_in_by_a_retry_of_the_quarantine(
    engine: Engine, open_place: Callable[..., Place]
) -> None:
    place = open_place(engine)
    send_raw(place.vhost, make_event().encode(), message_id=str(make_event().id))
    place.handle()
    (row,) = rows(engine, quarantine_table)
    with short_transaction(engine) as connection:
        refused = quarantined.retry(connection, row.id, 2**20)
        assert refused == quarantined.refusal(connection, row.id, 2**20)
        assert refused is not None
        assert "send it again, signed" in refused
    assert len(place.reasons()) == 1
    assert place.events == []


def test_the_author_is_never_taken_from_a_header(
    sqlite_engine: Engine, open_place: Callable[..., Place]
) -> None:
    place = open_place(sqlite_engine, Signatures({}))
    headers = {"author_id": 1, "author": 1, "user_id": 1}
    send_raw(place.vhost, make_event(author_id=7).encode(), headers=headers, type="1")
    place.handle()
    assert [event.author_id for event in place.events] == [7]
