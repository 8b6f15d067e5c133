"""What the tests need of an XMPP server, whichever it is: accounts, and places for components."""

from __future__ import annotations

import abc
import secrets
from collections.abc import Sequence
from pathlib import Path

from tests.servers.server import Server
from tests.servers.snippets import snippet

DOMAIN = "localhost"
#: Where readers are told how a server is set up for the component.
PAGE = Path(__file__).parents[2] / "docs/howto/xmpp.rst"


class XmppServer(Server):
    """A private XMPP server with these accounts, whose password is :attr:`password`.

    It takes the components :attr:`components`, all with :attr:`secret`, and has a publish-subscribe
    service of its own, :attr:`own_service`.

    :param accounts: local parts of addresses.
    """

    domain = DOMAIN
    component = f"pubsub.{DOMAIN}"
    components = (component, f"several.{DOMAIN}", f"other.{DOMAIN}")
    own_service = f"own.{DOMAIN}"
    password = "opensesame"
    #: Where clients connect.
    port: int
    #: Where components do.
    component_port: int

    def __init__(self, kind: str, accounts: Sequence[str]) -> None:
        self._accounts = accounts
        self.secret = secrets.token_hex(10)
        super().__init__(kind)

    def address(self, account: str) -> str:
        """The JID of an account."""
        return f"{account}@{self.domain}"

    @abc.abstractmethod
    def add_accounts(self, names: Sequence[str]) -> None:
        """Make accounts while it is running, those that nobody has asked for yet."""

    def log(self) -> str:
        """What it has logged."""
        return self.process.log.read_text(errors="replace")

    def as_the_page_says(self, file: str, component: str) -> str:
        """A server's configuration for the component, as :data:`PAGE` has it: with the address, the
        secret and the port of this server, and for all its components.

        :param file: the caption that it has on the page.
        :param component: the lines that are there for each component.
        """
        text = snippet(PAGE, file)
        assert component in text, f"{PAGE.name} has another {file}"
        text = text.replace(
            component,
            "".join(component.replace("pubsub.example.org", name) for name in self.components),
        )
        text = text.replace("own.example.org", self.own_service)
        for said, here in (("the secret", self.secret), ("5347", str(self.component_port))):
            assert said in text, f"{file} of {PAGE.name} does not say {said}"
            text = text.replace(said, here)
        return text
