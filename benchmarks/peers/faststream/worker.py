"""FastStream with an asynchronous handler."""

from __future__ import annotations

from typing import Any

import benchwork
import benchwork_async
from faststream import FastStream
from faststream.rabbit import Channel, RabbitBroker, RabbitQueue

broker = RabbitBroker(
    benchwork.AMQP, default_channel=Channel(prefetch_count=benchwork.PREFETCH), logger=None
)
app = FastStream(broker)
engine = benchwork_async.engine()


@broker.subscriber(RabbitQueue(benchwork.QUEUE, durable=True))
async def work(event: dict[str, Any]) -> None:
    """The work; the message is acknowledged after it."""
    await benchwork_async.perform(engine, event)
