"""slixmpp's own plugin for publish-subscribe, through a real server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from slixmpp.exceptions import IqError

from tests.helpers.slixmpp_client import SlixmppClient, element
from tests.servers import wait_until

# Its stanza classes warn of what they do themselves.
pytestmark = pytest.mark.filterwarnings("ignore:::slixmpp")
PAYLOAD = "<a xmlns='urn:a'><b xmlns='urn:b' c='&lt;&amp;'/>text</a>"


def plugin(client: SlixmppClient, method: str, *arguments: Any, **named: Any) -> Any:
    """Call a method of its plugin with the service, and wait for the answer."""

    async def call() -> Any:
        method_of = getattr(client.client.plugin["xep_0060"], method)
        return await method_of(client.service, *arguments, **named)

    return client.loop(call())


def events(client: SlixmppClient, name: str) -> list[Any]:
    """Keeps what it fires under that name from now on."""
    fired: list[Any] = []
    client.client.add_event_handler(name, fired.append)
    return fired


def about(fired: list[Any], node: str) -> list[Any]:
    return [each for each in list(fired) if node in str(each).replace("&amp;", "&")]


@pytest.mark.row("C1", "P1", "I2", "I4", "D6", "G1", "X1")
def test_a_node_from_its_creation_to_its_deletion(alice: SlixmppClient, node: str) -> None:
    plugin(alice, "create_node", node)
    assert node in str(plugin(alice, "get_nodes")).replace("&amp;", "&")

    plugin(alice, "publish", node, id="1", payload=element(PAYLOAD))
    answer = plugin(alice, "get_item", node, "1")
    (item,) = answer["pubsub"]["items"]
    assert item["payload"].tag == "{urn:a}a"
    assert item["payload"][0].get("c") == "<&"
    names = plugin(alice, "get_item_ids", node)["disco_items"]["items"]
    assert [(each[1], each[2]) for each in names] == [(None, "1")]

    plugin(alice, "purge", node)
    assert list(plugin(alice, "get_items", node)["pubsub"]["items"]) == []
    plugin(alice, "delete_node", node)
    with pytest.raises(IqError, match="item-not-found"):
        plugin(alice, "get_items", node)


@pytest.mark.row("N1", "N2", "N5")
def test_the_configuration_of_a_node(alice: SlixmppClient, node: str) -> None:
    plugin(alice, "create_node", node)
    form = plugin(alice, "get_node_config", node)["pubsub_owner"]["configure"]["form"]
    assert form.get_values()["pubsub#access_model"] == "open"

    form.reply()
    form["type"] = "submit"
    form.set_values({"pubsub#title": "Ein Titel", "pubsub#access_model": "whitelist"})
    plugin(alice, "set_node_config", node, form)

    form = plugin(alice, "get_node_config", node)["pubsub_owner"]["configure"]["form"]
    assert form.get_values()["pubsub#title"] == "Ein Titel"
    assert form.get_values()["pubsub#access_model"] == "whitelist"


@pytest.mark.row("S2", "D7", "D8", "O1", "U1")
def test_a_subscription_from_its_beginning_to_its_end(
    alice: SlixmppClient, bob: SlixmppClient, node: str
) -> None:
    plugin(alice, "create_node", node)

    made = plugin(bob, "subscribe", node)["pubsub"]["subscription"]
    assert (made["node"], made["jid"].full, made["subscription"]) == (node, bob.bare, "subscribed")
    options = plugin(bob, "get_subscription_options", node, bob.bare)
    assert options["pubsub"]["options"]["options"].get_values()["pubsub#deliver"] is True
    found = plugin(bob, "get_subscriptions", node)["pubsub"]["subscriptions"]
    assert [each["node"] for each in found] == [node]
    mine = plugin(alice, "get_affiliations")["pubsub"]["affiliations"]
    assert (node, "owner") in [(each["node"], each["affiliation"]) for each in mine]

    plugin(bob, "unsubscribe", node)
    with pytest.raises(IqError, match="unexpected-request"):
        plugin(bob, "unsubscribe", node)


@pytest.mark.row("P3", "R1", "G1", "X1", "N4")
@pytest.mark.ejabberd
def test_its_events_of_a_node(alice: SlixmppClient, bob: SlixmppClient, node: str) -> None:
    names = ("publish", "retract", "purge", "delete", "config")
    fired = {name: events(bob, f"pubsub_{name}") for name in names}
    plugin(alice, "create_node", node)
    plugin(bob, "subscribe", node)

    plugin(alice, "publish", node, id="1", payload=element(PAYLOAD))
    plugin(alice, "retract", node, "1", notify="true")
    form = plugin(alice, "get_node_config", node)["pubsub_owner"]["configure"]["form"]
    form.reply()
    form.set_values({"pubsub#notify_config": True})
    plugin(alice, "set_node_config", node, form)
    plugin(alice, "purge", node)
    plugin(alice, "delete_node", node)

    for name in names:
        wait_until(lambda: about(fired[name], node), 10, name)  # noqa: B023 - called at once
    assert "urn:b" in str(about(fired["publish"], node)[0])


@pytest.mark.row("M1", "M2", "M4", "A1", "A2", "W1")
def test_subscribers_and_affiliations_of_a_node(
    alice: SlixmppClient, bob: SlixmppClient, node: str
) -> None:
    fired = events(bob, "pubsub_subscription")
    plugin(alice, "create_node", node)

    plugin(alice, "modify_subscriptions", node, [(bob.bare, "subscribed")])
    wait_until(lambda: about(fired, node), 10)
    plugin(alice, "modify_affiliations", node, [(bob.bare, "publisher")])

    found = plugin(alice, "get_node_subscriptions", node)["pubsub_owner"]["subscriptions"]
    assert [(each["jid"].full, each["subscription"]) for each in found] == [
        (bob.bare, "subscribed")
    ]
    found = plugin(alice, "get_node_affiliations", node)["pubsub_owner"]["affiliations"]
    assert {(each["jid"].full, each["affiliation"]) for each in found} == {
        (alice.bare, "owner"),
        (bob.bare, "publisher"),
    }


def test_its_features_are_found(
    alice: SlixmppClient, slixmpp_clients: Callable[[str], SlixmppClient]
) -> None:
    async def info() -> Any:
        return await alice.client.plugin["xep_0030"].get_info(jid=alice.service)

    features = alice.loop(info())["disco_info"]["features"]
    assert "http://jabber.org/protocol/pubsub#publish" in features
