"""A private ejabberd, which is no Erlang node: nobody's port mapper hears of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from http.client import HTTPConnection

from tests.servers.ports import HOST, accepts_connections, free_ports
from tests.servers.process import ServerError, ServerProcess
from tests.servers.snippets import snippet
from tests.servers.waiting import wait_until
from tests.servers.xmpp import PAGE, XmppServer

START_SECONDS = 60.0
#: The lines of the page that are there for each component.
COMPONENT = '      "pubsub.example.org":\n        password: "the secret"\n'
WITH_ROSTERS = "ejabberd.yml, where rosters can be read"
LISTENERS = """
listen:
  -
    port: {port}
    ip: "{host}"
    module: ejabberd_c2s
  -
    port: {api_port}
    ip: "{host}"
    module: ejabberd_http
    request_handlers:
      /api: mod_http_api
"""
MODULES = """
modules:
  mod_disco: {}
  mod_http_api: {}
  mod_ping: {}
  mod_roster: {}
"""
REST = """
loglevel: info
hosts:
  - "{domain}"
auth_password_format: plain
api_permissions:
  "the tests":
    who: all
    what: [register]
"""


class EjabberdServer(XmppServer):
    """See :class:`~tests.servers.xmpp.XmppServer`.

    :param rosters: the one component that may read rosters (XEP-0356), with ``get``; none if it is
        empty or says ``none``.
    """

    title = "ejabberd"

    def __init__(
        self,
        accounts: Sequence[str] = ("alice", "bob", "carol", "dave"),
        rosters: Mapping[str, str] | None = None,
    ) -> None:
        self._rosters = dict(rosters or {})
        self.port, self.component_port, self._api_port = free_ports(3)
        super().__init__("ejabberd", accounts)

    def add_accounts(self, names: Sequence[str]) -> None:
        """Make those that are not there yet."""
        connection = HTTPConnection(HOST, self._api_port, timeout=30)
        try:
            for name in names:
                account = {"user": name, "host": self.domain, "password": self.password}
                connection.request("POST", "/api/register", json.dumps(account))
                answer = connection.getresponse()
                said = answer.read()
                if answer.status not in (HTTPStatus.OK, HTTPStatus.CONFLICT):
                    raise ServerError(f"ejabberd does not make {name}: {said!r}")
        finally:
            connection.close()

    def grant_rosters(self, rosters: Mapping[str, str]) -> None:
        """Grant this instead of what it was made with; before it is started again."""
        self._rosters = dict(rosters)
        self._configure()

    def _prepare(self) -> None:
        self._configure()
        self._home.folder("data")

    def _configure(self) -> None:
        rules, modules = self._privileges()
        here = {"port": self.port, "api_port": self._api_port, "host": HOST, "domain": self.domain}
        text = self.as_the_page_says("ejabberd.yml", COMPONENT)
        # What the page adds to these is not all that a server needs.
        added = (("listen:\n", LISTENERS.format(**here)), ("modules:\n", MODULES + modules))
        for its, ours in added:
            assert its in text
            text = text.replace(its, ours.lstrip("\n"))
        text += REST.format(**here) + rules
        self._home.file("ejabberd.yml", text)

    def _privileges(self) -> tuple[str, str]:
        """What the page adds: rules, and a module."""
        readers = [name for name, kind in self._rosters.items() if kind == "get"]
        if not readers:
            return "", ""
        (reader,) = readers
        rules, found, modules = snippet(PAGE, WITH_ROSTERS).partition("modules:\n")
        assert found, f"{PAGE.name} has another {WITH_ROSTERS}"
        return rules.replace("pubsub.example.org", reader), modules

    def _launch(self) -> ServerProcess:
        # Without a name, Erlang opens no port to other nodes, and starts no port mapper.
        command = [self._programs["erl"], "-noinput", "-start_epmd", "false"]
        command += ["+S", "2:2", "+sbwt", "none", "-mnesia", "dir", f'"{self.home}/data"']
        return ServerProcess(
            [*command, "-s", "ejabberd"],
            home=self.home,
            env={
                "PATH": "/usr/bin:/bin",
                **self._programs.env,
                "EJABBERD_CONFIG_PATH": str(self.home / "ejabberd.yml"),
                "EJABBERD_LOG_PATH": str(self.home / "ejabberd.log"),
            },
            log=self.home / "output.log",
        )

    def _wait_until_ready(self) -> None:
        wait_until(self._is_ready, START_SECONDS, "ejabberd takes no connections")
        # Each time, as what it has not yet written to the disk is lost when it is killed.
        self.add_accounts(self._accounts)

    def _is_ready(self) -> bool:
        self._must_run()
        ports = (self.port, self.component_port, self._api_port)
        return all(accepts_connections(port) for port in ports)
