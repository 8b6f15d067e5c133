"""Nameko: a consumer of the queue, with ten green threads as it has by itself."""

from __future__ import annotations

from typing import Any

import benchwork
from kombu import Queue
from nameko.messaging import consume

#: A connection for each of them.
engine = benchwork.engine(connections=10)


class Worker:
    """The service."""

    name = "worker"

    @consume(Queue(benchwork.QUEUE, durable=True))
    def work(self, event: dict[str, Any]) -> None:
        """The work; the message is acknowledged after it."""
        benchwork.perform(engine, event)
