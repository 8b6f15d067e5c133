"""Where a spool is emptied to. A target is built in the process, and by the thread, that uses it:
neither a pool of database connections nor a broker's connection outlives a fork."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sqlalchemy import Engine, exc, make_url

from eventworker.db import build_engine, first_line
from eventworker.db.failures import mariadb_code
from eventworker.errors import TransportError, Unpublishable
from eventworker.outbox.wakeup import bell_of
from eventworker.transport import Message, Subscription, Transport
from eventworker.transports.sql import SqlTransport

if TYPE_CHECKING:
    from eventworker.transports.rabbit import RabbitSettings

Target = Callable[[], Transport]


def outbox_target(database: str | Engine) -> Target:
    """The outbox of a database: an event that is there already stays once.

    :param database: its SQLAlchemy URL, or an engine to take the URL of.
    """
    url = database if isinstance(database, str) else _url_of(database)
    return lambda: Outbox(build_engine(_impatient(url)))


def rabbit_target(settings: RabbitSettings) -> Target:
    """RabbitMQ, for an application that has no access to the database.

    A broker knows no ids: what it took right before a crash, it is given again, under the same id.
    The inbox absorbs that.
    """
    from eventworker.transports.rabbit import RabbitTransport

    return lambda: RabbitTransport(settings)


def _impatient(url: str) -> str:
    """With time-outs where the URL has none: behind a network that swallows packets, delivery would
    stand still for as long as the kernel's own, a quarter of an hour, after all is well again."""
    try:
        parsed = make_url(url)
    except exc.ArgumentError:
        return url  # build_engine has the words for it
    query = {**_TIMEOUTS.get(parsed.get_backend_name(), {}), **parsed.query}
    return parsed.set(query=query).render_as_string(hide_password=False)


#: PyMySQL's, in seconds; a reader's is also that of the server's greeting.
_PYMYSQL = {"connect_timeout": "10", "read_timeout": "30", "write_timeout": "30"}
#: By the database as the URL names it; libpq's are seconds, and milliseconds for the last.
_TIMEOUTS = {
    "postgresql": {"connect_timeout": "10", "keepalives_idle": "20", "tcp_user_timeout": "20000"},
    "mysql": _PYMYSQL,
    "mariadb": _PYMYSQL,
}


def _url_of(engine: Engine) -> str:
    return engine.url.render_as_string(hide_password=False)


def _is_refusal(error: exc.DBAPIError) -> bool:
    """Whether the database is well, and will not take this row for what it holds."""
    if isinstance(error, exc.DataError | exc.IntegrityError):
        return True
    return mariadb_code(error) == _CHECK_FAILED


#: MariaDB's number for a row that a CHECK refuses; PyMySQL makes an OperationalError of it.
_CHECK_FAILED = 4025


class Outbox(Transport):
    """The outbox, with an engine of its own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._transport = SqlTransport(engine)

    def publish(
        self, messages: Sequence[Message], timeout: float = 30.0
    ) -> list[TransportError | None]:
        """All in one transaction; if the database refuses one for what it holds, each alone."""
        try:
            return self._transport.publish(messages, timeout)
        except exc.DBAPIError as error:
            if not _is_refusal(error):
                raise
            if len(messages) == 1:
                return [Unpublishable(f"the database refuses it: {first_line(error)}")]
            return [self.publish([message], timeout)[0] for message in messages]

    def subscribe(self, prefetch: int, owner: str = "", hold: float = 60.0) -> Subscription:
        return self._transport.subscribe(prefetch, owner, hold)

    def close(self) -> None:
        bell_of(self._engine).close()
        self._engine.dispose()
