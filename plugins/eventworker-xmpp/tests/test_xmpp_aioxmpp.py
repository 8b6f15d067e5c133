"""Every method and every signal of aioxmpp's ``PubSubClient``, through a real server."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers.xmpp import ComponentProcess, Loop
from tests.servers import XmppServer

if sys.version_info >= (3, 13):
    pytest.skip("aioxmpp does not run on Python 3.13", allow_module_level=True)
if TYPE_CHECKING:
    from tests.helpers.aioxmpp_client import AioxmppClient

# It is older than some of what Python and its libraries warn of by now.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def clients(
    loop: Loop, xmpp_server: XmppServer, component: ComponentProcess
) -> Iterator[Callable[[str], AioxmppClient]]:
    from tests.helpers.aioxmpp_client import AioxmppClient

    made: dict[str, AioxmppClient] = {}

    def client(account: str) -> AioxmppClient:
        if account not in made:
            made[account] = AioxmppClient(loop, xmpp_server, account, component.jid)
        return made[account]

    yield client
    for each in made.values():
        each.close()


@pytest.fixture
def owner(clients: Callable[[str], AioxmppClient]) -> AioxmppClient:
    return clients("alice")


@pytest.fixture
def reader(clients: Callable[[str], AioxmppClient]) -> AioxmppClient:
    return clients("bob")


def entry(text: str) -> Any:
    from tests.helpers.aioxmpp_client import Entry

    return Entry(text)


def refused(condition: str, detail: str | None = None) -> Any:
    """Expects an error of XMPP's condition, with one of the XEP's own if that is named."""
    import aioxmpp.errors

    def right(error: BaseException) -> bool:
        assert isinstance(error, aioxmpp.errors.XMPPError)
        told = error.application_defined_condition
        found = None if told is None else told.TAG[1]
        return error.condition.value[1] == condition and found == detail

    return pytest.raises(aioxmpp.errors.XMPPError, check=right)


def configure(owner: AioxmppClient, node: str, **values: Any) -> None:
    """Change some fields of a node's configuration as aioxmpp does it: by sending all of them."""
    import aioxmpp.pubsub

    form = aioxmpp.pubsub.NodeConfigForm.from_xso(owner.get_node_config(node))
    for name, value in values.items():
        getattr(form, name).value = value
    owner.set_node_config(form.render_reply(), node)


def texts(request: Any) -> list[tuple[str, str]]:
    return [(item.id_, item.registered_payload.text) for item in request.payload.items]


@pytest.mark.row("D1")
def test_the_features_are_those_that_aioxmpp_knows(owner: AioxmppClient) -> None:
    from aioxmpp.pubsub.xso import Feature

    features = owner.get_features()

    assert {Feature.PUBLISH, Feature.SUBSCRIBE, Feature.CREATE_NODES} <= features


@pytest.mark.row("C1", "D3", "X1")
def test_create_get_nodes_and_delete(owner: AioxmppClient, node: str) -> None:
    owner.create(node)
    assert (node, None) in [(name, said) for name, said in owner.get_nodes()]

    owner.delete(node)  # get_nodes() would remember what it has been told
    with refused("item-not-found"):
        owner.delete(node)


@pytest.mark.row("C2")
def test_a_node_without_a_name_is_given_one(owner: AioxmppClient) -> None:
    assert owner.get_items(owner.create()).payload.items == []


@pytest.mark.row("P1", "P2", "I2", "I4", "I3")
def test_publish_get_items_and_get_items_by_id(owner: AioxmppClient, node: str) -> None:
    owner.create(node)
    made = owner.publish(node, entry("one"))
    assert owner.publish(node, entry("two"), id_="2") == "2"
    owner.publish(node, entry("three"), id_="3")
    owner.publish(node, entry("two again"), id_="2")

    everything = [(made, "one"), ("3", "three"), ("2", "two again")]
    assert texts(owner.get_items(node)) == everything
    assert texts(owner.get_items(node, max_items=1)) == [("2", "two again")]
    assert sorted(texts(owner.get_items_by_id(node, ["3", "2", "no"]))) == [
        ("2", "two again"),
        ("3", "three"),
    ]


