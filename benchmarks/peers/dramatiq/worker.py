"""Dramatiq with its usual middleware, but for what only costs: Prometheus is not there by itself.

A message is acknowledged after its actor has returned.
"""

from __future__ import annotations

from typing import Any

import benchwork
import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker

dramatiq.set_broker(RabbitmqBroker(url=benchwork.AMQP))
#: A connection for each of the eight threads.
engine = benchwork.engine(connections=8)


@dramatiq.actor(queue_name=benchwork.QUEUE, min_backoff=1000, max_backoff=1000, max_retries=9)
def work(event: dict[str, Any]) -> None:
    """The work."""
    benchwork.perform(engine, event)
