"""Which queue a contender's events wait in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pika

from benchmarks.harness.contenders import Contender
from benchmarks.harness.embedded import HueyQueue, OutboxQueue, ProcrastinateQueue
from benchmarks.harness.messages import ENVELOPES, event
from benchmarks.harness.queue import Queue
from benchmarks.harness.servers import Place


class RabbitQueue(Queue):
    """A durable classic queue, with persistent messages."""

    def __init__(self, contender: Contender, place: Place) -> None:
        self._name, self._vhost = contender.queue, place.vhost
        self._envelope = ENVELOPES[contender.envelope]
        parameters = pika.URLParameters(place.vhost.url)
        parameters.heartbeat = 0  # while the workers work, nobody answers here
        self._connection = pika.BlockingConnection(parameters)
        self._channel: Any = self._connection.channel()
        arguments = dict(contender.arguments)
        self._channel.queue_declare(self._name, durable=True, arguments=arguments)

    def publish(self, number: int, published: float | None = None) -> None:
        properties, body = self._envelope(event(number, published), self._name)
        self._channel.basic_publish("", self._name, body, properties)

    def left(self) -> int:
        return self._vhost.messages(self._name)

    def close(self) -> None:
        self._connection.close()


def queue_of(contender: Contender, place: Place) -> Queue:
    """What carries a contender's events."""
    return _CARRIERS[contender.carrier](contender, place)


_CARRIERS: dict[str, Callable[[Contender, Place], Queue]] = {
    "rabbit": RabbitQueue,
    "procrastinate": ProcrastinateQueue,
    "outbox": OutboxQueue,
    "huey": HueyQueue,
}