@pytest.mark.row("S2", "D7", "U1", "U3")
def test_subscribe_get_subscriptions_and_unsubscribe(
    owner: AioxmppClient, reader: AioxmppClient, node: str
) -> None:
    owner.create(node)

    made = reader.subscribe(node)
    assert (made.payload.jid, made.payload.node) == (reader.jid, node)
    assert made.payload.subscription == "subscribed"
    (found,) = reader.get_subscriptions(node).subscriptions
    assert (found.jid, found.node, found.subscription) == (reader.jid, node, "subscribed")

    reader.unsubscribe(node)
    assert reader.get_subscriptions(node).subscriptions == []
    with refused("unexpected-request", "not-subscribed"):
        reader.unsubscribe(node)


@pytest.mark.row("O1", "O3", "O4", "O5")
def test_the_configuration_of_a_subscription(
    owner: AioxmppClient, reader: AioxmppClient, node: str
) -> None:
    import aioxmpp.forms

    class Options(aioxmpp.forms.Form):
        deliver = aioxmpp.forms.Boolean(var="pubsub#deliver")
        FORM_TYPE = "http://jabber.org/protocol/pubsub#subscribe_options"

    owner.create(node)
    form = Options.from_xso(reader.get_default_config(node))
    assert form.deliver.value is True
    form.deliver.value = False
    reader.subscribe(node, config=form.render_reply())
    assert Options.from_xso(reader.get_subscription_config(node)).deliver.value is False

    form.deliver.value = True
    reader.set_subscription_config(form.render_reply(), node)
    assert Options.from_xso(reader.get_subscription_config(node)).deliver.value is True


@pytest.mark.row("P3", "R1")
@pytest.mark.ejabberd
def test_subscribers_hear_of_items_published_and_retracted(
    owner: AioxmppClient, reader: AioxmppClient, node: str
) -> None:
    owner.create(node)
    reader.subscribe(node)

    owner.publish(node, entry("hello"), id_="1")
    fired = reader.signal("on_item_published", node)
    assert fired.arguments[0] == reader.service
    assert fired.arguments[2].id_ == "1"
    assert fired.arguments[2].registered_payload.text == "hello"
    assert fired.details["message"].to == reader.jid

    owner.retract(node, "1", notify=True)
    assert reader.signal("on_item_retracted", node).arguments[2] == "1"
    with refused("item-not-found"):
        owner.retract(node, "1")


@pytest.mark.row("P7", "N1", "N2")
def test_notify_tells_subscribers_of_a_node_that_keeps_and_delivers_nothing(
    owner: AioxmppClient, reader: AioxmppClient, node: str
) -> None:
    owner.create(node)
    configure(owner, node, persist_items=False, deliver_payloads=False)
    reader.subscribe(node)

    owner.notify(node)
    configure(owner, node, persist_items=True, deliver_payloads=True)
    owner.publish(node, entry("after"), id_="1")

    # aioxmpp has no signal for a notification without items; the one after it has come.
    assert reader.signal("on_item_published", node).arguments[2].id_ == "1"
    with refused("bad-request", "item-required"):
        owner.notify(node)


@pytest.mark.row("G1")
def test_purge(owner: AioxmppClient, node: str) -> None:
    owner.create(node)
    owner.publish(node, entry("one"))

    owner.purge(node)

    assert owner.get_items(node).payload.items == []


@pytest.mark.row("N1", "N2")
def test_every_field_of_its_form_is_kept(owner: AioxmppClient, node: str) -> None:
    """But those that one chooses from a list that the service does not have."""
    import aioxmpp.pubsub

    owner.create(node)
    wanted: dict[str, Any] = {
        "title": "A title",
        "description": "What it is for",
        "access_model": "whitelist",
        "publish_model": "subscribers",
        "deliver_notifications": False,
        "deliver_payloads": False,
        "notify_config": True,
        "notify_delete": False,
        "notify_retract": False,
        "notify_sub": True,
        "notification_type": "normal",
        "presence_based_delivery": True,
        "persist_items": True,
        "max_items": "7",
        "item_expire": "3600",
        "max_payload_size": "1000",
        "purge_offline": True,
        "send_last_published_item": "on_sub",
        "subscribe": True,
        "tempsub": True,
        "itemreply": "publisher",
        "type": "urn:example:entry",
        "contact": [owner.jid],
        "body_xslt": "https://example.org/body.xslt",
        "dataform_xslt": "https://example.org/form.xslt",
    }
    configure(owner, node, **wanted)

    form = aioxmpp.pubsub.NodeConfigForm.from_xso(owner.get_node_config(node))
    kept = {name: getattr(form, name).value for name in wanted}
    kept["contact"] = list(kept["contact"])
    assert kept == wanted


