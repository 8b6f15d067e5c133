"""A private PostgreSQL server."""

import ctypes
import itertools
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
from psycopg import sql

from tests.servers.home import Home
from tests.servers.ports import HOST, free_ports
from tests.servers.process import ServerError, ServerProcess, identity
from tests.servers.programs import programs_of
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


class PostgresServer:
    """A server with a data folder of its own, on one port for its whole life."""

    user = "postgres"
    host = HOST

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        self._programs = programs_of("postgresql")
        self._settings = {**SETTINGS, **(settings or {})}
        self._home = Home("postgres")
        self._log = self._home.path / "postgres.log"
        self._data = self._home.path / "data"
        self._process: ServerProcess | None = None
        self._names = itertools.count(1)
        (self.port,) = free_ports(1)
        try:
            self._initdb()
        except BaseException:
            self._home.remove()
            raise

    @property
    def home(self) -> Path:
        """The folder with all that it writes."""
        return self._home.path

    @property
    def process(self) -> ServerProcess:
        if self._process is None:
            raise ServerError("this PostgreSQL server is not running")
        return self._process

    def start(self) -> None:
        options = [f"-c{name}={value}" for name, value in self._settings.items()]
        postgres = self._programs["postgres"]
        self._process = ServerProcess(
            [postgres, "-D", str(self._data), "-p", str(self.port), *options],
            home=self._home.path,
            env=self._programs.env,
            log=self._log,
            stop_signal=signal.SIGINT,
        )
        try:
            wait_until(self._is_ready, START_SECONDS, "PostgreSQL takes no connections")
        except BaseException as problem:
            failure = self._process.failed(f"did not start: {problem}")
            self._discard_process()
            raise failure from problem

    def stop(self, immediately: bool = False) -> None:
        """A fast shutdown: sessions are cut; `immediately` also leaves recovery to the start."""
        self.process.stop(signal.SIGQUIT if immediately else signal.SIGINT)
        self._process = None

    def kill(self) -> None:
        """kill -9 of the server and of every backend."""
        self.process.kill()
        self._process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def pause(self) -> None:
        self.process.pause()

    def resume(self) -> None:
        self.process.resume()

    def close(self) -> None:
        """End it, whatever its state, and remove all it had."""
        if self._process is not None and self._process.alive():
            self.resume()
            self.stop(immediately=True)
        self._discard_process()
        remove_shared_memory(self._data / "postmaster.pid")
        self._home.remove()

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

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _initdb(self) -> None:
        """Trust is enough: nobody but this machine's users can reach the loopback port."""
        initdb = self._programs["initdb"]
        options = ["--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C"]
        done = subprocess.run(
            [initdb, "-D", str(self._data), "-U", self.user, *options],
            cwd=self._home.path,
            env={"HOME": str(self._home.path), "LC_ALL": "C", "TZ": "UTC", **self._programs.env},
            capture_output=True,
            text=True,
            **identity(),
        )
        if done.returncode != 0:
            raise ServerError(f"initdb failed:\n{done.stdout}{done.stderr}")

    def _is_ready(self) -> bool:
        if not self.process.alive():
            raise ServerError("PostgreSQL ended")
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

    def _discard_process(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process = None


def remove_shared_memory(lock_file: Path) -> None:
    """The System V segment that a killed server leaves to its next start, which may not come."""
    lines = lock_file.read_text().splitlines() if lock_file.exists() else []
    if len(lines) >= 7:
        _, segment = lines[6].split()
        ctypes.CDLL(None).shmctl(int(segment), IPC_RMID, None)
