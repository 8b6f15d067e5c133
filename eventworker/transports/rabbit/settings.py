"""How to reach the broker, and what must exist there."""

from __future__ import annotations

import logging
import random
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pika
import pika.exceptions

from eventworker import cloudevents
from eventworker.errors import ConfigError, TransportUnavailable

log = logging.getLogger(__name__)

#: What pika and the sockets raise when a connection cannot be made or is lost.
CONNECTION_ERRORS = (pika.exceptions.AMQPError, OSError)


#: Attempts are counted in the database; a broker that counts returns, as RabbitMQ 4 does by itself,
#: would drop an event that has waited behind a slow plugin too often.
_QUORUM = {"x-queue-type": "quorum", "x-delivery-limit": 1_000_000}


@dataclass(frozen=True, slots=True)
class RabbitSettings:
    """The options of ``[notifications]`` that concern RabbitMQ; see there for their meaning."""

    host: str = "localhost"
    port: int = 5672
    userid: str = "storyboard"
    password: str = "storyboard"
    virtual_host: str = "/"
    login_method: str = "PLAIN"
    exchange: str = "storyboard"
    queue: str = "storyboard_events"
    queue_type: str = "classic"
    binding_keys: Sequence[str] = ("#",)
    application: str = "storyboard"
    wire_format: str = "storyboard"
    cloudevents_source: str = cloudevents.DEFAULT_SOURCE
    cloudevents_type_prefix: str = cloudevents.DEFAULT_TYPE_PREFIX
    connection_attempts: int = 6
    retry_delay: float = 10.0
    heartbeat: int = 30
    tls: bool = False
    tls_ca_file: str | None = None
    tls_cert_file: str | None = None
    tls_key_file: str | None = None
    tls_server_name: str | None = None

    def __repr__(self) -> str:
        return f"RabbitSettings({self.userid}@{self.host}:{self.port}{self.virtual_host!r})"

    @property
    def where(self) -> str:
        """The broker for a log line, without the password."""
        return f"{self.host}:{self.port} vhost {self.virtual_host}"

    @property
    def who(self) -> str:
        """Whom the broker takes us for."""
        certificate = self.login_method == "EXTERNAL"
        return "the client certificate" if certificate else f"user {self.userid}"

    def pause(self, failures: int) -> float:
        """Seconds to wait before the next try, after so many failures in a row: doubling, never
        longer than ``retry_delay``, and jittered so that a fleet does not return as one."""
        longest = max(self.retry_delay, 0.1)
        if failures <= self.connection_attempts:
            longest = min(longest, 0.25 * 2 ** min(failures, 20))
        return longest * random.uniform(0.5, 1.0)


class Retries:
    """Failures in a row, and the pause after each.

    A connection ends the row only when it has served for longer than the longest pause. There are
    brokers that let us in and refuse the next step, a right that is missing say; they would be
    asked several times a second for ever.
    """

    def __init__(self, settings: RabbitSettings) -> None:
        self._settings = settings
        self._failures = 0
        self._serves_since: float | None = None

    def serves(self) -> None:
        """The connection is of use now."""
        self._serves_since = time.monotonic()

    def pause(self) -> float:
        """Seconds until the next try, after one more failure."""
        since, self._serves_since = self._serves_since, None
        if since is not None and time.monotonic() - since > self._settings.retry_delay:
            self._failures = 0
        self._failures += 1
        return self._settings.pause(self._failures)


