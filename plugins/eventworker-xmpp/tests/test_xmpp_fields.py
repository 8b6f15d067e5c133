"""Fields of a node's configuration that only XMPP gives a meaning, as they arrive."""

from __future__ import annotations

from xml.etree.ElementTree import Element

import pytest

from tests.helpers.pubsub_xml import (
    EVENT,
    attributes,
    create,
    done,
    generic,
    item,
    options,
    publish,
    subscribe,
    tag,
    values,
)
from tests.helpers.slixmpp_client import SlixmppClient

ADDRESS = "http://jabber.org/protocol/address"
ATOM = "http://www.w3.org/2005/Atom"
INFO = "http://jabber.org/protocol/disco#info"
LANG = "{http://www.w3.org/XML/1998/namespace}lang"


def heard(
    publisher: SlixmppClient, reader: SlixmppClient, owner: SlixmppClient, node: str, **fields: str
) -> Element:
    """What a reader is told of a publisher's item on an owner's node that is configured so."""
    done(owner.ask("set", create(node, publish_model="open", **fields)))
    done(reader.ask("set", subscribe(node, reader.bare)))
    done(publisher.ask("set", publish(node, item("1"))))
    message: Element = reader.message(node)
    return message


def asked_to_write_to(message: Element) -> list[tuple[str | None, ...]]:
    return [
        (each.get("type"), each.get("jid"))
        for holder in message.findall(f"{{{ADDRESS}}}addresses")
        for each in holder
    ]


@pytest.mark.row("P15", "P4")
@pytest.mark.parametrize("whose", ["publisher", "owner", "none"])
def test_a_message_says_whom_to_answer(
    alice: SlixmppClient, bob: SlixmppClient, carol: SlixmppClient, node: str, whose: str
) -> None:
    message = heard(bob, carol, alice, node, itemreply=whose)

    wanted = {"publisher": [bob.bare], "owner": [alice.bare], "none": []}[whose]
    assert asked_to_write_to(message) == [("replyto", each) for each in wanted]
    shown = None if whose == "none" else bob.bare
    assert attributes(message, "item", "publisher") == [(shown,)]
    kept = done(alice.ask("get", generic(tag("items", node))))
    assert attributes(kept, "item", "publisher") == [(shown,)]


@pytest.mark.row("N6")
def test_a_message_says_the_language_of_its_node(
    alice: SlixmppClient, bob: SlixmppClient, node: str
) -> None:
    message = heard(alice, bob, alice, node, language="de-AT")
    assert message.get(LANG) == "de-AT"
    assert message.find(f"{{{EVENT}}}event") is not None


@pytest.mark.row("N6", "D5")
def test_whoever_looks_at_a_node_is_told_language_and_whom_to_ask(
    alice: SlixmppClient, bob: SlixmppClient, node: str
) -> None:
    done(alice.ask("set", create(node, language="de", contact=[alice.bare, "help@example.org"])))

    answer = done(bob.ask("get", tag("query", node, xmlns=INFO)))

    told = values(answer)
    assert told["language"] == ["de"]
    assert told["contact"] == [alice.bare, "help@example.org"]
    kinds = dict(attributes(answer, "field", "var", "type"))
    assert kinds["pubsub#language"] == "list-single"
    assert kinds["pubsub#contact"] == kinds["pubsub#owner"] == "jid-multi"


@pytest.mark.row("T7", "O1")
@pytest.mark.parametrize("payload", ["", ATOM, "urn:xmpp:json:0", "urn:example:nobody-reads-it"])
def test_a_body_is_offered_where_payloads_may_have_a_text(
    alice: SlixmppClient, bob: SlixmppClient, node: str, payload: str
) -> None:
    done(alice.ask("set", create(node, type=payload)))
    done(bob.ask("set", subscribe(node, bob.bare)))
    about = {"jid": bob.bare}
    is_offered = payload != "urn:example:nobody-reads-it"

    for asked in (tag("options", node, **about), tag("default", node)):
        shown = values(done(bob.ask("get", generic(asked))))
        assert ("include_body" in shown) == is_offered
    assert "include_body" in values(done(bob.ask("get", generic(tag("default")))))
    given = subscribe(node, bob.bare, tag("options", None, options(include_body=1)))
    assert ("include_body" in values(done(bob.ask("set", given)))) == is_offered
