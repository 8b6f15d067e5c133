"""What subscribers are told (sections 7.1.2, 8, 12 and 13.4), as it arrives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from xml.etree.ElementTree import Element

import pytest

from tests.helpers.pubsub_xml import (
    EVENT,
    PUBSUB,
    attributes,
    config,
    create,
    done,
    generic,
    ids,
    item,
    options,
    owner,
    publish,
    refused,
    subscribe,
    tag,
    texts,
)
from tests.helpers.slixmpp_client import SlixmppClient
from tests.helpers.xmpp import ComponentProcess, Loop
from tests.servers import XmppServer, wait_until

ATOM = "http://www.w3.org/2005/Atom"
STANZAS = "urn:ietf:params:xml:ns:xmpp-stanzas"


def the_event(message: Element) -> Element:
    """What the event in a message is."""
    (event,) = message.findall(f"{{{EVENT}}}event")
    (inside,) = event
    return inside


def configured(client: SlixmppClient, node: str, **fields: object) -> None:
    done(client.ask("set", owner(tag("configure", node, config(**fields)))))


@pytest.fixture
def followed(alice: SlixmppClient, bob: SlixmppClient, node: str) -> str:
    """A node that bob, without resource, is subscribed to."""
    done(alice.ask("set", create(node)))
    done(bob.ask("set", subscribe(node, bob.bare)))
    return node


@pytest.mark.row("P3", "P4", "W4")
def test_an_item_is_told_with_payload_and_publisher(
    alice: SlixmppClient, bob: SlixmppClient, followed: str
) -> None:
    for key in ("1", "2"):
        done(alice.ask("set", publish(followed, item(key, "<a xmlns='urn:a'>text</a>"))))

    first, second = bob.message(followed, 1), bob.message(followed, 2)

    assert (first.get("from"), first.get("to")) == (bob.service, bob.bare)
    assert first.get("type") == "headline"
    assert first.get("id") != second.get("id")
    assert the_event(first).tag == f"{{{EVENT}}}items"
    assert attributes(first, "items", "node") == [(followed,)]
    assert attributes(first, "item", "id", "publisher") == [("1", alice.bare)]
    assert [each.text for each in first.iter("{urn:a}a")] == ["text"]
    assert first.find("{jabber:client}body") is None


@pytest.mark.row("W4")
def test_a_node_may_send_messages_that_are_kept_for_those_who_are_away(
    alice: SlixmppClient, bob: SlixmppClient, followed: str
) -> None:
    configured(alice, followed, notification_type="normal")
    done(alice.ask("set", publish(followed, item("1"))))
    assert bob.message(followed).get("type", "normal") == "normal"


@pytest.mark.row("P6", "P7", "P3")
@pytest.mark.parametrize("persist", [True, False])
@pytest.mark.parametrize("payloads", [True, False])
def test_what_a_node_keeps_and_what_it_delivers_are_two_things(
    alice: SlixmppClient, bob: SlixmppClient, followed: str, persist: bool, payloads: bool
) -> None:
    configured(alice, followed, persist_items=int(persist), deliver_payloads=int(payloads))
    has_item = persist or payloads
    done(alice.ask("set", publish(followed, *([item("1")] if has_item else []))))

    message = bob.message(followed)

    assert ids(message) == (["1"] if has_item else [])
    assert len(list(message.iter("{urn:a}a"))) == int(payloads)
    kept = alice.ask("get", generic(tag("items", followed)))
    if persist:
        assert ids(done(kept)) == ["1"]
    else:
        assert refused(kept) == ("feature-not-implemented", "unsupported")


@pytest.mark.row("R1", "P13")
def test_retractions_are_told_if_that_is_wanted(
    alice: SlixmppClient, bob: SlixmppClient, followed: str
) -> None:
    configured(alice, followed, max_items=2, notify_retract=0)
    for key in ("1", "2"):
        done(alice.ask("set", publish(followed, item(key))))
    done(alice.ask("set", generic(tag("retract", followed, "<item id='1'/>"))))
    done(alice.ask("set", generic(tag("retract", followed, "<item id='2'/>", notify="1"))))

    retracted = bob.message(followed, 3)

    assert the_event(retracted).tag == f"{{{EVENT}}}items"
    assert attributes(retracted, "retract", "id") == [("2",)]


@pytest.mark.row("G1", "X1", "N4")
def test_purging_configuring_and_deleting_are_told(
    alice: SlixmppClient, bob: SlixmppClient, followed: str
) -> None:
    done(alice.ask("set", owner(tag("purge", followed))))
    configured(alice, followed, notify_config=1, title="New")
    configured(alice, followed, deliver_payloads=0)
    redirect = "<redirect uri='xmpp:a.localhost?;node=x'/>"
    done(alice.ask("set", owner(tag("delete", followed, redirect))))

    told = [bob.message(followed, number) for number in (1, 2, 3, 4)]

    names = [the_event(each).tag.rpartition("}")[2] for each in told]
    assert names == ["purge", "configuration", "configuration", "delete"]
    assert "New" in texts(told[1], ["value"])
    assert texts(told[2], ["value"]) == []
    assert attributes(told[3], "redirect", "uri") == [("xmpp:a.localhost?;node=x",)]


@pytest.mark.row("S12", "X1")
def test_who_waits_for_approval_hears_only_that_the_node_is_deleted(
    alice: SlixmppClient, bob: SlixmppClient, node: str
) -> None:
    done(alice.ask("set", create(node, access_model="authorize")))
    done(bob.ask("set", subscribe(node, bob.bare)))
    done(alice.ask("set", publish(node, item("1"))))
    done(alice.ask("set", owner(tag("delete", node))))

    assert the_event(bob.message(node)).tag == f"{{{EVENT}}}delete"


@pytest.mark.row("S16")
def test_a_new_subscriber_is_sent_the_last_item_with_its_time(
    alice: SlixmppClient, bob: SlixmppClient, node: str
) -> None:
    done(alice.ask("set", create(node, send_last_published_item="on_sub")))
    done(alice.ask("set", publish(node, item("1"))))
    done(alice.ask("set", publish(node, item("2"))))
    done(bob.ask("set", subscribe(node, bob.jid)))

    message = bob.message(node)

    assert message.get("to") == bob.jid
    assert ids(message) == ["2"]
    ((stamp,),) = attributes(message, "delay", "stamp")
    assert stamp is not None
    assert stamp.endswith("Z")


@pytest.mark.row("S15")
def test_two_resources_are_two_subscribers(
    alice: SlixmppClient, bob: SlixmppClient, followed: str
) -> None:
    done(bob.ask("set", subscribe(followed, bob.jid)))
    done(alice.ask("set", publish(followed, item("1"))))
    bob.message(followed, 2)
    assert {each.get("to") for each in bob.messages(followed)} == {bob.bare, bob.jid}


@pytest.mark.row("T7")
def test_who_wants_to_read_gets_a_body(
    alice: SlixmppClient, bob: SlixmppClient, carol: SlixmppClient, followed: str
) -> None:
    beside = tag("options", None, options(include_body=1))
    done(carol.ask("set", subscribe(followed, carol.bare, beside)))
    entry = (
        f"<entry xmlns='{ATOM}'><title>News &amp; more</title><summary>All of it</summary></entry>"
    )
    done(alice.ask("set", publish(followed, item("1", entry))))

    body = carol.message(followed).find("{jabber:client}body")
    assert body is not None
    assert body.text == "News & more\nAll of it"
    assert bob.message(followed).find("{jabber:client}body") is None


@pytest.mark.row("W1", "M4", "Q2")
def test_a_change_of_a_subscription_is_told_in_two_messages(
    alice: SlixmppClient, bob: SlixmppClient, node: str
) -> None:
    done(alice.ask("set", create(node)))
    entry = tag("subscription", None, jid=bob.bare, subscription="subscribed")
    done(alice.ask("set", owner(tag("subscriptions", node, entry))))

    first, second = bob.message(node, 1), bob.message(node, 2)

    about = ("node", "jid", "subscription")
    assert the_event(first).tag == f"{{{EVENT}}}subscription"
    assert attributes(first, "subscription", *about) == [(node, bob.bare, "subscribed")]
    assert second.find(f"{{{EVENT}}}event") is None
    assert [each.tag for each in second] == [f"{{{PUBSUB}}}pubsub"]
    assert attributes(second, "subscription", *about) == [(node, bob.bare, "subscribed")]


@pytest.mark.row("W2", "A4")
def test_a_change_of_an_affiliation_names_the_node_twice(
    alice: SlixmppClient, bob: SlixmppClient, node: str
) -> None:
    done(alice.ask("set", create(node)))
    entry = tag("affiliation", None, jid=bob.bare, affiliation="member")
    done(alice.ask("set", owner(tag("affiliations", node, entry))))

    message = bob.message(node)

    assert attributes(message, "affiliations", "node") == [(node,)]
    assert attributes(message, "affiliation", "node", "jid", "affiliation") == [
        (node, bob.bare, "member")
    ]


def test_a_collection_tells_of_its_nodes_and_where_from(
    alice: SlixmppClient, bob: SlixmppClient, carol: SlixmppClient, node: str
) -> None:
    child = f"{node}/child"
    done(alice.ask("set", create(node, node_type="collection")))
    done(bob.ask("set", subscribe(node, bob.bare)))
    nodes = tag("options", None, options(subscription_type="nodes"))
    done(carol.ask("set", subscribe(node, carol.bare, nodes)))
    done(alice.ask("set", create(child, collection=node.replace("&", "&amp;"))))
    done(alice.ask("set", publish(child, item("1"))))

    message = bob.message(child)
    assert ids(message) == ["1"]
    assert texts(message[-1], ["header"]) == [node]
    assert attributes(message[-1], "header", "name") == [("Collection",)]
    # Who has subscribed to both is told once, and that it was by the collection, too.
    done(bob.ask("set", subscribe(child, bob.bare)))
    done(alice.ask("set", publish(child, item("2"))))
    done(alice.ask("set", publish(child, item("3"))))
    assert [ids(bob.message(child, each)) for each in (1, 2, 3)] == [["1"], ["2"], ["3"]]
    assert texts(bob.message(child, 2)[-1], ["header"]) == [node]
    put = the_event(carol.message(child))
    assert (put.tag, put.get("node")) == (f"{{{EVENT}}}collection", node)
    assert attributes(put, "associate", "node") == [(child,)]


def bounce(client: SlixmppClient, message: Element, condition: str, kind: str) -> None:
    client.send(
        f"<message type='error' to='{client.service}' id='{message.get('id')}'>"
        f"<error type='{kind}'><{condition} xmlns='{STANZAS}'/></error></message>"
    )


def subscribed(client: SlixmppClient, node: str) -> bool:
    mine = done(client.ask("get", generic(tag("subscriptions", node))))
    return bool(attributes(mine, "subscription", "jid"))


@pytest.fixture(scope="module")
def strict(
    xmpp_server: XmppServer, new_component: Callable[..., ComponentProcess], loop: Loop
) -> Iterator[SlixmppClient]:
    """A client of a component that forgets who answers twice with an error, and that sends changes
    of subscriptions in one form only."""
    options = {
        "pubsub": {"max_bounces": 2},
        "xmpp": {"legacy_subscription_messages": False},
    }
    with (
        new_component(xmpp_server, jid="other.localhost", **options) as process,
        SlixmppClient(loop, xmpp_server, "dave@localhost/strict", process.jid) as client,
    ):
        yield client


@pytest.mark.row("W5")
def test_who_answers_with_errors_is_told_no_more_after_some(
    strict: SlixmppClient, node: str
) -> None:
    done(strict.ask("set", create(node)))
    done(strict.ask("set", subscribe(node, strict.jid)))
    for number in (1, 2):
        done(strict.ask("set", publish(node, item(str(number)))))
        assert subscribed(strict, node)
        bounce(strict, strict.message(node, number), "service-unavailable", "cancel")
        strict.settle()
    wait_until(lambda: not subscribed(strict, node))


@pytest.mark.row("W5")
@pytest.mark.ejabberd
def test_who_is_gone_is_told_no_more_at_once(strict: SlixmppClient, node: str) -> None:
    done(strict.ask("set", create(node)))
    done(strict.ask("set", subscribe(node, strict.jid)))
    done(strict.ask("set", publish(node, item("1"))))
    bounce(strict, strict.message(node), "gone", "cancel")
    wait_until(lambda: not subscribed(strict, node))


@pytest.mark.row("W5")
def test_who_is_gone_is_told_no_more_through_a_collection(strict: SlixmppClient, node: str) -> None:
    above = f"above {node}"
    done(strict.ask("set", create(above, node_type="collection")))
    done(strict.ask("set", create(node, collection=above.replace("&", "&amp;"))))
    done(strict.ask("set", subscribe(above, strict.jid)))
    done(strict.ask("set", publish(node, item("1"))))
    bounce(strict, strict.message(node), "gone", "cancel")
    wait_until(lambda: not subscribed(strict, above))


@pytest.mark.row("W1", "W5")
def test_the_second_form_can_be_left_out_and_the_first_may_come_back(
    strict: SlixmppClient, alice: SlixmppClient, node: str
) -> None:
    done(strict.ask("set", create(node)))
    for number in (1, 2, 3):
        for state in ("subscribed", "none") if number < 3 else ("subscribed",):
            entry = tag("subscription", None, jid=alice.bare, subscription=state)
            done(strict.ask("set", owner(tag("subscriptions", node, entry))))

    def told() -> list[Element]:
        return [
            each
            for each in list(alice.stanzas)
            if each.get("from") == strict.service and attributes(each, "subscription", "node")
        ]

    wait_until(lambda: len(told()) >= 5)
    for message in told():
        assert the_event(message).tag == f"{{{EVENT}}}subscription"
        alice.send(
            f"<message type='error' to='{strict.service}' id='{message.get('id')}'>"
            f"<error type='cancel'><gone xmlns='{STANZAS}'/></error></message>"
        )
    alice.settle()
    listed = done(strict.ask("get", owner(tag("subscriptions", node))))
    assert attributes(listed, "subscription", "jid") == [(alice.bare,)]


@pytest.mark.row("S3", "T6", "I1")
@pytest.mark.ejabberd
def test_who_shares_presence_may_see_a_node_of_that_model_until_he_stops(
    alice: SlixmppClient, bob: SlixmppClient, node: str
) -> None:
    def presences(kind: str | None) -> list[Element]:
        return [
            each
            for each in list(bob.stanzas)
            if each.tag == "{jabber:client}presence"
            and each.get("from") == bob.service
            and each.get("type") == kind
        ]

    def attempt() -> tuple[str, str | None] | None:
        answer = bob.ask("set", subscribe(node, bob.bare))
        return None if answer.get("type") == "result" else refused(answer)

    absent = ("not-authorized", "presence-subscription-required")
    done(alice.ask("set", create(node, access_model="presence")))
    assert attempt() == absent

    bob.send(f"<presence type='subscribe' to='{bob.service}'/>")
    wait_until(lambda: presences("subscribed") and presences("subscribe"))
    assert attempt() is None
    done(bob.ask("get", generic(tag("items", node))))

    bob.send(f"<presence type='unsubscribe' to='{bob.service}'/>")
    wait_until(lambda: attempt() == absent)
    wait_until(lambda: presences("unsubscribe"))


@pytest.mark.row("T6")
def test_a_subscription_for_the_time_of_presence_ends_with_it(
    alice: SlixmppClient, xmpp_server: XmppServer, loop: Loop, node: str
) -> None:
    def subscribers() -> list[tuple[str | None, ...]]:
        listed = done(alice.ask("get", owner(tag("subscriptions", node))))
        return attributes(listed, "subscription", "jid")

    done(alice.ask("set", create(node)))
    brief = "carol@localhost/brief"
    with SlixmppClient(loop, xmpp_server, brief, alice.service) as carol:
        carol.send(f"<presence to='{carol.service}'/>")
        beside = tag("options", None, options(expire="presence"))
        done(carol.ask("set", subscribe(node, brief, beside)))
        assert subscribers() == [(brief,)]

    wait_until(lambda: subscribers() == [])
