"""The client's methods and signals, of both faces."""

import asyncio
import inspect
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

import eventworker.pubsub
from eventworker.errors import ConfigError
from eventworker.pubsub import (
    Affiliation,
    NodeConfig,
    PartlyRefused,
    PubSubClient,
    PubSubError,
    State,
    SubscribeOptions,
    SyncPubSubClient,
    element_of,
    json_of,
)
from tests.helpers.configuration import configuration
from tests.helpers.pubsub import entry, refused
from tests.helpers.pubsub_clients import SERVICE, SETTINGS

OWNER, ANN, BEN = "owner@example.org", "ann@example.org/desk", "ben@example.org"

NewClient = Callable[..., Any]


# Methods.


def test_a_subscriber_subscribes_configures_and_leaves(owner: Any, ann: Any) -> None:
    made = ann.subscribe(SERVICE, "news", config={"include_body": True})
    assert (made.node, made.jid, made.state) == ("news", "ann@example.org", State.SUBSCRIBED)
    assert ann.get_subscriptions(SERVICE) == [made]
    assert ann.get_subscriptions(SERVICE, "news") == [made]
    assert ann.get_subscription_config(SERVICE, "news").include_body is True
    ann.set_subscription_config(SERVICE, {"pubsub#include_body": "0"}, "news")
    assert ann.get_subscription_config(SERVICE, "news").include_body is False
    ann.set_subscription_config(SERVICE, SubscribeOptions(include_body=True), "news")
    assert ann.get_subscription_config(SERVICE, "news").include_body is True
    ann.unsubscribe(SERVICE, "news")
    assert ann.get_subscriptions(SERVICE) == []
    assert ann.get_default_config(SERVICE) == SubscribeOptions()
    assert ann.get_default_config(SERVICE, "news") == SubscribeOptions()


def test_a_client_subscribes_with_a_resource_only_if_it_says_so(owner: Any, ann: Any) -> None:
    assert ann.subscribe(SERVICE, "news", subscription_jid=ANN).jid == ANN
    with refused("bad-request", "invalid-jid"):
        ann.subscribe(SERVICE, "news", subscription_jid=BEN)
    ann.unsubscribe(SERVICE, "news", subscription_jid=ANN)
    assert ann.get_subscriptions(SERVICE) == []


def test_several_subscriptions_are_told_apart_by_their_ids(new_client: NewClient) -> None:
    settings = replace(SETTINGS, multi_subscribe=True)
    client = new_client(OWNER, settings)
    client.create(SERVICE, "news")
    first, second = (client.subscribe(SERVICE, "news") for _ in range(2))
    assert first.subid != second.subid
    client.set_subscription_config(SERVICE, {"deliver": False}, "news", subid=first.subid)
    assert client.get_subscription_config(SERVICE, "news", subid=first.subid).deliver is False
    assert client.get_subscription_config(SERVICE, "news", subid=second.subid).deliver is True
    with refused("bad-request", "subid-required"):
        client.unsubscribe(SERVICE, "news")
    client.unsubscribe(SERVICE, "news", subid=first.subid)
    assert [each.subid for each in client.get_subscriptions(SERVICE)] == [second.subid]
    client.change_node_subscriptions(SERVICE, "news", [(OWNER, "none", second.subid)])
    assert client.get_subscriptions(SERVICE) == []


def test_items_are_published_retrieved_and_retracted(owner: Any) -> None:
    assert owner.publish(SERVICE, "news", entry("1"), id_="a") == "a"
    made = owner.publish(SERVICE, "news", entry("2"))
    owner.publish(SERVICE, "news", entry("3"), id_="c")
    assert [each.id for each in owner.get_items(SERVICE, "news")] == ["a", made, "c"]
    assert [each.id for each in owner.get_items(SERVICE, "news", max_items=2)] == ["c", made]
    (kept,) = owner.get_items_by_id(SERVICE, "news", ["a", "nothing"])
    assert (kept.id, kept.payload, kept.publisher) == ("a", entry("1"), OWNER)
    assert [each.id for each in owner.get_items_by_id(SERVICE, "news", "c")] == ["c"]
    owner.retract(SERVICE, "news", "a", notify=True)
    with refused("item-not-found"):
        owner.retract(SERVICE, "news", "a")
    owner.purge(SERVICE, "news")
    assert owner.get_items(SERVICE, "news") == []


