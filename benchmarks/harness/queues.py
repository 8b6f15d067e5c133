"""The queues that the events wait in, from the publisher's side."""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import pika

from benchmarks.harness.contenders import Contender
from benchmarks.harness.messages import ENVELOPES, event
from benchmarks.harness.servers import Place
from tests.servers import wait_until


class Queue(ABC):
    """Where a contender's events come from."""

    @abstractmethod
    def publish(self, number: int, published: float | None = None) -> None:
        """Put one event into it, durably."""

    @abstractmethod
    def left(self) -> int:
        """Events that are in it, those in somebody's hands included."""

    @abstractmethod
    def close(self) -> None:
        """Let go of it."""

    def fill(self, events: int) -> None:
        """Put so many events into it; returns when they are all there."""
        for number in range(events):
            self.publish(number)
        wait_until(lambda: self.left() == events, 60, "the queue does not get full")

    def publish_steadily(self, first: int, rate: float, seconds: float) -> int:
        """Put so many events a second into it, each with the time; returns how many.

        :param first: the number of the first event.
        """
        events = int(rate * seconds)
        begun = time.monotonic()
        for index in range(events):
            while (early := begun + index / rate - time.monotonic()) > 0:
                time.sleep(early)
            self.publish(first + index, time.time())
        return events


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


class ProcrastinateQueue(Queue):
    """Procrastinate's table of jobs, with the statement that its own publisher executes."""

    _DEFER = (
        "SELECT procrastinate_defer_jobs_v1(ARRAY[ROW(%s, 'work', 0, NULL, NULL, %s, NULL)"
        "::procrastinate_job_to_defer_v1])"
    )

    def __init__(self, contender: Contender, place: Place) -> None:
        self._name = contender.queue
        self._connection = place.connect()

    def publish(self, number: int, published: float | None = None) -> None:
        body = json.dumps({"event": event(number, published)})
        self._connection.execute(self._DEFER, (self._name, body))

    def left(self) -> int:
        found = self._connection.execute(
            "SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing')"
        ).fetchone()
        return found[0] if found else 0

    def fill(self, events: int) -> None:
        with self._connection.transaction():
            super().fill(events)
        # As the server would by itself a minute later.
        self._connection.execute("ANALYZE procrastinate_jobs")

    def close(self) -> None:
        self._connection.close()


def queue_of(contender: Contender, place: Place) -> Queue:
    """What carries a contender's events."""
    return _CARRIERS[contender.carrier](contender, place)


_CARRIERS: dict[str, Callable[[Contender, Place], Queue]] = {
    "rabbit": RabbitQueue,
    "procrastinate": ProcrastinateQueue,
}
