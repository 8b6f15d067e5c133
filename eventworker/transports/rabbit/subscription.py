"""Consuming a queue: an I/O thread owns the connection, so heartbeats survive a slow plugin.

Only that thread touches pika. Deliveries reach the consumer's thread through a queue; acks go back
by ``add_callback_threadsafe``. A delivery tag means something on its own channel only, so every
delivery carries the generation of its channel, and what belongs to an earlier one is dropped on
both ways: the broker delivers it again.
"""

from __future__ import annotations

import contextlib
import logging
import re
import threading
import time
from collections import deque
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pika
import pika.exceptions

from eventworker import tracecontext
from eventworker.errors import TransportError
from eventworker.transport import Delivery, Subscription
from eventworker.transports.rabbit.headers import tolerate_all_headers
from eventworker.transports.rabbit.settings import (
    CONNECTION_ERRORS,
    RabbitSettings,
    Retries,
    connection_parameters,
    describe,
    log_failure,
    signed_part,
)
from eventworker.transports.rabbit.topology import declare_topology

log = logging.getLogger(__name__)

_Token = tuple[int, int]  # generation of the channel, delivery tag


class RabbitSubscription(Subscription):
    """A push consumer of the event queue. It reconnects by itself, for ever.

    :param patience: seconds that a delivery may wait here for its turn. Behind a slow plugin it is
        given back then, for another consumer, long before the broker's ack timeout.
    """

    def __init__(self, settings: RabbitSettings, prefetch: int, patience: float = 60.0) -> None:
        self._settings = settings
        self._parameters = connection_parameters(settings, "consumer")
        tolerate_all_headers()
        self._prefetch = prefetch
        self._patience = patience
        self._arrived: deque[tuple[Delivery, float]] = deque()
        self._arrival = threading.Condition()
        self._replies: deque[tuple[_Token, bool]] = deque()
        self._connection: pika.BlockingConnection | None = None
        self._channel: Any = None
        self._generation = 0
        self._cancelled = False
        self._consumer_tag: str | None = None
        self._wanted = True
        self._closing = threading.Event()
        self._retries = Retries(settings)
        self._thread = threading.Thread(target=self._run, name="rabbit-consumer", daemon=True)
        self._thread.start()

    # The consumer's thread.

    def receive(self, timeout: float) -> Delivery | None:
        with self._arrival:
            # What arrived before the broker heard of a pause waits for its end.
            if not self._arrival.wait_for(lambda: self._wanted and self._arrived, max(timeout, 0)):
                return None
            delivery, _ = self._arrived.popleft()
        # One of a lost channel comes again; asking for it twice would only do its work twice.
        return delivery if delivery.token[0] == self._generation else None

    def gather(self, most: int, timeout: float, linger: float = 0.0) -> list[Delivery]:
        with self._arrival:
            if not self._arrival.wait_for(lambda: self._wanted and self._arrived, max(timeout, 0)):
                return []
            # More than prefetch never come; a prefetch of 0 is no limit.
            full = min(most, self._prefetch or most)
            if linger > 0:
                self._arrival.wait_for(lambda: len(self._arrived) >= full, linger)
            count = min(most, len(self._arrived)) if self._wanted else 0
            taken = [self._arrived.popleft()[0] for _ in range(count)]
        return [delivery for delivery in taken if delivery.token[0] == self._generation]

    def ack(self, delivery: Delivery) -> None:
        self._reply(delivery.token, True)

    def requeue(self, delivery: Delivery) -> None:
        self._reply(delivery.token, False)

    def _reply(self, token: _Token, ack: bool) -> None:
        # The first in the deque calls the I/O thread, later ones join that call. A look before the
        # append would be wrong: the I/O thread may take the last one in between, and be done.
        self._replies.append((token, ack))
        if len(self._replies) == 1:
            self._call(self._send_replies)

    def pause(self) -> None:
        self._wanted = False
        self._call(self._match_wanted)

    def resume(self) -> None:
        self._wanted = True
        self._call(self._match_wanted)

    def close(self) -> None:
        self._closing.set()
        self._call(lambda: None)
        self._thread.join(timeout=10)

    def _call(self, function: Any) -> None:
        connection = self._connection
        if connection is not None:
            # A connection that is closing cannot be told; its deliveries come again.
            with contextlib.suppress(pika.exceptions.ConnectionWrongStateError):
                connection.add_callback_threadsafe(function)

    # The I/O thread.

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self._consume()
            except Exception as error:  # one that nobody foresaw must not end the consumption
                if not isinstance(error, (*CONNECTION_ERRORS, TransportError)):
                    log.exception("the consumer's connection is made anew")
                pause = self._retries.pause()
                log_failure(log, self._settings, describe(error), pause)
                self._closing.wait(pause)

    def _consume(self) -> None:
        connection = pika.BlockingConnection(self._parameters)
        try:
            declare_topology(connection, self._settings)
            channel = connection.channel()
            channel.basic_qos(prefetch_count=self._prefetch)
            channel.add_on_cancel_callback(self._on_cancel)
            self._cancelled, self._consumer_tag = False, None
            with self._arrival:
                self._arrived.clear()  # of the lost channel; it all comes again
                self._replies.clear()
                self._channel = channel
                self._generation += 1
            self._connection = connection
            self._match_wanted()
            self._retries.serves()
            log.info("consuming %s at %s", self._settings.queue, self._settings.where)
            while not self._closing.is_set():
                connection.process_data_events(time_limit=1.0)
                # A reply that was given while there was no connection has called nobody.
                self._send_replies()
                if self._cancelled:
                    raise TransportError(f"the queue {self._settings.queue} is gone")
                if not channel.is_open:
                    raise TransportError(f"the broker closed the channel: {_end_of(channel)}")
                self._return_impatient()
            self._send_replies()
        finally:
            self._connection = None
            if connection.is_open:
                connection.close()

    def _match_wanted(self) -> None:
        """Consume, or stop consuming, as the other thread wishes."""
        if self._wanted and self._consumer_tag is None:
            self._consumer_tag = self._channel.basic_consume(self._settings.queue, self._on_message)
        elif not self._wanted and self._consumer_tag is not None:
            tag, self._consumer_tag = self._consumer_tag, None
            # pika hands back what arrived meanwhile by a nack; nothing is lost.
            self._channel.basic_cancel(tag)

    def _on_cancel(self, _frame: Any) -> None:
        self._cancelled = True

    def _on_message(self, _channel: Any, method: Any, properties: Any, body: bytes) -> None:
        traceparent, tracestate = _trace(properties)
        seq = _seq(properties)
        delivery = Delivery(
            body=body,
            event_id=_uuid(properties.message_id),
            redelivered=method.redelivered,
            subscription=self,
            token=(self._generation, method.delivery_tag),
            time=_time(properties),
            source=_source(properties),
            properties={
                "exchange": _text(method.exchange),
                "routing_key": _text(method.routing_key),
                "message_id": _text(properties.message_id),
                "content_type": _text(properties.content_type),
                "content_encoding": _text(properties.content_encoding),
                "app_id": _text(properties.app_id),
                "source": _source(properties),
                "traceparent": traceparent,
                "tracestate": tracestate,
                "seq": seq,
            },
            traceparent=traceparent,
            tracestate=tracestate,
            content_type=_text(properties.content_type),
            content_encoding=_text(properties.content_encoding),
            refusal=self._settings.signatures.check(
                signed_part(method.routing_key, properties, body)
            ),
            seq=seq,
        )
        with self._arrival:
            self._arrived.append((delivery, time.monotonic()))
            self._arrival.notify()

    def _return_impatient(self) -> None:
        """Give back what has waited too long; the broker delivers it elsewhere, or here again."""
        while True:
            with self._arrival:
                if not self._arrived or time.monotonic() - self._arrived[0][1] < self._patience:
                    return
                delivery, _ = self._arrived.popleft()
            delivery.requeue()

    def _send_replies(self) -> None:
        while self._replies:
            (generation, tag), ack = self._replies.popleft()
            if generation != self._generation or not self._channel.is_open:
                continue
            if ack:
                self._channel.basic_ack(tag)
            else:
                self._channel.basic_nack(tag, requeue=True)


