"""A private Prosody: an XMPP server with accounts, and places for components."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from tests.servers.ports import HOST, accepts_connections, free_ports
from tests.servers.process import ServerProcess
from tests.servers.waiting import wait_until
from tests.servers.xmpp import XmppServer

START_SECONDS = 30.0
#: The lines of the page that are there for each component.
COMPONENT = 'Component "pubsub.example.org"\n    component_secret = "the secret"\n'
CONFIGURATION = """
daemonize = false
pidfile = "{home}/prosody.pid"
data_path = "{home}/data"
certificates = "{home}"
log = {{ {{ levels = {{ min = "info" }}, to = "console" }} }}
use_libevent = false
network_backend = "epoll"
interfaces = {{ "{host}" }}
local_interfaces = {{ "{host}" }}
c2s_ports = {{ {port} }}
c2s_direct_tls_ports = {{ }}
modules_enabled = {{ "roster", "saslauth", "disco", "ping" }}
modules_disabled = {{ "s2s" }}
authentication = "internal_plain"
storage = "internal"
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
{components}
VirtualHost "{domain}"
Component "{own}" "pubsub"
    admins = {{ "{owner}" }}
"""


class ProsodyServer(XmppServer):
    """See :class:`~tests.servers.xmpp.XmppServer`. At its own service the first account may create
    nodes."""

    title = "Prosody"

    def __init__(self, accounts: Sequence[str] = ("alice", "bob", "carol", "dave")) -> None:
        self.port, self.component_port = free_ports(2)
        super().__init__("prosody", accounts)

    def add_accounts(self, names: Sequence[str]) -> None:
        """Make accounts; also while it is running, for those that it has not been asked for."""
        for name in names:
            path = f"data/{_encoded(self.domain)}/accounts/{_encoded(name)}.dat"
            self._home.file(path, f'return {{ ["password"] = "{self.password}"; }};\n')

    def _prepare(self) -> None:
        for folder in ("data", f"data/{_encoded(self.domain)}"):
            self._home.folder(folder)
        self._home.folder(f"data/{_encoded(self.domain)}/accounts")
        self.add_accounts(self._accounts)
        text = CONFIGURATION.format(
            home=self.home,
            host=HOST,
            port=self.port,
            domain=self.domain,
            components=self.as_the_page_says("prosody.cfg.lua", COMPONENT),
            own=self.own_service,
            owner=self.address(self._accounts[0]),
        )
        self._home.file("prosody.cfg.lua", text)

    def _launch(self) -> ServerProcess:
        command = [self._programs["lua"], self._programs["prosody"]]
        return ServerProcess(
            [*command, "--config", str(self.home / "prosody.cfg.lua"), "-F"],
            home=self.home,
            env={"PATH": "/usr/bin:/bin", **self._programs.env},
            log=self.home / "prosody.log",
        )

    def _wait_until_ready(self) -> None:
        wait_until(self._is_ready, START_SECONDS, "Prosody takes no connections")

    def _is_ready(self) -> bool:
        self._must_run()
        return accepts_connections(self.port) and accepts_connections(self.component_port)


def _encoded(name: str) -> str:
    """As Prosody calls a file of its storage."""
    return quote(name, safe="").replace(".", "%2e").lower()
