"""Whether the broker can be reached with these settings."""

from __future__ import annotations

import pika

from eventworker.errors import TransportUnavailable
from eventworker.transports.rabbit.settings import (
    CONNECTION_ERRORS,
    RabbitSettings,
    connection_parameters,
    describe,
)


def probe(settings: RabbitSettings) -> None:
    """Connect, log in and leave; nothing is declared.

    :raises TransportUnavailable: when that fails, with the reason.
    :raises ConfigError: when a certificate file cannot be read.
    """
    try:
        pika.BlockingConnection(connection_parameters(settings, "probe")).close()
    except CONNECTION_ERRORS as error:
        raise TransportUnavailable(
            f"RabbitMQ at {settings.where} cannot be used: {describe(error)}"
        ) from None
