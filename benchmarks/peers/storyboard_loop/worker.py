"""The way of StoryBoard's worker: ask the broker for one message, map it over the plugins, ack."""

from __future__ import annotations

import json
import time
from typing import Any

import benchwork
import pika
from stevedore.extension import Extension, ExtensionManager

#: Seconds that it sleeps when the queue is empty.
PAUSE = 5.0

engine = benchwork.engine()


class Worker:
    """A plugin."""

    def handle(self, event: dict[str, Any]) -> None:
        """Do the work."""
        benchwork.perform(engine, event)


def handle_event(extension: Extension, body: bytes) -> None:
    """Give the event to one plugin."""
    extension.obj.handle(json.loads(body))


plugins = ExtensionManager.make_test_instance([Extension("worker", None, Worker, Worker())])
channel = pika.BlockingConnection(pika.URLParameters(benchwork.AMQP)).channel()
while True:
    method, _properties, body = channel.basic_get(benchwork.QUEUE)
    if method is None:
        time.sleep(PAUSE)
        continue
    plugins.map(handle_event, body)
    channel.basic_ack(method.delivery_tag)