def _end_of(channel: Any) -> str:
    """Why the broker closed it. pika says so to whoever consumes by start_consuming() only."""
    reason = getattr(channel, "_closing_reason", None)
    return describe(reason) if reason is not None else "it does not say why"


# A stranger may put anything into the properties, and pika gives bytes where it is not UTF-8.


def _uuid(text: str | bytes | None) -> UUID | None:
    try:
        return UUID(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _time(properties: Any) -> datetime | None:
    precise = (properties.headers or {}).get("time")
    try:
        if isinstance(precise, str):
            when = datetime.fromisoformat(precise)
            when = when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
        elif properties.timestamp:
            when = datetime.fromtimestamp(properties.timestamp, UTC)
        else:
            return None
    except (ValueError, OverflowError, OSError):
        return None
    # Beyond these, a database in another time zone than ours cannot say it.
    return when if 1970 <= when.year < 9999 else None


def _source(properties: Any) -> str:
    source = (properties.headers or {}).get("source")
    if not isinstance(source, str):
        source = properties.app_id
    return _CONTROL.sub("", source)[:255] if isinstance(source, str) else ""


def _text(value: str | bytes | None) -> str | None:
    # Not None for what is no UTF-8: that would say that the publisher said nothing.
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value


def _trace(properties: Any) -> tuple[str | None, str | None]:
    headers = properties.headers or {}
    return tracecontext.valid(headers.get("traceparent"), headers.get("tracestate"))


def _seq(properties: Any) -> int | None:
    seq = (properties.headers or {}).get("seq")
    # AMQP has truth values, and True is an int to Python; large ones get a type of pika's own.
    if not isinstance(seq, int) or isinstance(seq, bool):
        return None
    return int(seq) if 0 < seq < 2**63 else None


#: No text column of PostgreSQL takes NUL.
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
