"""Private RabbitMQ and PostgreSQL servers for the tests: real ones, on loopback, thrown away after.

`fixtures` has the pytest fixtures; the classes can be used without pytest, as benchmarks do.
"""

from tests.servers.postgres import PostgresServer
from tests.servers.process import ServerError
from tests.servers.rabbit import RabbitServer, Vhost
from tests.servers.waiting import wait_until

__all__ = ["PostgresServer", "RabbitServer", "ServerError", "Vhost", "wait_until"]
