"""A private PostgreSQL server."""

import ctypes
import signal
from collections.abc import Mapping
from pathlib import Path

import psycopg
from psycopg import sql

from tests.servers.certificates import Certificate
from tests.servers.ports import HOST, free_ports
from tests.servers.process import ServerProcess
from tests.servers.server import Server
from tests.servers.waiting import wait_until

START_SECONDS = 60.0
IPC_RMID = 0
# fsync stays on: what survives kill -9 here should be what survives it elsewhere.
SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "jit": "off",
    # In the data folder rather than in /dev/shm, where a killed server would leave it.
    "dynamic_shared_memory_type": "mmap",
}


class PostgresServer(Server):
    """A private PostgreSQL; with `tls`, its certificate, it also takes connections with TLS."""

    title = "PostgreSQL"
    user = "postgres"

    def __init__(
        self, settings: Mapping[str, str] | None = None, tls: Certificate | None = None
    ) -> None:
        self._settings = {**SETTINGS, **(settings or {})}
        self._tls = tls
        (self.port,) = free_ports(1)
        super().__init__("postgresql")

    @property
    def data(self) -> Path:
        """Its data folder."""
        return self.home / "data"

    def configure(self, **settings: str) -> None:
        """Change settings, from the next start on."""
        self._settings.update(settings)

    def stop(self, immediately: bool = False) -> None:
        """A fast shutdown: sessions are cut; `immediately` also leaves recovery to the start."""
        self.process.stop(signal.SIGQUIT if immediately else signal.SIGINT)
        self._process = None

    def close(self) -> None:
        if self._process is not None and self._process.alive():
            self.resume()
            self.stop(immediately=True)
        self._discard_process()
        remove_shared_memory(self.data / "postmaster.pid")
        super().close()

    def url(self, dbname: str) -> str:
        """The SQLAlchemy URL of a database."""
        return f"postgresql+psycopg://{self.user}@{self.host}:{self.port}/{dbname}"

    def createdb(self, name: str | None = None, template: str = "template0") -> str:
        """Make a database and return its URL; without a name it gets a fresh one."""
        chosen = name or f"test_{next(self._names)}"
        make = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        self.execute(make.format(sql.Identifier(chosen), sql.Identifier(template)))
        return self.url(chosen)

    def dropdb(self, name: str) -> None:
        """Remove a database, also from under those who still use it."""
        self.execute(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        )

    def execute(self, statement: sql.Composed) -> None:
        with self._connect() as connection:
            connection.execute(statement)

    def _prepare(self) -> None:
        """Trust is enough: nobody but this machine's users can reach the loopback port."""
        options = ["--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C"]
        self._run([self._programs["initdb"], "-D", str(self.data), "-U", self.user, *options])

    def _launch(self) -> ServerProcess:
        settings = dict(self._settings)
        if self._tls is not None:
            certificate = self._home.file("server.pem", self._tls.cert.read_text())
            key = self._home.file("server.key", self._tls.key.read_text(), mode=0o600)
            settings |= {"ssl": "on", "ssl_cert_file": str(certificate), "ssl_key_file": str(key)}
        options = [f"-c{name}={value}" for name, value in settings.items()]
        return ServerProcess(
            [self._programs["postgres"], "-D", str(self.data), "-p", str(self.port), *options],
            home=self.home,
            env=self._programs.env,
            log=self.home / "postgres.log",
            stop_signal=signal.SIGINT,
        )

    def _wait_until_ready(self) -> None:
        wait_until(self._is_ready, START_SECONDS, "PostgreSQL takes no connections")

    def _is_ready(self) -> bool:
        self._must_run()
        try:
            self._connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(
            host=self.host,
            port=self.port,
            user=self.user,
            dbname="postgres",
            autocommit=True,
            connect_timeout=5,
        )


class StandbyServer(PostgresServer):
    """A standby that follows a primary until it is promoted.

    :param primary: a server that is stopped; its data is copied.
    :param port: where it finds the primary, if not at the primary's own port.
    """

    title = "PostgreSQL's standby"
    #: As ``synchronous_standby_names`` calls it.
    name = "standby"

    def __init__(self, primary: PostgresServer, port: int | None = None) -> None:
        self._primary = primary
        link = f"host={primary.host} port={port or primary.port} user={primary.user}"
        super().__init__({"primary_conninfo": f"{link} application_name={self.name}"})

    def _prepare(self) -> None:
        self._run(["cp", "-a", str(self._primary.data), str(self.data)])
        self._home.file("data/standby.signal", "")

    def promote(self) -> None:
        """Make it a primary; returns when it takes writes."""
        self.execute(sql.SQL("SELECT pg_promote()").format())


def remove_shared_memory(lock_file: Path) -> None:
    """The System V segment that a killed server leaves to its next start, which may not come."""
    lines = lock_file.read_text().splitlines() if lock_file.exists() else []
    if len(lines) >= 7:
        _, segment = lines[6].split()
        ctypes.CDLL(None).shmctl(int(segment), IPC_RMID, None)
