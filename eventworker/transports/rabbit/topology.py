"""What must exist at the broker: made where we may, else taken as somebody else has made it."""

from __future__ import annotations

import logging
from typing import Any

import pika
import pika.exceptions

from eventworker.errors import TransportUnavailable
from eventworker.transports.rabbit.settings import RabbitSettings

log = logging.getLogger(__name__)

#: Attempts are counted in the database; a broker that counts returns, as RabbitMQ 4 does by itself,
#: would drop an event that has waited behind a slow plugin too often.
_QUORUM = {"x-queue-type": "quorum", "x-delivery-limit": 1_000_000}
#: AMQP's codes (0-9-1, section 1.1): a permission is missing; a thing is.
_ACCESS_REFUSED, _NOT_FOUND = 403, 404


def declare_topology(connection: pika.BlockingConnection, settings: RabbitSettings) -> None:
    """Make sure that exchange, queue and bindings exist.

    An existing queue is used as it is: declaring it with other arguments than it was made with
    would be refused with PRECONDITION_FAILED. A user who may configure nothing needs all of it made
    beforehand.

    :raises TransportUnavailable: when the broker refuses, with its reason.
    """
    try:
        _exchange(connection, settings)
        _queue(connection, settings)
        _bindings(connection, settings)
    except pika.exceptions.ChannelClosedByBroker as error:
        raise TransportUnavailable(
            f"RabbitMQ refuses exchange {settings.exchange} or queue {settings.queue}: "
            f"{error.reply_code} {error.reply_text}"
        ) from error


def _exchange(connection: pika.BlockingConnection, settings: RabbitSettings) -> None:
    # Declared first and looked for second: a look would not tell that it is of another type.
    try:
        channel = connection.channel()
        channel.exchange_declare(settings.exchange, exchange_type="topic", durable=True)
        channel.close()
    except pika.exceptions.ChannelClosedByBroker as error:
        if error.reply_code != _ACCESS_REFUSED:
            raise
        look = connection.channel()
        if not _exists(lambda: look.exchange_declare(settings.exchange, passive=True)):
            raise _missing(settings, "exchange", settings.exchange) from error
        look.close()


def _queue(connection: pika.BlockingConnection, settings: RabbitSettings) -> None:
    look = connection.channel()
    if _exists(lambda: look.queue_declare(settings.queue, passive=True)):
        look.close()
        return
    arguments = {} if settings.queue_type == "classic" else _QUORUM
    try:
        channel = connection.channel()
        channel.queue_declare(settings.queue, durable=True, arguments=arguments)
        channel.close()
    except pika.exceptions.ChannelClosedByBroker as error:
        if error.reply_code != _ACCESS_REFUSED:
            raise
        raise _missing(settings, "queue", settings.queue) from error


def _bindings(connection: pika.BlockingConnection, settings: RabbitSettings) -> None:
    """Nobody can look for a binding; one that lacks is found by a publisher, as Unroutable."""
    try:
        channel = connection.channel()
        for key in settings.binding_keys:
            channel.queue_bind(settings.queue, settings.exchange, routing_key=key)
        channel.close()
    except pika.exceptions.ChannelClosedByBroker as error:
        if error.reply_code != _ACCESS_REFUSED:
            raise
        log.debug(
            "user %s may not bind queue %s to exchange %s, so that is taken for done",
            settings.userid,
            settings.queue,
            settings.exchange,
        )


def _exists(look: Any) -> bool:
    try:
        look()
    except pika.exceptions.ChannelClosedByBroker as error:
        if error.reply_code != _NOT_FOUND:
            raise
        return False
    return True


def _missing(settings: RabbitSettings, kind: str, name: str) -> TransportUnavailable:
    return TransportUnavailable(
        f"there is no {kind} {name} in vhost {settings.virtual_host}, and the user "
        f"{settings.userid} may not make it; have it made, or give that user the permission to "
        f"configure {name}"
    )
