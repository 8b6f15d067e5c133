"""Messages on their way to the broker: their form on the wire, and what became of each."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import pika

from eventworker import cloudevents
from eventworker.errors import TransportError, TransportUnavailable
from eventworker.event import decode
from eventworker.transport import Message
from eventworker.transports.rabbit.settings import RabbitSettings

UNCONFIRMED = "not confirmed by the broker"
_CONTENT_TYPES = {"storyboard": "application/json", "cloudevents": cloudevents.CONTENT_TYPE}


class Batch:
    """The messages of one ``publish`` call, and what became of each."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self.messages = messages
        self.unconfirmed: TransportError = TransportUnavailable(UNCONFIRMED)
        self.results: dict[int, TransportError | None] = {}
        self.left = len(messages)
        self.done = threading.Event()

    def answer(self) -> list[TransportError | None]:
        """What became of each message, as far as it is known."""
        return [self.results.get(index, self.unconfirmed) for index in range(len(self.messages))]

    def settle(self, index: int, error: TransportError | None) -> None:
        self.results[index] = error
        self.left -= 1
        if self.left == 0:
            self.done.set()


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """A message that was sent, of so many bytes."""

    batch: Batch
    index: int
    size: int


class Form:
    """How a message is written, as the settings say."""

    def __init__(self, settings: RabbitSettings) -> None:
        self._settings = settings
        self._content_type = _CONTENT_TYPES[settings.wire_format]

    def body(self, message: Message) -> bytes:
        """The bytes of the configured format."""
        if self._content_type != cloudevents.CONTENT_TYPE:
            return message.body
        event = decode(
            message.body,
            id=message.id,
            time=message.time,
            source=message.source,
            traceparent=message.traceparent,
            tracestate=message.tracestate,
            max_bytes=2**24,
        )
        return cloudevents.encode(
            event,
            source=self._settings.cloudevents_source,
            type_prefix=self._settings.cloudevents_type_prefix,
            max_bytes=2**24,
        )

    def properties(self, message: Message) -> pika.BasicProperties:
        """Persistent, under the event's id."""
        return pika.BasicProperties(
            app_id=self._settings.application,
            content_type=self._content_type,
            delivery_mode=2,
            message_id=str(message.id),
            timestamp=max(0, int(message.time.timestamp())),
            headers=_headers(message),
        )


def _headers(message: Message) -> dict[str, str]:
    headers = {"time": message.time.isoformat(), "source": message.source}
    # Plain strings under these names are what OpenTelemetry's propagators look for.
    if message.traceparent is not None:
        headers["traceparent"] = message.traceparent
    if message.tracestate is not None:
        headers["tracestate"] = message.tracestate
    return headers
