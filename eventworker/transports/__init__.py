"""Implementations of the transport contract, and the choice between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine

if TYPE_CHECKING:
    from eventworker.transport import Transport


def build(conf: Any, engine: Engine) -> Transport:
    """The transport that ``[notifications] driver`` names. Nothing connects yet."""
    if conf.notifications.driver == "sql":
        from eventworker.transports.sql import SqlTransport

        return SqlTransport(engine, poll_interval=conf.notifications.poll_interval)
    from eventworker.transports.rabbit import RabbitTransport, settings_from

    return RabbitTransport(settings_from(conf))
