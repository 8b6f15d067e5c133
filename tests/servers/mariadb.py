"""A private MariaDB server."""

import itertools
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import pymysql

from tests.servers.home import Home
from tests.servers.ports import HOST, free_ports
from tests.servers.process import ServerError, ServerProcess, identity
from tests.servers.programs import programs_of
from tests.servers.waiting import wait_until

START_SECONDS = 60.0
#: The server's own scripts for its system tables, in the order of mariadb-install-db, without the
#: help texts. That script wants programs of the client's package; the server alone needs none.
SYSTEM_TABLES = (
    "mysql_system_tables.sql",
    "mysql_performance_tables.sql",
    "mysql_system_tables_data.sql",
    "maria_add_gis_sp_bootstrap.sql",
)
# Each commit is flushed, as by default: what survives kill -9 here should survive it elsewhere.
SETTINGS = {
    "bind-address": HOST,
    "skip-name-resolve": "ON",
    "max-connections": "200",
    "innodb-buffer-pool-size": "64M",
    "innodb-log-file-size": "32M",
    "innodb-flush-log-at-trx-commit": "1",
    # Neither is what our tables have: whoever relies on the server's defaults is found out.
    "default-time-zone": "+05:30",
    "character-set-server": "latin1",
}


class MariaServer:
    """A server with a data folder of its own, on one port for its whole life."""

    user = "root"
    host = HOST

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        self._programs = programs_of("mariadb")
        self._settings = {**SETTINGS, **(settings or {})}
        self._home = Home("mariadb")
        self._log = self._home.path / "mariadb.log"
        self._data = self._home.folder("data")
        self._process: ServerProcess | None = None
        self._names = itertools.count(1)
        (self.port,) = free_ports(1)
        try:
            self._make_system_tables()
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
            raise ServerError("this MariaDB server is not running")
        return self._process

    def start(self) -> None:
        options = [f"--{name}={value}" for name, value in self._settings.items()]
        files = [f"--socket={self.home}/socket", f"--pid-file={self.home}/pid"]
        self._process = ServerProcess(
            [*self._command(), f"--port={self.port}", *files, *options],
            home=self._home.path,
            env=self._programs.env,
            log=self._log,
        )
        try:
            wait_until(self._is_ready, START_SECONDS, "MariaDB takes no connections")
        except BaseException as problem:
            failure = self._process.failed(f"did not start: {problem}")
            self._discard_process()
            raise failure from problem

    def stop(self) -> None:
        """An orderly shutdown: sessions are cut."""
        self.process.stop(signal.SIGTERM)
        self._process = None

    def kill(self) -> None:
        """kill -9."""
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
        self._discard_process()
        self._home.remove()

    def url(self, dbname: str) -> str:
        """The SQLAlchemy URL of a database, as an application writes it."""
        return f"mysql+pymysql://{self.user}@{self.host}:{self.port}/{dbname}"

    def createdb(self, name: str | None = None) -> str:
        """Make a database and return its URL; without a name it gets a fresh one."""
        chosen = name or f"test_{next(self._names)}"
        self.execute(f"CREATE DATABASE `{chosen}` CHARACTER SET utf8mb4")
        return self.url(chosen)

    def dropdb(self, name: str) -> None:
        """Remove a database, also from under those who still use it."""
        mine = f"SELECT id FROM information_schema.processlist WHERE db = '{name}'"
        for (number,) in self.execute(mine):
            with suppress(pymysql.err.MySQLError):  # it may have gone by itself
                self.execute(f"KILL {number}")
        self.execute(f"DROP DATABASE IF EXISTS `{name}`")

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        with self._connect() as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

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

    def _command(self) -> list[str]:
        """The server without anybody's configuration files."""
        mariadbd, base = self._programs["mariadbd"], self._programs["base"]
        messages = f"--lc-messages-dir={self._scripts}"
        return [mariadbd, "--no-defaults", f"--basedir={base}", messages, f"--datadir={self._data}"]

    @property
    def _scripts(self) -> Path:
        shares = [Path(self._programs["base"]) / "share" / name for name in ("mysql", "mariadb")]
        return next((path for path in shares if (path / SYSTEM_TABLES[0]).exists()), shares[0])

    def _make_system_tables(self) -> None:
        """Without a password: nobody but this machine's users can reach the loopback port."""
        head = "CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket=NULL;\n"
        scripts = [(self._scripts / name).read_text() for name in SYSTEM_TABLES]
        done = subprocess.run(
            [*self._command(), "--bootstrap", "--innodb-log-file-size=32M", "--log-warnings=0"],
            input="\n".join([head, *scripts]),
            cwd=self._home.path,
            env={"HOME": str(self._home.path), "LC_ALL": "C", "TZ": "UTC", **self._programs.env},
            capture_output=True,
            text=True,
            **identity(),
        )
        if done.returncode != 0:
            raise ServerError(f"mariadbd --bootstrap failed:\n{done.stdout}{done.stderr}")

    def _is_ready(self) -> bool:
        if not self.process.alive():
            raise ServerError("MariaDB ended")
        try:
            self._connect().close()
        except pymysql.err.OperationalError:
            return False
        return True

    def _connect(self) -> "pymysql.Connection[pymysql.cursors.Cursor]":
        return pymysql.connect(
            host=self.host,
            port=self.port,
            user=self.user,
            autocommit=True,
            connect_timeout=5,
        )

    def _discard_process(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process = None
