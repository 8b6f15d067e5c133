"""RabbitMQ as seen by somebody who is not eventworker."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pika

from eventworker.transports.rabbit import RabbitSettings
from tests.servers import Vhost


def settings_at(vhost: Vhost, **others: Any) -> RabbitSettings:
    """Settings for a virtual host, with pauses short enough for tests."""
    return RabbitSettings(
        **{
            "host": vhost.host,
            "port": vhost.port,
            "userid": vhost.user,
            "password": vhost.password,
            "virtual_host": vhost.vhost,
            "retry_delay": 0.2,
            **others,
        }
    )


@contextmanager
def channel_at(vhost: Vhost) -> Iterator[Any]:
    """A channel of a connection of its own."""
    connection = pika.BlockingConnection(pika.URLParameters(vhost.url))
    try:
        yield connection.channel()
    finally:
        if connection.is_open:
            connection.close()


def send_raw(vhost: Vhost, body: bytes, routing_key: str = "story", **properties: Any) -> None:
    """What a stranger publishes to the exchange, confirmed."""
    with channel_at(vhost) as channel:
        channel.confirm_delivery()
        channel.basic_publish(
            "storyboard", routing_key, body, pika.BasicProperties(**properties), mandatory=True
        )


def depth(vhost: Vhost, queue: str = "storyboard_events") -> int:
    """Messages that are ready in a queue."""
    with channel_at(vhost) as channel:
        count: int = channel.queue_declare(queue, passive=True).method.message_count
        return count


def consumers(vhost: Vhost, queue: str = "storyboard_events") -> int:
    with channel_at(vhost) as channel:
        count: int = channel.queue_declare(queue, passive=True).method.consumer_count
        return count


def has_queue(vhost: Vhost, queue: str = "storyboard_events") -> bool:
    with channel_at(vhost) as channel:
        try:
            channel.queue_declare(queue, passive=True)
        except pika.exceptions.ChannelClosedByBroker:
            return False
        return True
