"""Somebody else at the server has the component's address."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from eventworker.db import build_engine, short_transaction
from eventworker.pubsub.facts import NewItem
from eventworker.pubsub.options import Settings
from eventworker.pubsub.service import PubSubService
from tests.helpers.fake_xmpp_server import FakeServer
from tests.helpers.xmpp import ComponentProcess
from tests.servers import XmppServer, wait_until

MakeComponent = Callable[..., ComponentProcess]
JID = "pubsub.localhost"
SAID = f"somebody else at the XMPP server has the address {JID}, too"


def test_an_address_that_somebody_has_is_refused(
    xmpp_server: XmppServer,
    xmpp_kind: str,
    component: ComponentProcess,
    make_component: MakeComponent,
) -> None:
    # Ejabberd takes any number of components of an address, unless it is one of its own.
    taken = {"prosody": component.jid, "ejabberd": xmpp_server.domain}[xmpp_kind]

    other = make_component(xmpp_server, jid=taken).start(wait=False)

    said = f"refuses the component: {taken} is there already, as a component or the server's own"
    wait_until(lambda: said in other.text(), 60, other.text)


@pytest.mark.parametrize(
    "stanza",
    [
        "<iq type='get' id='b-1'><ping xmlns='urn:xmpp:ping'/></iq>",
        "<iq type='error' id='1'><error type='cancel'/></iq>",
        "<iq type='result' id='1'/>",
    ],
)
def test_what_a_namesake_says_is_noticed_once(make_component: MakeComponent, stanza: str) -> None:
    mine = f" from='{JID}' to='{JID}'"
    with FakeServer() as server:
        component = make_component(None, xmpp={"port": server.port, "secret": "s"}).start()
        connection = server.connection(1)
        for _ in range(2):
            connection.send(re.sub(r"^<(\w+)", rf"<\1{mine}", stanza))
        wait_until(lambda: SAID in component.text(), 30, component.text)
        connection.send(
            f"<iq type='get' id='last' from='a@b.c/d' to='{JID}'><ping xmlns='urn:xmpp:ping'/></iq>"
        )
        connection.wait_for("id='last' type='result'")
        assert component.stop() == 0
    assert component.text().count(SAID) == 1


def test_the_question_of_a_namesake_is_none_of_its_own(make_component: MakeComponent) -> None:
    """Or a page of notifications would be noted as told that the server has not handled."""
    with FakeServer() as server:
        component = make_component(None, xmpp={"port": server.port, "secret": "s"})
        asked = []
        for number in (1, 2):
            component.start()
            said = server.connection(number).wait_for("</iq>")
            asked += re.findall("<iq [^>]*id='([^']+)'", said)[:1]
            assert component.stop() == 0
    assert len(set(asked)) == 2
    assert SAID not in component.text()


@pytest.mark.long
def test_two_components_of_an_address_notice_each_other_where_the_server_takes_both(
    ejabberd_server: XmppServer, make_component: MakeComponent
) -> None:
    first, second = (make_component(ejabberd_server, jid="other.localhost").start() for _ in "12")
    engine = build_engine(first.url)
    settings = Settings(service=first.jid)
    with short_transaction(engine) as connection:
        service = PubSubService(connection, settings)
        service.create("news", settings.itself)
        service.subscribe("news", settings.itself, "bob@localhost")

    def noticed() -> bool:
        with short_transaction(engine) as connection:
            item = NewItem("1", "<a xmlns='urn:a'/>")
            PubSubService(connection, settings).publish("news", settings.itself, [item])
        return "has the address other.localhost, too" in first.text() + second.text()

    # Of each question that one asks itself, one in two goes to the other.
    wait_until(noticed, 60, lambda: first.text() + second.text())
    engine.dispose()
