"""Kombu's ConsumerMixin: one callback, one ack for each message."""

from __future__ import annotations

from typing import Any

import benchwork
from kombu import Connection, Message, Queue
from kombu.mixins import ConsumerMixin


class Worker(ConsumerMixin):
    """Consumes the queue."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.engine = benchwork.engine()

    def get_consumers(self, consumer: Any, channel: Any) -> list[Any]:
        """One consumer."""
        queue = Queue(benchwork.QUEUE, durable=True)
        return [
            consumer(
                [queue],
                callbacks=[self.on_event],
                accept=["json"],
                prefetch_count=benchwork.PREFETCH,
            )
        ]

    def on_event(self, event: dict[str, Any], message: Message) -> None:
        """The work, then the ack."""
        benchwork.perform(self.engine, event)
        message.ack()


with Connection(benchwork.AMQP) as connection:
    Worker(connection).run()
