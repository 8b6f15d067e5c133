"""The servers as pytest fixtures; each server starts when the first test asks for it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.servers.certificates import Certificates, make_certificates
from tests.servers.ejabberd import EjabberdServer
from tests.servers.mariadb import MariaServer
from tests.servers.postgres import PostgresServer
from tests.servers.prosody import ProsodyServer
from tests.servers.rabbit import RabbitServer, Vhost


@pytest.fixture(scope="session")
def rabbit_server() -> Iterator[RabbitServer]:
    """The session's broker. Tests that stop or break a broker use `own_rabbit_server`."""
    with RabbitServer() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The session's database server. Tests that stop one use `own_postgres_server`."""
    # Nobody pulls this one's plug, so it need not wait for the disk.
    with PostgresServer({"fsync": "off"}) as server:
        yield server


@pytest.fixture(scope="session")
def maria_server() -> Iterator[MariaServer]:
    """The session's MariaDB server. Tests that stop one use `own_maria_server`."""
    # Nor this one's; making and emptying a table takes a third of the time.
    with MariaServer(
        {
            "innodb-flush-log-at-trx-commit": "0",
            "innodb-flush-method": "nosync",
            "innodb-doublewrite": "0",
            "debug-no-sync": "1",
        }
    ) as server:
        yield server


@pytest.fixture(scope="session")
def prosody_server() -> Iterator[ProsodyServer]:
    """The session's XMPP server. Tests that stop one use `own_prosody_server`."""
    with ProsodyServer() as server:
        yield server


@pytest.fixture(scope="session")
def ejabberd_server() -> Iterator[EjabberdServer]:
    """The session's other XMPP server. Tests that stop one use `own_ejabberd_server`."""
    with EjabberdServer() as server:
        yield server


@pytest.fixture
def vhost(rabbit_server: RabbitServer) -> Iterator[Vhost]:
    """A fresh virtual host of the session's broker."""
    made = rabbit_server.add_vhost()
    yield made
    rabbit_server.delete_vhost(made.vhost)


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The SQLAlchemy URL of a fresh database of the session's server."""
    url = postgres_server.createdb()
    yield url
    postgres_server.dropdb(url.rpartition("/")[2])


@pytest.fixture
def maria_url(maria_server: MariaServer) -> Iterator[str]:
    """The same on the session's MariaDB server."""
    url = maria_server.createdb()
    yield url
    maria_server.dropdb(url.rpartition("/")[2])


@pytest.fixture
def own_rabbit_server() -> Iterator[Callable[..., RabbitServer]]:
    """Starts brokers for this test alone, with the arguments of RabbitServer."""
    with ExitStack() as servers:
        yield lambda *args, **kwargs: servers.enter_context(RabbitServer(*args, **kwargs))


@pytest.fixture
def own_postgres_server() -> Iterator[Callable[..., PostgresServer]]:
    """Starts database servers for this test alone, with the arguments of PostgresServer."""
    with ExitStack() as servers:
        yield lambda *args, **kwargs: servers.enter_context(PostgresServer(*args, **kwargs))


@pytest.fixture
def own_maria_server() -> Iterator[Callable[..., MariaServer]]:
    """Starts MariaDB servers for this test alone, with the arguments of MariaServer."""
    with ExitStack() as servers:
        yield lambda *args, **kwargs: servers.enter_context(MariaServer(*args, **kwargs))


@pytest.fixture
def own_prosody_server() -> Iterator[Callable[..., ProsodyServer]]:
    """Starts XMPP servers for this test alone, with the arguments of ProsodyServer."""
    with ExitStack() as servers:
        yield lambda *args, **kwargs: servers.enter_context(ProsodyServer(*args, **kwargs))


@pytest.fixture
def own_ejabberd_server() -> Iterator[Callable[..., EjabberdServer]]:
    """Starts XMPP servers for this test alone, with the arguments of EjabberdServer."""
    with ExitStack() as servers:
        yield lambda *args, **kwargs: servers.enter_context(EjabberdServer(*args, **kwargs))


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """An authority and what it has signed."""
    folder: Path = tmp_path_factory.mktemp("certificates")
    return make_certificates(folder)
