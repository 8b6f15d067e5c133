"""A private MariaDB server."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pymysql

from tests.servers.certificates import Certificate
from tests.servers.ports import HOST, free_ports
from tests.servers.process import ServerProcess
from tests.servers.server import Server
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


class MariaServer(Server):
    """A private MariaDB; with `tls`, its certificate, it also takes connections with TLS."""

    title = "MariaDB"
    user = "root"

    def __init__(
        self, settings: Mapping[str, str] | None = None, tls: Certificate | None = None
    ) -> None:
        self._settings = {**SETTINGS, **(settings or {})}
        self._tls = tls
        (self.port,) = free_ports(1)
        super().__init__("mariadb")

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

    def _prepare(self) -> None:
        """Without a password: nobody but this machine's users can reach the loopback port."""
        self._home.folder("data")
        self._home.folder("tmp")
        head = "CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket=NULL;\n"
        scripts = [(self._scripts / name).read_text() for name in SYSTEM_TABLES]
        options = ["--bootstrap", "--innodb-log-file-size=32M", "--log-warnings=0"]
        self._run([*self._command(), *options], text="\n".join([head, *scripts]))

    def _launch(self) -> ServerProcess:
        settings = dict(self._settings)
        if self._tls is not None:
            certificate = self._home.file("server.pem", self._tls.cert.read_text())
            key = self._home.file("server.key", self._tls.key.read_text(), mode=0o600)
            settings |= {"ssl-cert": str(certificate), "ssl-key": str(key)}
        options = [f"--{name}={value}" for name, value in settings.items()]
        files = [f"--socket={self.home}/socket", f"--pid-file={self.home}/pid"]
        # Each start deletes what it takes for leftovers in there: never another server's.
        files.append(f"--tmpdir={self.home}/tmp")
        return ServerProcess(
            [*self._command(), f"--port={self.port}", *files, *options],
            home=self.home,
            env=self._programs.env,
            log=self.home / "mariadb.log",
        )

    def _wait_until_ready(self) -> None:
        wait_until(self._is_ready, START_SECONDS, "MariaDB takes no connections")

    def _is_ready(self) -> bool:
        self._must_run()
        try:
            self._connect().close()
        except pymysql.err.OperationalError:
            return False
        return True

    def _command(self) -> list[str]:
        """The server without anybody's configuration files."""
        mariadbd, base = self._programs["mariadbd"], self._programs["base"]
        files = [f"--lc-messages-dir={self._scripts}", f"--datadir={self.home}/data"]
        return [mariadbd, "--no-defaults", f"--basedir={base}", *files]

    @property
    def _scripts(self) -> Path:
        shares = [Path(self._programs["base"]) / "share" / name for name in ("mysql", "mariadb")]
        return next((path for path in shares if (path / SYSTEM_TABLES[0]).exists()), shares[0])

    def _connect(self) -> "pymysql.Connection[pymysql.cursors.Cursor]":
        return pymysql.connect(
            host=self.host,
            port=self.port,
            user=self.user,
            autocommit=True,
            connect_timeout=5,
        )
