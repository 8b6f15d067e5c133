"""Publishing with confirms: persistent, mandatory, many at a time.

pika's blocking channel waits for each confirm before the next publish, so this one runs an
asynchronous connection in an I/O thread of its own, separate from consuming: a broker with a memory
alarm blocks the connections that publish, and must not block acks.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any

import pika
import pika.exceptions

from eventworker.errors import (
    TransportError,
    TransportUnavailable,
    Unpublishable,
    Unroutable,
)
from eventworker.transport import Answer, Message
from eventworker.transports.rabbit.depth import Question
from eventworker.transports.rabbit.outgoing import UNCONFIRMED, Batch, Form, Unconfirmed
from eventworker.transports.rabbit.settings import (
    CONNECTION_ERRORS,
    RabbitSettings,
    Retries,
    connection_parameters,
    describe,
    log_failure,
)
from eventworker.transports.rabbit.topology import declare_topology

log = logging.getLogger(__name__)

#: Bytes of a routing key (a short string of AMQP 0-9-1, section 4.2.5.3).
_LONGEST_KEY = 255
#: What RabbitMQ closes a channel with when a message is above its max_message_size.
_TOO_LARGE = re.compile(r"message size \d+ is larger than configured max size (\d+)")
#: Longest part of a wait in seconds.
_SLICE = 0.1


class RabbitPublisher:
    """A connection for publishing, opened at the first use and kept."""

    def __init__(self, settings: RabbitSettings) -> None:
        self._settings = settings
        self._parameters = connection_parameters(settings, "publisher")
        self._form = Form(settings)
        self._ready = threading.Event()
        # Between the end of a connection and our knowing of it, a batch may be handed to a loop
        # that will never turn again. So it is noted here, and whoever notices the end fails it.
        self._handed: deque[Batch] = deque()
        self._handing = threading.Lock()
        self._closing = threading.Event()
        self._connection: Any = None
        self._channel: Any = None
        self._unconfirmed: dict[int, Unconfirmed] = {}
        self._returned: Counter[str] = Counter()
        self._next_tag = self._lowest_tag = 1
        self._last_error = "no connection yet"
        self._channel_error: str | None = None
        self._blocked = False
        self._interrupted = False
        self._retries = Retries(settings)
        self._thread: threading.Thread | None = None

    def begin(self, messages: Sequence[Message], timeout: float) -> Answer:
        """See :meth:`eventworker.transport.Transport.begin`."""
        deadline = time.monotonic() + timeout
        if not messages:
            return list
        if not self._is_ready(timeout):
            away = self._away(self._last_error)
            return lambda: [away] * len(messages)
        batch = Batch(messages)
        with self._handing:
            self._handed.append(batch)
            if not self._ready.is_set():
                self._fail_handed()
        self._call(self._send_handed)

        def answer() -> list[TransportError | None]:
            if not self._wait(batch.done, deadline - time.monotonic()):
                batch.unconfirmed = TransportUnavailable(f"{UNCONFIRMED}: {self._last_error}")
            return batch.answer()

        return answer

    def interrupt(self) -> None:
        """See :meth:`eventworker.transport.Transport.interrupt`."""
        self._interrupted = True

    def _wait(self, event: threading.Event, timeout: float) -> bool:
        """Wait for the event, at most until interrupted. In slices, since whoever interrupts may be
        a signal handler, which must not take a lock that this thread holds."""
        deadline = time.monotonic() + timeout
        while not event.wait(min(_SLICE, max(0.0, deadline - time.monotonic()))):
            if self._interrupted or time.monotonic() >= deadline:
                return event.is_set()
        return True

    def depth(self, timeout: float) -> int:
        """See :meth:`eventworker.transport.Transport.depth`."""
        if not self._is_ready(timeout):
            raise self._away(self._last_error)
        question = Question(self._settings.queue)
        self._call(lambda: question.ask(self._connection))
        return question.answer(timeout, self._away)

    def _is_ready(self, timeout: float) -> bool:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="rabbit-publisher", daemon=True)
            self._thread.start()
        return self._wait(self._ready, timeout)

    def _away(self, reason: str) -> TransportUnavailable:
        return TransportUnavailable(f"RabbitMQ at {self._settings.where}: {reason}")

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
            self._blocked = False
            try:
                with pika.BlockingConnection(self._parameters) as setup:
                    declare_topology(setup, self._settings)
                self._connection = pika.SelectConnection(
                    self._parameters,
                    on_open_callback=self._on_open,
                    on_open_error_callback=self._on_closed,
                    on_close_callback=self._on_closed,
                )
                self._connection.add_on_connection_blocked_callback(self._on_blocked)
                self._connection.add_on_connection_unblocked_callback(self._on_unblocked)
                try:
                    self._connection.ioloop.start()
                finally:
                    self._connection.ioloop.close()
            except Exception as error:
                # Whatever it is: without this thread nothing would ever be published again.
                if not (isinstance(error, (*CONNECTION_ERRORS, TransportError)) or _is_ending()):
                    log.exception("the publisher's connection is made anew")
                self._last_error = describe(error)
            with self._handing:
                self._ready.clear()
                self._fail_handed()
            self._fail_unconfirmed()
            if not self._closing.is_set():
                pause = self._retries.pause()
                log_failure(log, self._settings, self._last_error, pause)
                self._closing.wait(pause)

    def _on_open(self, connection: Any) -> None:
        if self._closing.is_set():
            connection.close()
        else:
            connection.channel(on_open_callback=self._on_channel)

    def _on_channel(self, channel: Any) -> None:
        self._channel = channel
        self._next_tag = self._lowest_tag = 1
        channel.add_on_close_callback(self._on_channel_closed)
        channel.add_on_return_callback(self._on_return)
        channel.confirm_delivery(self._on_confirm, callback=self._on_ready)

    def _on_ready(self, _frame: Any) -> None:
        self._last_error = "no answer in time"
        self._retries.serves()
        self._ready.set()

    def _on_blocked(self, _connection: Any, frame: Any) -> None:
        # A broker with a memory or disk alarm stops reading from us. What is sent now would be in
        # its buffers, and published when the alarm ends, once for each time that it was sent.
        self._blocked = True
        self._ready.clear()
        self._last_error = f"the broker blocks those who publish: {frame.method.reason}"
        log.warning("RabbitMQ at %s: %s", self._settings.where, self._last_error)

    def _on_unblocked(self, _connection: Any, _frame: Any) -> None:
        self._blocked = False
        log.info("RabbitMQ at %s: the broker takes messages again", self._settings.where)
        if self._channel is not None and self._channel.is_open:
            self._ready.set()

    def _on_channel_closed(self, _channel: Any, reason: BaseException) -> None:
        self._channel_error = describe(reason)
        if too_large := _TOO_LARGE.search(self._channel_error):
            self._refuse_larger(int(too_large[1]))
        self._close_connection()

    def _refuse_larger(self, limit: int) -> None:
        """Of all that is not confirmed, the broker closed the channel for these alone."""
        for tag, sent in list(self._unconfirmed.items()):
            if sent.size > limit:
                del self._unconfirmed[tag]
                sent.batch.settle(sent.index, Unpublishable(str(self._channel_error)))

    def _on_closed(self, connection: Any, reason: BaseException) -> None:
        # Where the channel's end is the reason, the connection's is only our "normal shutdown".
        self._last_error = self._channel_error or describe(reason)
        self._channel_error = None
        connection.ioloop.stop()

    def _close_connection(self) -> None:
        self._ready.clear()
        if self._blocked and self._closing.is_set():
            self._connection.ioloop.stop()  # the broker would not read our good-bye
        elif self._connection.is_open:
            self._connection.close()

    def _send_handed(self) -> None:
        while self._handed:
            self._send(self._handed.popleft())

    def _send(self, batch: Batch) -> None:
        for index, message in enumerate(batch.messages):
            if len(message.resource.encode()) > _LONGEST_KEY:
                batch.settle(index, Unpublishable(f"{message.resource!r} is no routing key"))
                continue
            try:
                body = self._form.body(message)
                self._channel.basic_publish(
                    self._settings.exchange,
                    message.resource,
                    body,
                    self._form.properties(message, body),
                    mandatory=True,
                )
            except pika.exceptions.AMQPError as error:
                batch.settle(index, TransportUnavailable(describe(error)))
                continue
            except Exception as error:  # a message that cannot be encoded
                batch.settle(index, Unpublishable(describe(error)))
                continue
            self._unconfirmed[self._next_tag] = Unconfirmed(batch, index, len(body))
            self._next_tag += 1

    def _on_return(self, _channel: Any, _method: Any, properties: Any, _body: bytes) -> None:
        # The broker returns an unroutable message first and confirms it right after.
        self._returned[properties.message_id] += 1

    def _on_confirm(self, frame: Any) -> None:
        method = frame.method
        acked = isinstance(method, pika.spec.Basic.Ack)
        if method.multiple:
            # All up to this one; what is below the lowest has had its answer already.
            end = (method.delivery_tag or self._next_tag - 1) + 1
            for tag in range(self._lowest_tag, end):
                if (sent := self._unconfirmed.pop(tag, None)) is not None:
                    self._confirmed(sent, acked)
            self._lowest_tag = end
        else:
            self._confirmed(self._unconfirmed.pop(method.delivery_tag), acked)

    def _confirmed(self, sent: Unconfirmed, acked: bool) -> None:
        error: TransportError | None = None
        if self._returned or not acked:
            error = self._verdict(sent.batch.messages[sent.index], acked)
        sent.batch.settle(sent.index, error)

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
        for sent in unconfirmed.values():
            error = TransportUnavailable(f"{UNCONFIRMED}: {self._last_error}")
            sent.batch.settle(sent.index, error)

    def _fail_handed(self) -> None:
        while self._handed:
            batch = self._handed.popleft()
            for index in range(len(batch.messages)):
                batch.settle(index, self._away(self._last_error))


def _is_ending() -> bool:
    """Whether this process ends. From Python 3.12 on no thread can be started any more then, and
    pika starts one to look a name up."""
    return not threading.main_thread().is_alive()
