"""Consuming a queue: an I/O thread owns the connection, so heartbeats survive a slow plugin.

Only that thread touches pika. Deliveries reach the consumer's thread through a queue; acks go back
by ``add_callback_threadsafe``. A delivery tag means something on its own channel only, so every
delivery carries the generation of its channel, and what belongs to an earlier one is dropped on
both ways: the broker delivers it again.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from typing import Any

import pika
import pika.exceptions

from eventworker.errors import TransportError
from eventworker.transport import Delivery, Subscription
from eventworker.transports.rabbit.headers import tolerate_all_headers
from eventworker.transports.rabbit.incoming import delivery_of
from eventworker.transports.rabbit.settings import (
    CONNECTION_ERRORS,
    RabbitSettings,
    Retries,
    connection_parameters,
    describe,
    log_failure,
)
from eventworker.transports.rabbit.tags import Tags
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
        self._untold, self._tell_at = 0, max(1, prefetch // 4)
        self._fresh: list[Delivery] = []
        self._tags = Tags()
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
        self._tell_if_idle()
        with self._arrival:
            # What arrived before the broker heard of a pause waits for its end.
            if not self._arrival.wait_for(lambda: self._wanted and self._arrived, max(timeout, 0)):
                return None
            delivery, _ = self._arrived.popleft()
        # One of a lost channel comes again; asking for it twice would only do its work twice.
        return delivery if delivery.token[0] == self._generation else None

    def gather(self, most: int, timeout: float, linger: float = 0.0) -> list[Delivery]:
        self._tell_if_idle()
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
        self._replies.append((delivery.token, True))
        self._untold += 1
        if self._untold >= self._tell_at:
            self._tell()

    def requeue(self, delivery: Delivery) -> None:
        self._replies.append((delivery.token, False))
        self._tell()  # somebody else may have nothing to do

    def _tell(self) -> None:
        """Wake the I/O thread for what there is to reply. That costs both threads more than the
        work on a small event, so acks wait for each other: as long as there is something to do,
        a quarter of the prefetch at the most, and never for more than the second after which the
        I/O thread looks by itself."""
        self._untold = 0
        self._call(self._send_replies)

    def _tell_if_idle(self) -> None:
        if self._untold and not self._arrived:
            self._tell()

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
                self._fresh.clear()
                self._tags = Tags()
                self._generation += 1
            self._connection = connection
            self._match_wanted()
            self._retries.serves()
            log.info("consuming %s at %s", self._settings.queue, self._settings.where)
            while not self._closing.is_set():
                connection.process_data_events(time_limit=1.0)
                self._hand_over()
                # Acks that wait for others, and replies given while there was no connection, have
                # called nobody.
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
            # pika rejects what it has not handed to us yet, so that an ack of many that comes later
            # does not cover it; nothing is lost.
            self._channel.basic_cancel(tag)

    def _on_cancel(self, _frame: Any) -> None:
        self._cancelled = True

    def _on_message(self, _channel: Any, method: Any, properties: Any, body: bytes) -> None:
        tag = method.delivery_tag
        self._tags.delivered(tag)
        token = (self._generation, tag)
        signatures = self._settings.signatures
        self._fresh.append(delivery_of(self, token, method, properties, body, signatures))

    def _hand_over(self) -> None:
        """Give the consumer's thread what has arrived, all at once: it is woken up once."""
        if self._fresh:
            now = time.monotonic()
            with self._arrival:
                self._arrived.extend((delivery, now) for delivery in self._fresh)
                self._arrival.notify()
            self._fresh.clear()

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
            if generation == self._generation:
                self._tags.settle(tag, ack)
        if not self._channel.is_open:
            return
        for tag, ack, multiple in self._tags.frames():
            if ack:
                self._channel.basic_ack(tag, multiple)
            else:
                self._channel.basic_nack(tag, requeue=True)


def _end_of(channel: Any) -> str:
    """Why the broker closed it. pika says so to whoever consumes by start_consuming() only."""
    reason = getattr(channel, "_closing_reason", None)
    return describe(reason) if reason is not None else "it does not say why"