def test_items_by_no_ids_are_a_mistake(owner: Any) -> None:
    with pytest.raises(ValueError, match="name at least one id"):
        owner.get_items_by_id(SERVICE, "news", [])


def test_a_payload_may_be_an_element_or_json(owner: Any) -> None:
    element = ElementTree.fromstring(entry("<&>".replace("<", "&lt;").replace("&>", "&amp;>")))
    owner.publish(SERVICE, "news", element, id_="element")
    value = {"title": "a < b & c\x7f\ufffe", "tags": ["]]>", None, 1.5]}
    owner.publish(SERVICE, "news", value, id_="dict")
    owner.publish(SERVICE, "news", [1, 2], id_="list")
    elements, of_dict, of_list = owner.get_items(SERVICE, "news")
    assert element_of(elements).text == element.text
    assert json_of(of_dict) == value
    assert json_of(of_list) == [1, 2]
    assert of_list.payload == "<json xmlns='urn:xmpp:json:0'>[1, 2]</json>"
    with pytest.raises(ValueError, match="item element has no JSON"):
        json_of(elements)


@pytest.mark.parametrize("payload", [b"<x/>", 42, {1, 2}])
def test_other_things_are_no_payload(owner: Any, payload: Any) -> None:
    with pytest.raises(TypeError, match="a payload is XML, a dict or a list"):
        owner.publish(SERVICE, "news", payload)


def test_what_json_cannot_say_is_no_payload(owner: Any) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        owner.publish(SERVICE, "news", {"number": float("nan")})


def test_an_item_without_a_payload_has_no_element(owner: Any) -> None:
    owner.set_node_config(SERVICE, {"deliver_payloads": False}, "news")
    owner.publish(SERVICE, "news", None, id_="bare")
    (kept,) = owner.get_items(SERVICE, "news")
    assert element_of(kept) is None


def test_publishing_says_what_the_node_has_to_be(owner: Any) -> None:
    owner.publish(SERVICE, "news", entry(), publish_options={"access_model": "open"})
    with refused("conflict", "precondition-not-met"):
        owner.publish(SERVICE, "news", entry(), publish_options={"access_model": "whitelist"})


def test_an_owner_looks_after_nodes(owner: Any) -> None:
    instant = owner.create(SERVICE)
    typed = NodeConfig(title="Typed", persist_items=False)
    owner.create(SERVICE, "typed", config=typed)
    assert {each.node for each in owner.get_nodes(SERVICE)} == {"news", "typed", instant}
    assert owner.get_node_config(SERVICE, "typed") == typed
    assert owner.get_node_config(SERVICE) == NodeConfig()
    owner.set_node_config(SERVICE, replace(typed, title="New"), "typed")
    owner.set_node_config(SERVICE, {"contact": [OWNER, BEN], "max_items": 7}, "typed")
    changed = owner.get_node_config(SERVICE, "typed")
    assert (changed.title, changed.contact, changed.max_items) == ("New", (OWNER, BEN), 7)
    info = owner.get_node_info(SERVICE, "typed")
    assert info.metadata["pubsub#title"] == ["New"]
    owner.delete(SERVICE, "typed", redirect_uri="xmpp:elsewhere")
    with pytest.raises(PubSubError) as gone:
        owner.get_node_config(SERVICE, "typed")
    assert gone.value.uri == "xmpp:elsewhere"


def test_the_nodes_of_a_collection_are_listed(owner: Any) -> None:
    owner.create(SERVICE, "all", config={"node_type": "collection"})
    owner.create(SERVICE, "one", config={"collection": ["all"]})
    assert [each.node for each in owner.get_nodes(SERVICE, "all")] == ["one"]


def test_an_owner_says_who_may_do_what(owner: Any, ann: Any) -> None:
    owner.change_node_affiliations(
        SERVICE, "news", [(BEN, "publisher"), ("ann@example.org", Affiliation.MEMBER)]
    )
    listed = {each.jid: each.affiliation for each in owner.get_node_affiliations(SERVICE, "news")}
    assert listed == {OWNER: "owner", BEN: "publisher", "ann@example.org": "member"}
    assert [each.affiliation for each in ann.get_affiliations(SERVICE)] == ["member"]
    assert [each.affiliation for each in ann.get_affiliations(SERVICE, "news")] == ["member"]
    owner.change_node_subscriptions(SERVICE, "news", [(BEN, State.SUBSCRIBED)])
    assert [each.jid for each in owner.get_node_subscriptions(SERVICE, "news")] == [BEN]
    with refused("forbidden"):
        ann.get_node_subscriptions(SERVICE, "news")