@pytest.mark.row("X1", "X2", "S11")
def test_subscribers_hear_of_a_deleted_node_and_where_to_go(
    owner: AioxmppClient, reader: AioxmppClient, node: str
) -> None:
    owner.create(node)
    reader.subscribe(node)

    owner.delete(node, redirect_uri="xmpp:elsewhere.localhost?;node=new")

    fired = reader.signal("on_node_deleted", node)
    assert fired.details["redirect_uri"] == "xmpp:elsewhere.localhost?;node=new"
    with refused("gone"):
        reader.subscribe(node)


@pytest.mark.row("A1", "A2", "A4")
def test_affiliations_and_who_hears_of_them(
    owner: AioxmppClient, reader: AioxmppClient, node: str
) -> None:
    owner.create(node)

    owner.change_node_affiliations(node, [(reader.jid, "publisher")])

    assert reader.signal("on_affiliation_update", node).arguments[2] == "publisher"
    found = owner.get_node_affiliations(node).payload.affiliations
    assert {(each.jid, each.affiliation) for each in found} == {
        (owner.jid, "owner"),
        (reader.jid, "publisher"),
    }
    with refused("not-acceptable"):
        owner.change_node_affiliations(node, [(owner.jid, "none")])


@pytest.mark.row("M1", "M2", "M4")
def test_subscriptions_of_others_and_who_hears_of_them(
    owner: AioxmppClient, reader: AioxmppClient, node: str
) -> None:
    owner.create(node)

    owner.change_node_subscriptions(node, [(reader.jid, "subscribed")])

    assert reader.signal("on_subscription_update", node).arguments[2] == "subscribed"
    (found,) = owner.get_node_subscriptions(node).payload.subscriptions
    assert (found.jid, found.subscription) == (reader.jid, "subscribed")

    owner.change_node_subscriptions(node, [(reader.jid, "none")])
    assert reader.signal("on_subscription_update", node, 2).arguments[2] == "none"


@pytest.mark.row("S3", "S5", "S7", "S8", "S12")
def test_errors_reach_it_with_their_conditions(
    owner: AioxmppClient, reader: AioxmppClient, node: str
) -> None:
    owner.create(node)
    configure(owner, node, access_model="authorize")
    assert reader.subscribe(node).payload.subscription == "pending"
    with refused("not-authorized", "pending-subscription"):
        reader.subscribe(node)
    reader.unsubscribe(node)
    configure(owner, node, access_model="whitelist")
    with refused("not-allowed", "closed-node"):
        reader.subscribe(node)
    configure(owner, node, access_model="presence")
    with refused("not-authorized", "presence-subscription-required"):
        reader.subscribe(node)
    owner.change_node_affiliations(node, [(reader.jid, "outcast")])
    with refused("forbidden"):
        reader.subscribe(node)


@pytest.mark.row("W1", "W2", "W3", "W5")
def test_what_it_answers_to_what_it_cannot_read_costs_no_subscription(
    owner: AioxmppClient, reader: AioxmppClient, node: str
) -> None:
    owner.create(node)
    for times in range(1, 13):
        owner.change_node_subscriptions(node, [(reader.jid, "subscribed")])
        reader.signal("on_subscription_update", node, 2 * times - 1)
        if times < 12:
            owner.change_node_subscriptions(node, [(reader.jid, "none")])
            reader.signal("on_subscription_update", node, 2 * times)

    owner.publish(node, entry("still here"), id_="1")

    assert reader.signal("on_item_published", node).arguments[2].id_ == "1"