def settings_from(options: Any) -> RabbitSettings:
    """The settings from the ``[notifications]`` group."""
    return RabbitSettings(
        host=options.rabbit_host,
        port=options.rabbit_port,
        userid=options.rabbit_userid,
        password=options.rabbit_password,
        virtual_host=options.rabbit_virtual_host,
        login_method=options.rabbit_login_method.upper(),
        exchange=options.rabbit_exchange_name,
        queue=options.rabbit_event_queue_name,
        queue_type=options.rabbit_queue_type,
        binding_keys=tuple(options.rabbit_binding_keys),
        application=options.rabbit_application_name,
        wire_format=options.wire_format,
        cloudevents_source=options.cloudevents_source,
        cloudevents_type_prefix=options.cloudevents_type_prefix,
        connection_attempts=options.rabbit_connection_attempts,
        retry_delay=options.rabbit_retry_delay,
        heartbeat=options.rabbit_heartbeat,
        tls=options.rabbit_tls,
        tls_ca_file=options.rabbit_tls_ca_file,
        tls_cert_file=options.rabbit_tls_cert_file,
        tls_key_file=options.rabbit_tls_key_file,
        tls_server_name=options.rabbit_tls_server_name,
    )


def connection_parameters(settings: RabbitSettings, purpose: str) -> pika.ConnectionParameters:
    """pika's parameters.

    :param purpose: shown as the connection's name in RabbitMQ's lists.
    :raises ConfigError: when a certificate file cannot be read.
    """
    credentials: Any = pika.PlainCredentials(settings.userid, settings.password)
    if settings.login_method == "EXTERNAL":
        credentials = pika.credentials.ExternalCredentials()
    return pika.ConnectionParameters(
        host=settings.host,
        port=settings.port,
        virtual_host=settings.virtual_host,
        credentials=credentials,
        heartbeat=settings.heartbeat,
        connection_attempts=1,
        socket_timeout=10,
        stack_timeout=15,
        ssl_options=_tls_options(settings),
        client_properties={"connection_name": f"{settings.application} {purpose}"},
    )


def _tls_options(settings: RabbitSettings) -> pika.SSLOptions | None:
    if not settings.tls:
        return None
    try:
        context = ssl.create_default_context(cafile=settings.tls_ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if settings.tls_cert_file:
            context.load_cert_chain(settings.tls_cert_file, settings.tls_key_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"[notifications] rabbit_tls_ca_file, rabbit_tls_cert_file or rabbit_tls_key_file "
            f"cannot be used: {error}"
        ) from None
    return pika.SSLOptions(context, settings.tls_server_name or settings.host)


def declare_topology(connection: pika.BlockingConnection, settings: RabbitSettings) -> None:
    """Make sure that exchange, queue and bindings exist.

    An existing queue is used as it is: declaring it with other arguments than it was made with
    would be refused with PRECONDITION_FAILED.

    :raises TransportUnavailable: when the broker refuses, with its reason.
    """
    try:
        channel = connection.channel()
        channel.exchange_declare(settings.exchange, exchange_type="topic", durable=True)
        if not _queue_exists(connection, settings.queue):
            arguments = {} if settings.queue_type == "classic" else _QUORUM
            channel.queue_declare(settings.queue, durable=True, arguments=arguments)
        for key in settings.binding_keys:
            channel.queue_bind(settings.queue, settings.exchange, routing_key=key)
        channel.close()
    except pika.exceptions.ChannelClosedByBroker as error:
        raise TransportUnavailable(
            f"RabbitMQ refuses exchange {settings.exchange} or queue {settings.queue}: "
            f"{error.reply_code} {error.reply_text}"
        ) from error


def _queue_exists(connection: pika.BlockingConnection, name: str) -> bool:
    probe = connection.channel()
    try:
        probe.queue_declare(name, passive=True)
    except pika.exceptions.ChannelClosedByBroker as error:
        if error.reply_code == 404:
            return False
        raise
    probe.close()
    return True


def log_failure(log: logging.Logger, settings: RabbitSettings, reason: str, pause: float) -> None:
    """One line for each try that failed; the names in it are those that an operator may have to
    put right."""
    log.warning(
        "RabbitMQ at %s, %s: %s; next try in %.1f s", settings.where, settings.who, reason, pause
    )


def describe(error: BaseException) -> str:
    """A connection error in one line; pika's own are often empty or nested."""
    inner = error.args[0] if error.args and isinstance(error.args[0], BaseException) else error
    nested = getattr(inner, "exception", None)
    if isinstance(nested, BaseException):
        inner = nested
    return (str(inner) or repr(inner)).splitlines()[0]
