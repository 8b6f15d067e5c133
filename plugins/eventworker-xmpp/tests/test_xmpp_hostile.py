"""XML that nobody should send: refused, the state intact, the component up."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from eventworker.db import build_engine, short_transaction
from eventworker.pubsub.notices import Word, tell_subscribers
from eventworker.pubsub.options import Settings
from eventworker.pubsub.service import PubSubService
from tests.helpers.fake_xmpp_server import Connection, FakeServer
from tests.helpers.pubsub_xml import (
    attributes,
    config,
    create,
    done,
    generic,
    ids,
    item,
    owner,
    publish,
    refused,
    subscribe,
    tag,
    values,
)
from tests.helpers.slixmpp_client import SlixmppClient
from tests.helpers.xmpp import ComponentProcess
from tests.servers import wait_until

FROM = "from='mallory@localhost/x' to='pubsub.localhost'"
PING = "<ping xmlns='urn:xmpp:ping'/>"
MAX_BYTES = 20000
LAUGHS = (
    "<!DOCTYPE iq [<!ENTITY a 'ha'>"
    + "".join(
        f"<!ENTITY {name} '{'&' + before + ';' * 1}{('&' + before + ';') * 9}'>"
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
    + "]>"
)


@pytest.fixture(scope="module")
def server() -> Iterator[FakeServer]:
    with FakeServer() as fake:
        yield fake


@pytest.fixture(scope="module")
def beset(
    server: FakeServer, new_component: Callable[..., ComponentProcess]
) -> Iterator[ComponentProcess]:
    """A component of a server that sends what the tests say."""
    xmpp = {"port": server.port, "secret": "s", "max_stanza_bytes": MAX_BYTES}
    with new_component(None, xmpp=xmpp) as process:
        yield process


@pytest.fixture
def connection(server: FakeServer, beset: ComponentProcess) -> Connection:
    """The connection that there is."""
    found = server.connection(max(1, len(server.connections)))
    if found.ended:
        found = server.connection(len(server.connections) + 1)
    return found


def answers(connection: Connection, key: str) -> None:
    """It still does."""
    connection.send(f"<iq type='get' id='{key}' {FROM}>{PING}</iq>")
    said = connection.wait_for(f"id='{key}' type='result'")
    assert "internal-server-error" not in said


@pytest.mark.row("T5")
@pytest.mark.parametrize(
    ("text", "condition"),
    [
        (f"{LAUGHS}<iq/>", "not-well-formed"),
        ("<iq type='get'>&undefined;</iq>", "not-well-formed"),
        ("<!-- a comment -->", "restricted-xml"),
        ("<?xml-stylesheet href='x'?>", "restricted-xml"),
        ("<iq type='get'></message>", "not-well-formed"),
        ("<iq type='get' type='set'/>", "not-well-formed"),
        (b"<iq type='get' id='\xff\xfe'/>", "not-well-formed"),
        ("<iq a='" + "x" * (17 * MAX_BYTES), "policy-violation"),
        ("<iq><x:unbound/></iq>", "not-well-formed"),
    ],
)
def test_what_xmpp_forbids_ends_the_connection_and_the_component_comes_back(
    server: FakeServer, connection: Connection, text: str | bytes, condition: str
) -> None:
    before = len(server.connections)

    connection.send(text)

    assert f"<stream:error><{condition} " in connection.wait_end()
    answers(server.connection(before + 1), "again")


def test_what_the_server_says_at_the_end_of_a_connection_is_in_the_log(
    server: FakeServer, connection: Connection, beset: ComponentProcess
) -> None:
    before = len(server.connections)
    errors = "xmlns='urn:ietf:params:xml:ns:xmpp-streams'"

    connection.send(
        f"<stream:error><text {errors}>a stanza is too large</text><policy-violation {errors}/>"
        "</stream:error></stream:stream>"
    )

    answers(server.connection(before + 1), "again")
    assert "ended the connection: policy-violation: a stanza is too large" in beset.text()


@pytest.mark.row("T5")
@pytest.mark.parametrize(
    "inside",
    [
        "<a xmlns='urn:a'>" + "<b>" * 500 + "</b>" * 500 + "</a>",
        f"<a xmlns='urn:a'>{'x' * (2 * MAX_BYTES)}</a>",
        f"<a xmlns='urn:a'>{'<b/>' * MAX_BYTES}</a>",
        f"<a xmlns='urn:a' b='{'x' * (2 * MAX_BYTES)}'/>",
    ],
)
def test_what_is_too_deep_or_too_large_is_passed_over_and_refused(
    connection: Connection, inside: str
) -> None:
    connection.forget()
    connection.send(f"<iq type='set' id='big' {FROM}>{inside}</iq>")

    said = connection.wait_for("id='big' type='error'")

    assert "<not-acceptable" in said
    answers(connection, "after")


@pytest.mark.parametrize(
    "stanza",
    [
        "<iq/>",
        f"<iq {FROM}/>",
        f"<iq type='get' id='' {FROM}>{PING}</iq>",
        f"<iq type='get' id='1' from='@' to='pubsub.localhost'>{PING}</iq>",
        f"<iq type='result' id='1' {FROM}>{PING}</iq>",
        f"<message {FROM}/>",
        f"<message type='error' id='n-1-1' {FROM}/>",
        f"<message type='error' id='n-zzz' {FROM}><error/></message>",
        f"<message {FROM}><x xmlns='jabber:x:data' type='submit'/><x xmlns='jabber:x:data'/>"
        "</message>",
        f"<presence {FROM} type='nonsense'/>",
        f"<presence {FROM} type='error'/>",
        "<presence/>",
        "<other xmlns='urn:other'/>",
        f"<iq type='set' id='1' {FROM}><pubsub xmlns='http://jabber.org/protocol/pubsub'>"
        "<publish node='&#xFFFD;'><item id='&#x85;'/></publish></pubsub></iq>",
        f"<iq type='get' id='1' {FROM}><query xmlns='http://jabber.org/protocol/disco#items'>"
        "<set xmlns='http://jabber.org/protocol/rsm'><max>-1</max></set></query></iq>",
        f"<iq type='get' id='1' {FROM}><query xmlns='http://jabber.org/protocol/disco#items'>"
        "<set xmlns='http://jabber.org/protocol/rsm'><max>99999999999999999999</max></set></query>"
        "</iq>",
    ],
)
def test_what_makes_no_sense_disturbs_nobody(connection: Connection, stanza: str) -> None:
    connection.forget()
    connection.send(stanza)
    answers(connection, "after")


@pytest.mark.row("T5")
@pytest.mark.parametrize("namespace", ["a}b", "}", "{a}b", "a b", "urn:x\N{SNOWMAN}"])
def test_a_namespace_with_any_character_disturbs_nobody(
    connection: Connection, namespace: str
) -> None:
    connection.forget()
    connection.send(
        f"<iq type='get' id='1' {FROM}><x xmlns='{namespace}' xmlns:y='{namespace}' y:z=''/></iq>"
    )
    assert "<service-unavailable" in connection.wait_for("id='1' type='error'")


def test_who_pretends_to_be_an_account_of_the_service_is_refused(connection: Connection) -> None:
    connection.forget()
    connection.send(
        "<iq type='set' id='local' from='hooks@pubsub.localhost' to='pubsub.localhost'>"
        f"{create('made-by-a-pretender')}</iq>"
    )
    assert "<forbidden" in connection.wait_for("id='local' type='error'")


def test_a_stanza_may_come_byte_by_byte(connection: Connection) -> None:
    connection.forget()
    for byte in f"<iq type='get' id='slow' {FROM}>{PING}</iq>".encode():
        connection.send(bytes([byte]))
    connection.wait_for("id='slow' type='result'")


def test_who_asks_too_much_at_once_is_told_to_wait(connection: Connection) -> None:
    connection.forget()
    many = "".join(f"<iq type='get' id='m{n}' {FROM}>{PING}</iq>" for n in range(1000))
    connection.send(many)
    answers_to_others = (
        f"<iq type='get' id='other' from='a@b.c/d' to='pubsub.localhost'>{PING}</iq>"
    )
    connection.send(answers_to_others)

    connection.wait_for("id='other' type='result'")
    wait_until(lambda: connection.text().count("id='m") >= 1000)
    said = connection.text()

    assert "<resource-constraint" in said
    results = [f"id='m{n}' type='result'" for n in range(1000)]
    order = [said.index(each) for each in results if each in said]
    assert order == sorted(order)
    assert len(order) >= 100


def test_a_notice_that_cannot_be_written_holds_up_no_other(
    component: ComponentProcess, alice: SlixmppClient, bob: SlixmppClient, node: str
) -> None:
    done(alice.ask("set", create(node)))
    done(bob.ask("set", subscribe(node, bob.bare)))
    broken = {"items": [{"id": "1", "payload": "<unclosed>"}]}
    engine = build_engine(component.url)
    with short_transaction(engine) as connection:
        service = PubSubService(connection, Settings(service=component.jid))
        tell_subscribers(service, service.node(node), Word.ITEMS, broken)
    engine.dispose()

    done(alice.ask("set", publish(node, item("2"))))

    assert attributes(bob.message(node), "item", "id") == [("2",)]
    assert "cannot be written: nobody is told" in component.text()


@pytest.mark.row("T5")
def test_the_text_of_a_payload_holds_up_nobody(
    alice: SlixmppClient, bob: SlixmppClient, node: str
) -> None:
    done(alice.ask("set", create(node)))
    done(bob.ask("set", subscribe(node, bob.bare)))
    deep = "<json xmlns='urn:xmpp:json:0'>" + "[" * 60_000 + "</json>"

    done(alice.ask("set", publish(node, item("1", deep))))

    assert attributes(bob.message(node), "item", "id") == [("1",)]


@pytest.mark.row("T5")
def test_what_a_server_writes_wrong_ends_no_connection(
    component: ComponentProcess, alice: SlixmppClient, node: str
) -> None:
    done(alice.ask("set", create(node)))
    connections = component.connections()

    answer = alice.ask("set", publish(node, item("1", "<a xmlns='urn:a'><xml:b/></a>")))

    assert refused(answer) == ("not-acceptable", None)
    assert component.connections() == connections


@pytest.mark.row("T5")
def test_no_configuration_grows_beyond_what_the_server_takes(
    component: ComponentProcess, alice: SlixmppClient, bob: SlixmppClient, node: str
) -> None:
    done(alice.ask("set", create(node, notify_config="1")))
    done(bob.ask("set", subscribe(node, bob.bare)))
    connections = component.connections()
    names = ("title", "description", "type", "body_xslt", "dataform_xslt")

    answers = [
        alice.ask("set", owner(tag("configure", node, config(**{name: "&amp;" * 30_000}))))
        for name in names
    ]

    assert {refused(each) for each in answers} == {("not-acceptable", None)}
    done(alice.ask("set", owner(tag("configure", node, config(title="News")))))
    assert values(bob.message(node))["title"] == ["News"]
    assert component.connections() == connections


@pytest.mark.row("D3")
def test_no_title_hides_the_nodes_behind_it(alice: SlixmppClient, node: str) -> None:
    done(alice.ask("set", create(f"{node} 1", title="t" * 30_000)))
    done(alice.ask("set", create(f"{node} 2")))

    listed = done(alice.ask("get", "<query xmlns='http://jabber.org/protocol/disco#items'/>"))

    named = dict(attributes(listed, "item", "node", "name"))
    assert named[f"{node} 1"] == "t" * 200
    assert f"{node} 2" in named


@pytest.mark.row("T5")
def test_through_a_server_nobody_else_notices(
    alice: SlixmppClient, bob: SlixmppClient, node: str
) -> None:
    done(alice.ask("set", create(node)))
    deep = "<a xmlns='urn:a'>" + "<b>" * 200 + "</b>" * 200 + "</a>"

    assert refused(alice.ask("set", publish(node, item("1", deep)))) == ("not-acceptable", None)

    done(bob.ask("get", "<ping xmlns='urn:xmpp:ping'/>"))
    assert ids(done(alice.ask("get", generic(tag("items", node))))) == []


@pytest.mark.row("S1")
def test_nobody_acts_for_somebody_whose_name_is_only_alike(connection: Connection) -> None:
    """RFC 7622 tells ``straße`` from ``strasse``; older tables know only the latter."""

    def ask(key: str, name: str, inside: str) -> str:
        connection.forget()
        about = f"type='set' id='{key}' from='{name}@localhost/x' to='pubsub.localhost'"
        connection.send(f"<iq {about}>{inside}</iq>")
        return connection.wait_for(f"id='{key}'")

    for_strasse = subscribe("whose", "strasse@localhost")
    assert "type='result'" in ask("made", "strasse", create("whose"))
    assert "<invalid-jid " in ask("alike", "straße", for_strasse)
    assert "<jid-malformed " in ask("unprepared", "STRASSE", for_strasse)
    assert "type='result'" in ask("same", "strasse", for_strasse)
