"""Private RabbitMQ, PostgreSQL, MariaDB, Prosody and ejabberd servers for the tests: real, on
loopback, thrown away.

`fixtures` has the pytest fixtures; the classes can be used without pytest, as benchmarks do.
"""

from tests.servers.ejabberd import EjabberdServer
from tests.servers.mariadb import MariaServer
from tests.servers.postgres import PostgresServer, StandbyServer
from tests.servers.process import ServerError
from tests.servers.prosody import ProsodyServer
from tests.servers.rabbit import RabbitServer, Vhost
from tests.servers.waiting import wait_until
from tests.servers.xmpp import XmppServer

__all__ = [
    "EjabberdServer",
    "MariaServer",
    "PostgresServer",
    "ProsodyServer",
    "RabbitServer",
    "ServerError",
    "StandbyServer",
    "Vhost",
    "XmppServer",
    "wait_until",
]
