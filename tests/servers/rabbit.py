"""A private RabbitMQ server, with an Erlang port mapper of its own."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from tests.servers.erlang import BrokerShell
from tests.servers.ports import HOST, accepts_connections, free_ports
from tests.servers.process import ServerError, ServerProcess
from tests.servers.server import Server
from tests.servers.waiting import wait_until

START_SECONDS = 90.0
NODE = "eventworker@localhost"
# A listener on every interface is Erlang's default, for the nodes of the command line tools too.
LOOPBACK_ONLY = "-kernel inet_dist_use_interface {127,0,0,1}"


@dataclass(frozen=True)
class Vhost:
    """A virtual host, with all that a client needs to connect to it."""

    host: str
    port: int
    user: str
    password: str
    vhost: str
    server: RabbitServer = field(repr=False, compare=False)

    def messages(self, queue: str) -> int:
        """Messages in a queue, those included that a consumer has and did not acknowledge."""
        return int(
            self.server.evaluate(
                f'{{ok, Queue}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"{self.vhost}">>, queue,'
                f' <<"{queue}">>)),'
                " [{messages, Count}] = rabbit_amqqueue:info(Queue, [messages]), Count"
            )
        )

    @property
    def url(self) -> str:
        credentials = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}"
        return f"amqp://{credentials}@{self.host}:{self.port}/{quote(self.vhost, safe='')}"


class RabbitServer(Server):
    """A private broker.

    `tls` are the paths of the CA's certificate, the server's certificate and its key;
    `settings` are further lines of rabbitmq.conf. `node` is its name at its port mapper, which it
    shares with `kin`, one that runs already, if both are to be of one cluster.
    """

    title = "RabbitMQ"
    user = "guest"
    password = "guest"

    def __init__(
        self,
        tls: tuple[Path, Path, Path] | None = None,
        settings: Mapping[str, str] | None = None,
        node: str = NODE,
        kin: RabbitServer | None = None,
        schedulers: int = 2,
    ) -> None:
        self._tls = tls
        self._settings = settings or {}
        self.node = node
        self._kin = kin
        self._schedulers = schedulers
        self._epmd: ServerProcess | None = None
        self._shell: BrokerShell | None = None
        self.cookie = kin.cookie if kin else secrets.token_hex(10)
        self.port, self.tls_port, self._epmd_port, self._dist_port = free_ports(4)
        if kin:
            self._epmd_port = kin._epmd_port
        super().__init__("rabbitmq")

    @property
    def url(self) -> str:
        return self.at("/").url

    @property
    def epmd(self) -> ServerProcess:
        """Erlang's port mapper, which stays up over the server's restarts."""
        if self._epmd is None:
            raise ServerError("no port mapper was started")
        return self._epmd

    def at(self, vhost: str) -> Vhost:
        return Vhost(self.host, self.port, self.user, self.password, vhost, self)

    def close(self) -> None:
        if self._shell is not None:
            self._shell.close()
            self._shell = None
        self._discard_process()
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd = None
        super().close()

    def wipe(self) -> None:
        """Lose everything it had, as with a broken disk, and start anew with nothing."""
        self.kill()
        shutil.rmtree(self.home / "data")
        self._home.folder("data")
        self.start()

    def ctl(self, *arguments: str) -> str:
        """What rabbitmqctl prints; it takes a second or two, `evaluate` some milliseconds."""
        command = [self._programs["rabbitmqctl"], "--quiet", "--node", self.node, *arguments]
        return self._run(command, self._env)

    def evaluate(self, expression: str) -> str:
        """The value of an Erlang expression inside the broker, as Erlang prints it."""
        if self._shell is None:
            raise ServerError("this RabbitMQ server was not started")
        return self._shell.evaluate(expression)

    def add_vhost(self, name: str | None = None) -> Vhost:
        """Make a virtual host on which `user` may do everything."""
        chosen = name or f"test-{next(self._names)}"
        everything = '<<".*">>, <<".*">>, <<".*">>'
        self.evaluate(
            f'ok = rabbit_vhost:add(<<"{chosen}">>, <<"tests">>),'
            f'ok = rabbit_vhost:await_running_on_all_nodes(<<"{chosen}">>, 10000),'
            f'ok = rabbit_auth_backend_internal:set_permissions(<<"{self.user}">>,'
            f' <<"{chosen}">>, {everything}, <<"tests">>)'
        )
        self.write_definitions()
        return self.at(chosen)

    def add_user(
        self,
        name: str,
        password: str,
        vhost: str,
        configure: str = ".*",
        write: str = ".*",
        read: str = ".*",
    ) -> None:
        """Make a user with these permissions, regular expressions, on one virtual host."""
        patterns = ", ".join(f'<<"{pattern}">>' for pattern in (configure, write, read))
        self.evaluate(
            f'ok = rabbit_auth_backend_internal:add_user(<<"{name}">>, <<"{password}">>,'
            f' <<"tests">>),'
            f'ok = rabbit_auth_backend_internal:set_permissions(<<"{name}">>, <<"{vhost}">>,'
            f' {patterns}, <<"tests">>)'
        )

    def delete_user(self, name: str) -> None:
        self.evaluate(f'rabbit_auth_backend_internal:delete_user(<<"{name}">>, <<"tests">>)')

    def write_definitions(self) -> None:
        """Have queues, bindings and the like on disk before a kill -9.

        RabbitMQ 3.10 acknowledges the declaration of a durable queue a moment before that: of 24
        brokers killed right after it, 8 had lost the queue, and the confirmed message with it.
        """
        self.evaluate(
            "case whereis(mnesia_sup) of undefined -> ok; _ -> mnesia:sync_log() end",
        )

    def delete_vhost(self, name: str) -> None:
        self.evaluate(f'rabbit_vhost:delete(<<"{name}">>, <<"tests">>)')

    def _prepare(self) -> None:
        self._env = self._environment()
        self._configure()

    def _launch(self) -> ServerProcess:
        if self._epmd is None and self._kin is None:
            command = [self._programs["epmd"], "-port", str(self._epmd_port), "-address", HOST]
            self._epmd = self._start(command, "epmd.log")
        return self._start([self._programs["rabbitmq-server"]], "server.log")

    def _wait_until_ready(self) -> None:
        wait_until(lambda: accepts_connections(self._epmd_port), 10, "epmd does not listen")
        if self._shell is None:
            self._shell = BrokerShell(
                self._programs["erl"], self.node, home=self.home, env=self._env
            )
        wait_until(self._is_ready, START_SECONDS, "RabbitMQ does not finish its start")

    def _more_logs(self) -> tuple[Path, ...]:
        return (self.home / "log/broker.log",)

    def _environment(self) -> dict[str, str]:
        """Only what is named here: nothing of a system-wide RabbitMQ, nor of the user's shell."""
        home = self._home.path
        # Written beforehand, as the server and the tools would race to make one.
        self._home.file(".erlang.cookie", self.cookie, mode=0o400)
        return {
            "HOME": str(home),
            "LC_ALL": "C.UTF-8",
            **self._programs.env,
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": HOST,
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_MNESIA_BASE": str(self._home.folder("data")),
            "RABBITMQ_LOG_BASE": str(self._home.folder("log")),
            "RABBITMQ_LOGS": str(home / "log/broker.log"),
            "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self._home.file("advanced.config", "[].\n")),
            "RABBITMQ_CONF_ENV_FILE": str(self._home.file("rabbitmq-env.conf", "")),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._home.file("enabled_plugins", "[].\n")),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                f"+S {self._schedulers}:{self._schedulers} +A 16 {LOOPBACK_ONLY}"
            ),
            "RABBITMQ_CTL_ERL_ARGS": f"+S 1:1 {LOOPBACK_ONLY}",
            # Makes the script become the server instead of its parent, so that its pid is ours.
            "RUNNING_UNDER_SYSTEMD": "true",
        }

    def _configure(self) -> None:
        lines = {
            "listeners.tcp.1": f"{HOST}:{self.port}",
            "log.file.level": "info",
            # An alarm should be what a test raised, not the state of the machine's disk.
            "disk_free_limit.absolute": "10MB",
        }
        if self._tls is not None:
            ca, certificate, key = (
                self._home.file(name, source.read_text())
                for name, source in zip(("ca.pem", "cert.pem", "key.pem"), self._tls, strict=True)
            )
            lines |= {
                "listeners.ssl.1": f"{HOST}:{self.tls_port}",
                "ssl_options.cacertfile": str(ca),
                "ssl_options.certfile": str(certificate),
                "ssl_options.keyfile": str(key),
                "ssl_options.verify": "verify_none",
                "ssl_options.fail_if_no_peer_cert": "false",
            }
        text = "".join(f"{name} = {value}\n" for name, value in {**lines, **self._settings}.items())
        self._home.file("rabbitmq.conf", text)

    def _start(self, command: list[str], log: str) -> ServerProcess:
        return ServerProcess(command, home=self.home, env=self._env, log=self.home / log)

    def _is_ready(self) -> bool:
        self._must_run()
        with suppress(ServerError):
            return accepts_connections(self.port) and self.evaluate("rabbit:is_booted()") == "true"
        return False
