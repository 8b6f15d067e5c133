"""A private Prosody: an XMPP server with accounts, and places for components."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote

from tests.servers.ports import HOST, accepts_connections, free_ports
from tests.servers.process import ServerProcess
from tests.servers.programs import programs_of
from tests.servers.snippets import snippet
from tests.servers.waiting import wait_until
from tests.servers.xmpp import PAGE, XmppServer

START_SECONDS = 30.0
#: The lines of the page that are there for each component.
COMPONENT = 'Component "pubsub.example.org"\n    component_secret = "the secret"\n'
WITH_ROSTERS = "prosody.cfg.lua, where rosters can be read"
#: Its line that is there for each component that may read them.
GRANT = '        ["pubsub.example.org"] = { roster = "get" };\n'
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
{plugin_paths}
{components}
{virtual_host}
Component "{own}" "pubsub"
    admins = {{ "{owner}" }}
"""


class ProsodyServer(XmppServer):
    """See :class:`~tests.servers.xmpp.XmppServer`. At its own service the first account may create
    nodes.

    :param rosters: what the components may do with rosters (XEP-0356): ``get``, ``set``, ``both``
        or ``none``, by address; the others are granted nothing.
    """

    title = "Prosody"

    def __init__(
        self,
        accounts: Sequence[str] = ("alice", "bob", "carol", "dave"),
        rosters: Mapping[str, str] | None = None,
    ) -> None:
        self._rosters = dict(rosters or {})
        self.port, self.component_port = free_ports(2)
        super().__init__("prosody", accounts)

    def add_accounts(self, names: Sequence[str]) -> None:
        """Make accounts; also while it is running, for those that it has not been asked for."""
        for name in names:
            path = f"data/{_encoded(self.domain)}/accounts/{_encoded(name)}.dat"
            self._home.file(path, f'return {{ ["password"] = "{self.password}"; }};\n')

    def grant_rosters(self, rosters: Mapping[str, str]) -> None:
        """Grant this instead of what it was made with; before it is started again."""
        self._rosters = dict(rosters)
        self._configure()

    def _prepare(self) -> None:
        for folder in ("data", f"data/{_encoded(self.domain)}"):
            self._home.folder(folder)
        self._home.folder(f"data/{_encoded(self.domain)}/accounts")
        self.add_accounts(self._accounts)
        self._configure()

    def _configure(self) -> None:
        text = CONFIGURATION.format(
            home=self.home,
            host=HOST,
            port=self.port,
            plugin_paths=self._plugin_paths(),
            components=self._components(),
            virtual_host=self._virtual_host(),
            own=self.own_service,
            owner=self.address(self._accounts[0]),
        )
        self._home.file("prosody.cfg.lua", text)

    def _plugin_paths(self) -> str:
        if not self._rosters:
            return ""
        return f'plugin_paths = {{ "{programs_of("prosody-modules")["modules"]}" }}'

    def _components(self) -> str:
        made = self.as_the_page_says("prosody.cfg.lua", COMPONENT)
        secret = COMPONENT.splitlines(keepends=True)[1].replace("the secret", self.secret)
        more = snippet(PAGE, WITH_ROSTERS).partition(COMPONENT)[2]
        assert more, f"{PAGE.name} has another {WITH_ROSTERS}"
        return made.replace(secret, secret + more) if self._rosters else made

    def _virtual_host(self) -> str:
        if not self._rosters:
            return f'VirtualHost "{self.domain}"'
        text = snippet(PAGE, WITH_ROSTERS).partition(COMPONENT)[0]
        assert GRANT in text, f"{PAGE.name} has another {WITH_ROSTERS}"
        granted = (
            GRANT.replace("pubsub.example.org", name).replace("get", kind)
            for name, kind in self._rosters.items()
        )
        return text.replace(GRANT, "".join(granted)).replace('"example.org"', f'"{self.domain}"')

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