def test_of_a_change_that_is_partly_refused_the_rest_is_made(owner: Any) -> None:
    with pytest.raises(PartlyRefused) as caught:
        owner.change_node_affiliations(SERVICE, "news", [(OWNER, "none"), (BEN, "outcast")])
    assert [each.jid for each in caught.value.refused] == [OWNER]
    listed = {each.jid: each.affiliation for each in owner.get_node_affiliations(SERVICE, "news")}
    assert listed == {OWNER: "owner", BEN: "outcast"}
    changes = [(BEN, "subscribed"), ("ann@example.org", "subscribed")]
    with pytest.raises(PartlyRefused, match="not changed: ben@example"):
        owner.change_node_subscriptions(SERVICE, "news", changes)
    subscribed = owner.get_node_subscriptions(SERVICE, "news")
    assert [each.jid for each in subscribed] == ["ann@example.org"]


def test_words_that_do_not_exist_are_refused(owner: Any) -> None:
    with pytest.raises(PubSubError, match="'king' is none of owner, publisher"):
        owner.change_node_affiliations(SERVICE, "news", [(BEN, "king")])
    with pytest.raises(PubSubError, match="'deaf' is none of none, pending"):
        owner.change_node_subscriptions(SERVICE, "news", [(BEN, "deaf")])


def test_the_features_are_those_of_the_service(owner: Any) -> None:
    assert "http://jabber.org/protocol/pubsub#publish" in owner.get_features(SERVICE)


def test_the_service_may_be_left_out(owner: Any) -> None:
    assert [each.node for each in owner.get_nodes(None)] == ["news"]


@pytest.mark.parametrize(
    ("jid", "condition"),
    [
        ("other.example.org", "remote-server-not-found"),
        (f"someone@{SERVICE}", "item-not-found"),
        ("a b", "jid-malformed"),
    ],
)
def test_there_is_one_service(owner: Any, jid: str, condition: str) -> None:
    with pytest.raises(PubSubError) as caught:
        owner.get_nodes(jid)
    assert caught.value.condition == condition


def test_a_node_has_to_be_named(owner: Any) -> None:
    for verb in (owner.subscribe, owner.unsubscribe, owner.get_subscription_config):
        with refused("bad-request", "nodeid-required"):
            verb(SERVICE)
    with refused("bad-request", "nodeid-required"):
        owner.set_node_config(SERVICE, {"title": "?"})
    with refused("bad-request", "nodeid-required"):
        owner.set_subscription_config(SERVICE, {"include_body": True})


def test_the_service_itself_may_do_everything(owner: Any, new_client: NewClient) -> None:
    itself = new_client(SERVICE)
    itself.delete(SERVICE, "news")
    assert itself.get_nodes(SERVICE) == []


# In a caller's transaction, and what a client is made of.


def test_in_a_plugins_session_a_client_works_in_its_transaction(
    owner: Any, sqlite_engine: Engine
) -> None:
    with Session(sqlite_engine) as session:
        client = SyncPubSubClient(session, OWNER, settings=SETTINGS)
        client.publish(None, "news", entry(), id_="undone")
        assert len(client.get_items(None, "news")) == 1
        session.rollback()
        client.publish(None, "news", entry(), id_="done")
        with pytest.raises(ValueError, match="cannot listen"):
            client.listen()
        with client:  # which does not listen
            pass
        session.commit()
    assert [each.id for each in owner.get_items(SERVICE, "news")] == ["done"]


def test_so_does_one_that_is_awaited(owner: Any, sqlite_engine: Engine) -> None:
    async def publish(connection: Any) -> None:
        async with PubSubClient(connection, OWNER, settings=SETTINGS) as client:
            await client.publish(None, "news", entry(), id_="undone")

    with sqlite_engine.connect() as connection, connection.begin() as transaction:
        coroutine = publish(connection)
        with pytest.raises(StopIteration):
            coroutine.send(None)  # it has nothing to wait for
        transaction.rollback()
    assert owner.get_items(SERVICE, "news") == []


