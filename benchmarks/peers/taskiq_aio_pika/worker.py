"""Taskiq on aio-pika with classic queues, as everybody here has them."""

from __future__ import annotations

from typing import Any

import benchwork
import benchwork_async
from taskiq_aio_pika import AioPikaBroker
from taskiq_aio_pika.queue import Queue, QueueType

broker = AioPikaBroker(
    benchwork.AMQP,
    qos=benchwork.PREFETCH,
    task_queues=[Queue(name=benchwork.QUEUE, type=QueueType.CLASSIC)],
    dead_letter_queue=Queue(name="taskiq.dead_letter", type=QueueType.CLASSIC),
)
engine = benchwork_async.engine()


@broker.task(task_name="work")
async def work(event: dict[str, Any]) -> None:
    """The work; the message is acknowledged after it."""
    await benchwork_async.perform(engine, event)
