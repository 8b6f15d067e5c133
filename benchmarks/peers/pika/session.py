"""Nothing but pika: consume, a session for each message, an ack for each message."""

from __future__ import annotations

import json
from typing import Any

import benchwork
import pika

engine = benchwork.engine()


def on_message(channel: Any, method: Any, _properties: Any, body: bytes) -> None:
    """The work, then the ack."""
    benchwork.perform(engine, json.loads(body))
    channel.basic_ack(method.delivery_tag)


channel = pika.BlockingConnection(pika.URLParameters(benchwork.AMQP)).channel()
channel.basic_qos(prefetch_count=benchwork.PREFETCH)
channel.basic_consume(benchwork.QUEUE, on_message)
channel.start_consuming()
