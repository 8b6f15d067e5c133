"""Publishing with confirms: persistent, mandatory, many at a time.

pika's blocking channel waits for each confirm before the next publish, so this one runs an
asynchronous connection in an I/O thread of its own, separate from consuming: a broker with a memory
alarm blocks the connections that publish, and must not block acks.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any

import pika
import pika.exceptions

from eventworker import cloudevents
from eventworker.errors import (
    TransportError,
    TransportUnavailable,
    Unpublishable,
    Unroutable,
)
from eventworker.event import decode
from eventworker.transport import Message
from eventworker.transports.rabbit.settings import (
    CONNECTION_ERRORS,
    RabbitSettings,
    connection_parameters,
    declare_topology,
    describe,
)

log = logging.getLogger(__name__)

#: Bytes of a routing key (a short string of AMQP 0-9-1, section 4.2.5.3).
_LONGEST_KEY = 255
_CONTENT_TYPES = {"storyboard": "application/json", "cloudevents": cloudevents.CONTENT_TYPE}
_UNCONFIRMED = "not confirmed by the broker"
_PRECONDITION_FAILED = 406


class Refused(TransportUnavailable):
    """One of the messages on their way made the broker close the channel; it does not say which."""


class _Batch:
    """The messages of one ``publish`` call, and what became of each."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self.messages = messages
        self.results: list[TransportError | None] = [TransportUnavailable(_UNCONFIRMED)] * len(
            messages
        )
        self.left = len(messages)
        self.done = threading.Event()

    def settle(self, index: int, error: TransportError | None) -> None:
        self.results[index] = error
        self.left -= 1
        if self.left == 0:
            self.done.set()

    def fail(self, error: TransportError) -> None:
        """None of them was even sent."""
        self.results = [error] * len(self.messages)
        self.done.set()


