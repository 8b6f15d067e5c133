"""What clients find out about the service and its nodes (section 5)."""

from __future__ import annotations

import pytest

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
    texts,
    values,
)
from tests.helpers.slixmpp_client import SlixmppClient

INFO, ITEMS = "http://jabber.org/protocol/disco#info", "http://jabber.org/protocol/disco#items"
COMMANDS = "http://jabber.org/protocol/commands"
PUBSUB = "http://jabber.org/protocol/pubsub"
RSM = "http://jabber.org/protocol/rsm"


def info(node: str | None = None) -> str:
    return tag("query", node, xmlns=INFO)


def items(node: str | None = None, inside: str = "") -> str:
    return tag("query", node, inside, xmlns=ITEMS)


@pytest.mark.row("D1", "D2")
@pytest.mark.ejabberd
def test_the_service_says_that_it_is_one_and_what_it_can_do(alice: SlixmppClient) -> None:
    answer = done(alice.ask("get", info()))

    features = {each for (each,) in attributes(answer, "feature", "var")}
    assert attributes(answer, "identity", "category", "type") == [("pubsub", "service")]
    assert {PUBSUB, INFO, ITEMS, RSM, f"{PUBSUB}#publish", f"{PUBSUB}#access-open"} <= features
    assert not {f"{PUBSUB}#access-roster", f"{PUBSUB}#auto-subscribe"} & features


@pytest.mark.row("D3")
def test_nodes_are_listed_page_by_page(alice: SlixmppClient, node: str) -> None:
    names = [f"{node}/{number}" for number in range(3)]
    for name in names:
        done(alice.ask("set", create(name, title=f"Title of {name[-1]}")))

    listed = attributes(done(alice.ask("get", items())), "item", "jid", "node", "name")
    assert (alice.service, names[0], "Title of 0") in listed
    page = f"<set xmlns='{RSM}'><max>2</max><after>{names[0].replace('&', '&amp;')}</after></set>"
    answer = done(alice.ask("get", items(inside=page)))
    assert [each for (each,) in attributes(answer, "item", "node")] == names[1:]
    assert texts(answer, ["count"]) == [str(len(listed))]
    assert texts(answer, ["last"]) == [names[2]]


@pytest.mark.row("D3")
def test_a_closed_node_is_not_listed_to_strangers(
    alice: SlixmppClient, bob: SlixmppClient, node: str
) -> None:
    done(alice.ask("set", create(node, access_model="whitelist")))

    assert (node,) in attributes(alice.ask("get", items()), "item", "node")
    assert (node,) not in attributes(bob.ask("get", items()), "item", "node")


@pytest.mark.row("D4", "D5")
def test_a_node_tells_what_it_is(alice: SlixmppClient, bob: SlixmppClient, node: str) -> None:
    done(alice.ask("set", create(node, title="A title", publish_model="open")))
    done(bob.ask("set", subscribe(node, bob.bare)))

    answer = done(bob.ask("get", info(node)))

    assert attributes(answer, "identity", "category", "type") == [("pubsub", "leaf")]
    told = values(answer)
    assert told["FORM_TYPE"] == [f"{PUBSUB}#meta-data"]
    assert told["title"] == ["A title"]
    assert told["publish_model"] == ["open"]
    assert told["owner"] == [alice.bare]
    assert told["num_subscribers"] == ["1"]


@pytest.mark.row("D6")
def test_items_of_a_node_are_listed_by_name_and_have_no_node(
    alice: SlixmppClient, node: str
) -> None:
    done(alice.ask("set", create(node)))
    done(alice.ask("set", publish(node, item("1"), item("2"))))

    answer = done(alice.ask("get", items(node)))

    assert attributes(answer, "item", "name", "node", "jid") == [
        ("1", None, alice.service),
        ("2", None, alice.service),
    ]


@pytest.mark.row("D9")
def test_what_is_not_there_is_not_found(alice: SlixmppClient, node: str) -> None:
    for question in (info(node), items(node)):
        assert refused(alice.ask("get", question)) == ("item-not-found", None)


@pytest.mark.row("D7", "D8")
def test_one_is_told_ones_own_subscriptions_and_affiliations(
    alice: SlixmppClient, bob: SlixmppClient, carol: SlixmppClient, node: str
) -> None:
    done(alice.ask("set", create(node)))
    done(bob.ask("set", subscribe(node, bob.bare)))
    done(bob.ask("set", subscribe(node, bob.jid)))

    mine = done(bob.ask("get", generic(tag("subscriptions", node))))
    assert attributes(mine, "subscription", "node", "jid", "subscription") == [
        (node, bob.bare, "subscribed"),
        (node, bob.jid, "subscribed"),
    ]
    nobody = done(carol.ask("get", generic("<subscriptions/>")))
    assert [each.tag for each in nobody[0]] == [f"{{{PUBSUB}}}subscriptions"]
    owned = done(alice.ask("get", generic(tag("affiliations", node))))
    assert attributes(owned, "affiliation", "node", "affiliation") == [(node, "owner")]


def test_the_commands_are_found(alice: SlixmppClient) -> None:
    listed = done(alice.ask("get", items(COMMANDS)))
    assert attributes(listed, "item", "node") == [(f"{PUBSUB}#get-pending",)]
    found = done(alice.ask("get", info(f"{PUBSUB}#get-pending")))
    assert attributes(found, "identity", "category", "type") == [("automation", "command-node")]


def test_a_collection_lists_its_nodes(alice: SlixmppClient, node: str) -> None:
    child = f"{node}/child"
    done(alice.ask("set", create(node, node_type="collection")))
    done(alice.ask("set", create(child)))
    put = tag("collection", node, tag("associate", child))
    done(alice.ask("set", owner(put)))

    assert attributes(done(alice.ask("get", info(node))), "identity", "type") == [("collection",)]
    assert attributes(done(alice.ask("get", items(node))), "item", "node") == [(child,)]

    take = tag("collection", node, tag("disassociate", child))
    done(alice.ask("set", owner(take)))
    assert ids(done(alice.ask("get", items(node)))) == []


def test_ping_and_version_are_answered(alice: SlixmppClient) -> None:
    assert done(alice.ask("get", "<ping xmlns='urn:xmpp:ping'/>")).get("type") == "result"
    version = done(alice.ask("get", "<query xmlns='jabber:iq:version'/>"))
    assert texts(version, ["name"]) == ["eventworker"]


def test_what_is_no_request_is_refused(alice: SlixmppClient) -> None:
    refusals = {
        "<query xmlns='jabber:iq:private'/>": ("service-unavailable", None),
        generic("<burn/>"): ("feature-not-implemented", None),
        generic(""): ("bad-request", None),
        generic("<subscriptions/><affiliations/>"): ("bad-request", None),
        generic("<publish/>"): ("feature-not-implemented", None),
    }
    for question, expected in refusals.items():
        assert refused(alice.ask("get", question)) == expected, question
    assert refused(alice.ask("set", owner(tag("configure", "x", config())), "a@" + alice.service))[
        0
    ] == ("service-unavailable")
