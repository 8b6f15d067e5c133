"""RabbitMQ through pika (AMQP 0-9-1). The only package that knows pika."""

from eventworker.transports.rabbit.settings import RabbitSettings, settings_from
from eventworker.transports.rabbit.transport import RabbitTransport

__all__ = ["RabbitSettings", "RabbitTransport", "settings_from"]