class RabbitPublisher:
    """A connection for publishing, opened at the first use and kept."""

    def __init__(self, settings: RabbitSettings) -> None:
        self._settings = settings
        self._parameters = connection_parameters(settings, "publisher")
        self._content_type = _CONTENT_TYPES[settings.wire_format]
        self._ready = threading.Event()
        # Between the end of a connection and our knowing of it, a batch may be handed to a loop
        # that will never turn again. So it is noted here, and whoever notices the end fails it.
        self._handed: deque[_Batch] = deque()
        self._handing = threading.Lock()
        self._closing = threading.Event()
        self._connection: Any = None
        self._channel: Any = None
        self._unconfirmed: dict[int, tuple[_Batch, int]] = {}
        self._returned: Counter[str] = Counter()
        self._next_tag = 1
        self._last_error = "no connection yet"
        self._channel_error: str | None = None
        self._refused = False
        self._failures = 0
        self._thread: threading.Thread | None = None

    def publish(self, messages: Sequence[Message], timeout: float) -> list[TransportError | None]:
        """See :meth:`eventworker.transport.Transport.publish`."""
        if not messages:
            return []
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="rabbit-publisher", daemon=True)
            self._thread.start()
        if not self._ready.wait(timeout):
            error = TransportUnavailable(f"RabbitMQ at {self._settings.where}: {self._last_error}")
            return [error] * len(messages)
        batch = _Batch(messages)
        with self._handing:
            self._handed.append(batch)
            if not self._ready.is_set():
                self._fail_handed()
        self._call(self._send_handed)
        batch.done.wait(timeout)
        return list(batch.results)

    def close(self) -> None:
        """Close the connection and end the thread."""
        self._closing.set()
        if self._thread is not None:
            self._call(self._close_connection)
            self._thread.join(timeout=10)

    def _call(self, function: Callable[[], None]) -> None:
        connection = self._connection
        if connection is not None:
            connection.ioloop.add_callback_threadsafe(function)

    # The I/O thread.

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                with pika.BlockingConnection(self._parameters) as setup:
                    declare_topology(setup, self._settings)
                self._connection = pika.SelectConnection(
                    self._parameters,
                    on_open_callback=self._on_open,
                    on_open_error_callback=self._on_closed,
                    on_close_callback=self._on_closed,
                )
                try:
                    self._connection.ioloop.start()
                finally:
                    self._connection.ioloop.close()
            except Exception as error:
                # Whatever it is: without this thread nothing would ever be published again.
                if not isinstance(error, (*CONNECTION_ERRORS, TransportError)):
                    log.exception("the publisher's connection is made anew")
                self._last_error = describe(error)
            with self._handing:
                self._ready.clear()
                self._fail_handed()
            self._fail_unconfirmed()
            if not self._closing.is_set():
                self._failures += 1
                pause = self._settings.pause(self._failures)
                log.warning(
                    "RabbitMQ at %s: %s; next try in %.1f s",
                    self._settings.where,
                    self._last_error,
                    pause,
                )
                self._closing.wait(pause)

    def _on_open(self, connection: Any) -> None:
        if self._closing.is_set():
            connection.close()
        else:
            connection.channel(on_open_callback=self._on_channel)

    def _on_channel(self, channel: Any) -> None:
        self._channel = channel
        self._next_tag = 1
        channel.add_on_close_callback(self._on_channel_closed)
        channel.add_on_return_callback(self._on_return)
        channel.confirm_delivery(self._on_confirm, callback=self._on_ready)

    def _on_ready(self, _frame: Any) -> None:
        self._failures = 0
        self._ready.set()

    def _on_channel_closed(self, _channel: Any, reason: BaseException) -> None:
        self._channel_error = describe(reason)
        self._refused = getattr(reason, "reply_code", None) == _PRECONDITION_FAILED
        self._close_connection()

    def _on_closed(self, connection: Any, reason: BaseException) -> None:
        # Where the channel's end is the reason, the connection's is only our "normal shutdown".
        self._last_error = self._channel_error or describe(reason)
        self._channel_error = None
        connection.ioloop.stop()

    def _close_connection(self) -> None:
        self._ready.clear()
        if self._connection.is_open:
            self._connection.close()

    def _send_handed(self) -> None:
        while self._handed:
            self._send(self._handed.popleft())

    def _send(self, batch: _Batch) -> None:
        for index, message in enumerate(batch.messages):
            if len(message.resource.encode()) > _LONGEST_KEY:
                batch.settle(index, Unpublishable(f"{message.resource!r} is no routing key"))
                continue
            try:
                self._channel.basic_publish(
                    self._settings.exchange,
                    message.resource,
                    self._body(message),
                    self._properties(message),
                    mandatory=True,
                )
            except pika.exceptions.AMQPError as error:
                batch.settle(index, TransportUnavailable(describe(error)))
                continue
            except Exception as error:  # a message that cannot be encoded
                batch.settle(index, Unpublishable(describe(error)))
                continue
            self._unconfirmed[self._next_tag] = (batch, index)
            self._next_tag += 1

    def _body(self, message: Message) -> bytes:
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

    def _properties(self, message: Message) -> pika.BasicProperties:
        return pika.BasicProperties(
            app_id=self._settings.application,
            content_type=self._content_type,
            delivery_mode=2,
            message_id=str(message.id),
            timestamp=max(0, int(message.time.timestamp())),
            headers=_headers(message),
        )

    def _on_return(self, _channel: Any, _method: Any, properties: Any, _body: bytes) -> None:
        # The broker returns an unroutable message first and confirms it right after.
        self._returned[properties.message_id] += 1

    def _on_confirm(self, frame: Any) -> None:
        method = frame.method
        tag = method.delivery_tag
        if method.multiple:
            tags = [each for each in self._unconfirmed if tag == 0 or each <= tag]
        else:
            tags = [tag]
        acked = isinstance(method, pika.spec.Basic.Ack)
        for each in tags:
            batch, index = self._unconfirmed.pop(each)
            batch.settle(index, self._verdict(batch.messages[index], acked))

    def _verdict(self, message: Message, acked: bool) -> TransportError | None:
        # Counted, as a message may have been sent a second time after its first was given up on.
        name = str(message.id)
        if self._returned[name] > 0:
            self._returned[name] -= 1
            if not self._returned[name]:
                del self._returned[name]  # one queue that is not bound returns very many
            return Unroutable(
                f"no queue at {self._settings.where} is bound to exchange "
                f"{self._settings.exchange} for {message.resource}"
            )
        return None if acked else TransportUnavailable("the broker refused it (basic.nack)")

    def _fail_unconfirmed(self) -> None:
        unconfirmed, self._unconfirmed = self._unconfirmed, {}
        self._returned.clear()
        error = TransportUnavailable(f"{_UNCONFIRMED}: {self._last_error}")
        if self._refused:
            error, self._refused = Refused(self._last_error), False
        for batch, index in unconfirmed.values():
            batch.settle(index, error)

    def _fail_handed(self) -> None:
        while self._handed:
            error = f"RabbitMQ at {self._settings.where}: {self._last_error}"
            self._handed.popleft().fail(TransportUnavailable(error))


def _headers(message: Message) -> dict[str, str]:
    headers = {"time": message.time.isoformat(), "source": message.source}
    # Plain strings under these names are what OpenTelemetry's propagators look for.
    if message.traceparent is not None:
        headers["traceparent"] = message.traceparent
    if message.tracestate is not None:
        headers["tracestate"] = message.tracestate
    return headers