def test_a_client_is_made_of_a_url_or_a_configuration(sqlite_engine: Engine) -> None:
    url = sqlite_engine.url.render_as_string(hide_password=False)
    with SyncPubSubClient(url, SERVICE) as client:
        client.create(None, "news")
    conf = configuration()
    conf.set_override("connection", url, "database")
    with SyncPubSubClient(conf, f"robot@{SERVICE}") as client:
        assert client.settings.service == SERVICE
        assert [each.node for each in client.get_nodes(None)] == ["news"]


def test_a_configuration_that_cannot_be_used_is_refused() -> None:
    conf = configuration()
    with pytest.raises(ConfigError):
        SyncPubSubClient(conf, "robot@localhost")


def test_an_address_that_is_none_is_refused(sqlite_engine: Engine) -> None:
    with refused("jid-malformed"):
        SyncPubSubClient(sqlite_engine, "@")


@pytest.mark.parametrize("where", [None, object()])
def test_a_client_needs_a_database(where: Any) -> None:
    with pytest.raises(TypeError, match="an Engine or a Session"):
        SyncPubSubClient(where, ANN)


def test_many_coroutines_publish_at_a_time(sqlite_engine: Engine) -> None:
    async def publish() -> list[str]:
        client = PubSubClient(sqlite_engine, OWNER, settings=SETTINGS)
        await client.create(None, "news")
        names = [str(number) for number in range(20)]
        await asyncio.gather(*(client.publish(None, "news", [1], id_=name) for name in names))
        kept = await client.get_items(None, "news")
        await client.close()
        return [each.id for each in kept]

    assert sorted(map(int, asyncio.run(publish()))) == list(range(20))


def _methods(kind: type) -> dict[str, Any]:
    return {
        name: value
        for name, value in vars(kind).items()
        if not name.startswith("_") and inspect.isfunction(value)
    }


def test_both_faces_have_the_same_methods() -> None:
    plain, awaited = _methods(SyncPubSubClient), _methods(PubSubClient)
    assert plain.keys() == awaited.keys()
    for name, method in awaited.items():
        assert inspect.iscoroutinefunction(method)
        assert method.__doc__
        assert method.__name__ == name
        if name not in ("listen", "close"):
            assert method.__doc__ == plain[name].__doc__
            assert inspect.signature(method) == inspect.signature(plain[name])


#: The seed's, with the arguments that it names.
METHODS = {
    "get_default_config": "jid node",
    "get_items": "jid node max_items",
    "get_items_by_id": "jid node ids",
    "get_subscription_config": "jid node subscription_jid subid",
    "get_subscriptions": "jid node",
    "set_subscription_config": "jid data node subscription_jid subid",
    "subscribe": "jid node subscription_jid config",
    "unsubscribe": "jid node subscription_jid subid",
    "notify": "jid node",
    "publish": "jid node payload id_ publish_options",
    "retract": "jid node id_ notify",
    "change_node_affiliations": "jid node affiliations_to_set",
    "change_node_subscriptions": "jid node subscriptions_to_set",
    "create": "jid node config",
    "delete": "jid node redirect_uri",
    "get_nodes": "jid node",
    "get_node_affiliations": "jid node",
    "get_node_config": "jid node",
    "get_node_subscriptions": "jid node",
    "purge": "jid node",
    "set_node_config": "jid config node",
    "get_features": "jid",
}


def test_the_methods_take_what_they_always_took() -> None:
    for name, arguments in METHODS.items():
        taken = list(inspect.signature(getattr(PubSubClient, name)).parameters)
        assert taken == ["self", *arguments.split()]


def test_the_public_names_are_these() -> None:
    assert eventworker.pubsub.__all__ == [
        "AccessModel",
        "Actor",
        "Affiliated",
        "Affiliation",
        "Item",
        "Message",
        "NewItem",
        "NodeConfig",
        "NodeEntry",
        "NodeInfo",
        "Page",
        "Part",
        "PartlyRefused",
        "PubSubClient",
        "PubSubError",
        "PubSubService",
        "PublishModel",
        "Service",
        "Settings",
        "Signal",
        "State",
        "SubscribeOptions",
        "Subscription",
        "SyncPubSubClient",
        "element_of",
        "json_of",
        "settings_of",
    ]
    for name in eventworker.pubsub.__all__:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            assert getattr(eventworker.pubsub, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = eventworker.pubsub.Nothing


def test_the_clients_old_name_still_works() -> None:
    with pytest.warns(DeprecationWarning, match="Service is now PubSubClient"):
        assert eventworker.pubsub.Service is PubSubClient
