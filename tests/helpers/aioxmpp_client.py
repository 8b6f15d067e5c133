"""A client on aioxmpp with its ``PubSubClient``, whose signals are kept."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import aioxmpp
import aioxmpp.connector
import aioxmpp.pubsub
import aioxmpp.pubsub.xso
from aioxmpp import xso

from tests.helpers.xmpp import PATIENCE, Loop
from tests.servers import XmppServer, wait_until


@aioxmpp.pubsub.xso.as_payload_class
class Entry(xso.XSO):
    """A payload."""

    TAG = ("urn:example:entry", "entry")
    text = xso.Text(default=None)

    def __init__(self, text: str | None = None) -> None:
        super().__init__()
        self.text = text


@dataclass(frozen=True)
class Fired:
    """A signal that a client got."""

    name: str
    arguments: tuple[Any, ...]
    details: dict[str, Any] = field(default_factory=dict)


class AioxmppClient:
    """A client that is connected."""

    def __init__(self, loop: Loop, server: XmppServer, account: str, service: str) -> None:
        self.loop = loop
        self.server = server
        self.jid = aioxmpp.JID.fromstr(server.address(account))
        self.service = aioxmpp.JID.fromstr(service)
        self.fired: list[Fired] = []
        loop(self._connect())

    async def _connect(self) -> None:
        layer = aioxmpp.make_security_layer(self.server.password, no_verify=True)
        self._client = aioxmpp.PresenceManagedClient(
            self.jid.replace(resource="aioxmpp"),
            layer._replace(tls_required=False),
            override_peer=[
                (
                    self.server.host,
                    self.server.port,
                    aioxmpp.connector.STARTTLSConnector(),
                )
            ],
        )
        self._pubsub = self._client.summon(aioxmpp.PubSubClient)
        for name in (
            "on_item_published",
            "on_item_retracted",
            "on_node_deleted",
            "on_affiliation_update",
            "on_subscription_update",
        ):
            getattr(self._pubsub, name).connect(self._keeper(name))
        there = asyncio.get_running_loop().create_future()
        self._client.on_stream_established.connect(
            lambda: there.done() or there.set_result(None) or None
        )
        self._client.presence = aioxmpp.PresenceState(available=True)
        await asyncio.wait_for(there, PATIENCE)

    def _keeper(self, name: str) -> Any:
        def keep(*arguments: Any, **details: Any) -> None:
            self.fired.append(Fired(name, arguments, details))

        return keep

    def __getattr__(self, name: str) -> Any:
        """The method of ``PubSubClient``, called with the service and awaited."""
        method = getattr(self._pubsub, name)

        def call(*arguments: Any, **named: Any) -> Any:
            return self.loop(method(self.service, *arguments, **named))

        return call

    def signal(self, name: str, node: str, number: int = 1) -> Fired:
        """The so-manieth signal of that name about the node, when it has come."""

        def look() -> list[Fired]:
            return [
                each for each in list(self.fired) if each.name == name and each.arguments[1] == node
            ]

        wait_until(lambda: len(look()) >= number, PATIENCE, lambda: f"not among {self.fired}")
        return look()[number - 1]

    def close(self) -> None:
        """Disconnect."""

        async def end() -> None:
            ended = asyncio.get_running_loop().create_future()
            self._client.on_stopped.connect(lambda: ended.done() or ended.set_result(None) or None)
            self._client.stop()
            await asyncio.wait_for(ended, PATIENCE)

        self.loop(end())
