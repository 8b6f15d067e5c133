"""A client on slixmpp: with its plugin for publish-subscribe, and for stanzas written by hand."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self
from xml.etree.ElementTree import Element, fromstring

from slixmpp import ClientXMPP

from tests.helpers.xmpp import PATIENCE, Loop
from tests.servers import XmppServer, wait_until

CLIENT = "{jabber:client}"


class SlixmppClient:
    """A client that is connected, and has kept every stanza that it was sent.

    :param jid: with a resource.
    :param service: whom :meth:`ask` asks.
    """

    def __init__(self, loop: Loop, server: XmppServer, jid: str, service: str) -> None:
        self.loop = loop
        self.jid = jid
        self.bare = jid.partition("/")[0]
        self.service = service
        self.stanzas: list[Element] = []
        self._server = server
        self._numbers = itertools.count(1)
        self.client: ClientXMPP = loop(self._connect())

    async def _connect(self) -> ClientXMPP:
        client = ClientXMPP(self.jid, self._server.password)
        for plugin in ("xep_0030", "xep_0060", "xep_0050", "xep_0059"):
            client.register_plugin(plugin)
        client.enable_starttls = client.enable_direct_tls = False
        client.enable_plaintext = True
        client.plugin["feature_mechanisms"].unencrypted_scram = True
        client.plugin["feature_mechanisms"].unencrypted_plain = True
        client.auto_authorize = client.auto_subscribe = True
        client.add_filter("in", self._keep)
        started = asyncio.get_running_loop().create_future()
        client.add_event_handler(
            "session_start", lambda _event: started.done() or started.set_result(None)
        )
        client.connect(self._server.host, self._server.port)
        await asyncio.wait_for(started, PATIENCE)
        client.send_presence()
        # Its answer comes after the presence was heard: what is sent to the account arrives now.
        await client.get_roster()
        return client

    def _keep(self, stanza: Any) -> Any:
        self.stanzas.append(stanza.xml)
        return stanza

    def ask(self, kind: str, payload: str, to: str | None = None) -> Element:
        """Send an ``<iq/>`` with this payload; returns the whole answer."""
        key = f"asked-{next(self._numbers)}"
        self.send(f"<iq type='{kind}' id='{key}' to='{to or self.service}'>{payload}</iq>")
        return self.wait_for(lambda stanza: stanza.tag == f"{CLIENT}iq" and stanza.get("id") == key)

    def send(self, text: str) -> None:
        """Send a stanza as it is written."""
        self.loop.loop.call_soon_threadsafe(self.client.send_raw, text)

    def messages(self, node: str = "") -> list[Element]:
        """Messages from the service, those that are about this node."""
        return [
            stanza
            for stanza in list(self.stanzas)
            if stanza.tag == f"{CLIENT}message"
            and stanza.get("from") == self.service
            and (not node or any(node in (each.get("node"), each.text) for each in stanza.iter()))
        ]

    def message(self, node: str, number: int = 1) -> Element:
        """The so-manieth message that is about the node, when it has come."""
        wait_until(
            lambda: len(self.messages(node)) >= number,
            PATIENCE,
            lambda: f"{len(self.messages(node))} messages about {node} instead of {number}",
        )
        return self.messages(node)[number - 1]

    def wait_for(self, wanted: Callable[[Element], bool]) -> Element:
        """The first stanza that is wanted, when it has come."""
        found: list[Element] = []

        def look() -> bool:
            found[:] = [stanza for stanza in list(self.stanzas) if wanted(stanza)]
            return bool(found)

        wait_until(look, PATIENCE, "the stanza did not come")
        return found[0]

    def settle(self) -> None:
        """Return when everything is here that the server had for this client before."""
        self.ask("get", "<ping xmlns='urn:xmpp:ping'/>", to=self._server.domain)

    def items(self, node: str) -> list[str | None]:
        """The ids of the items that it has been told of, in the order of their arrival."""
        return [
            each.get("id")
            for message in self.messages(node)
            for each in message.iter("{http://jabber.org/protocol/pubsub#event}item")
        ]

    def close(self) -> None:
        """Disconnect."""

        async def end() -> None:
            await self.client.disconnect()
            self.client.abort()
            # Slixmpp leaves this one to the garbage collector, which complains of it on the
            # standard error of whatever test is under way then.
            if (sending := self.client._run_out_filters) is not None:
                sending.cancel()

        self.loop(end())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _value: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()


def element(text: str) -> Element:
    """What the text says."""
    return fromstring(text)
