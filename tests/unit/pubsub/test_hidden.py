"""The setting ``hide_closed_nodes``: whoever is shut out of a node cannot tell it from none."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine

from eventworker import migrations
from eventworker.db import build_engine
from eventworker.pubsub.errors import PubSubError
from eventworker.pubsub.facts import Affiliated, NewItem, Subscription
from eventworker.pubsub.options import Settings
from eventworker.pubsub.rules import Affiliation, State
from eventworker.pubsub.service import PubSubService
from tests.helpers.pubsub import ADMIN, ANN, BEN, OWNER, Desk, entry, form, item, refused

SECRET = "secret"
HIDING = Settings(hide_closed_nodes=True)
Ask = Callable[[PubSubService, str], Any]

#: Whatever ann can ask of a node.
VERBS: dict[str, Ask] = {
    "affiliations": lambda s, n: s.affiliations(ANN, n),
    "associate": lambda s, n: s.associate(n, "mine", ANN),
    "change_node_affiliations": lambda s, n: s.change_node_affiliations(
        n, ANN, [Affiliated(n, ANN.bare, Affiliation.OWNER)]
    ),
    "change_node_subscriptions": lambda s, n: s.change_node_subscriptions(
        n, ANN, [Subscription(n, ANN.bare, State.SUBSCRIBED)]
    ),
    "configuration": lambda s, n: s.configuration(n, ANN),
    "configure": lambda s, n: s.configure(n, ANN, form(title="mine")),
    "decide": lambda s, n: s.decide(n, ANN, ANN.bare, None, True),
    "default_subscription_options": lambda s, n: s.default_subscription_options(ANN, n),
    "delete": lambda s, n: s.delete(n, ANN),
    "disassociate": lambda s, n: s.disassociate(n, "mine", ANN),
    "item_names": lambda s, n: s.item_names(n, ANN),
    "items": lambda s, n: s.items(n, ANN),
    "node_affiliations": lambda s, n: s.node_affiliations(n, ANN),
    "node_info": lambda s, n: s.node_info(n, ANN),
    "node_subscriptions": lambda s, n: s.node_subscriptions(n, ANN),
    "nodes": lambda s, n: s.nodes(ANN, n),
    "payload_type": lambda s, n: s.payload_type(ANN, n),
    "publish": lambda s, n: s.publish(n, ANN, [NewItem("a", entry())]),
    "purge": lambda s, n: s.purge(n, ANN),
    "resend_pending": lambda s, n: s.resend_pending(n, ANN),
    "retract": lambda s, n: s.retract(n, ANN, ["a"]),
    "set_subscription_options": lambda s, n: s.set_subscription_options(
        n, ANN, ANN.bare, form(deliver=0)
    ),
    "subscribe": lambda s, n: s.subscribe(n, ANN, ANN.bare),
    "subscription_options": lambda s, n: s.subscription_options(n, ANN, ANN.bare),
    "subscriptions": lambda s, n: s.subscriptions(ANN, n),
    "unsubscribe": lambda s, n: s.unsubscribe(n, ANN, ANN.bare),
}
#: And by the way, of others.
ASIDE: dict[str, Ask] = {
    "associate with it": lambda s, n: s.associate("mine", n, ANN),
    "disassociate it": lambda s, n: s.disassociate("mine", n, ANN),
    "make it a child": lambda s, n: s.configure("mine", ANN, form(children=n)),
    "go into it": lambda s, n: s.configure("mine", ANN, form(collection=n)),
    "list all": lambda s, n: s.nodes(ANN, deep=True),
    "list the top": lambda s, n: s.nodes(ANN),
    "all subscriptions": lambda s, n: s.subscriptions(ANN),
    "all affiliations": lambda s, n: s.affiliations(ANN),
    "what waits": lambda s, n: s.pending_nodes(ANN),
    "come": lambda s, n: s.available(ANN.jid),
    "go": lambda s, n: s.unavailable(ANN.jid),
    "bounce": lambda s, n: s.bounced(ANN.bare, [n], True),
}
ASKS = VERBS | ASIDE
#: It says who has been first; see the option's help.
NOT_HIDDEN = {"create"}

configs = st.fixed_dictionaries(
    {
        "access_model": st.sampled_from(["whitelist", "presence"]),
        "publish_model": st.sampled_from(["publishers", "subscribers"]),
        "node_type": st.sampled_from(["leaf", "collection"]),
    },
    optional={
        "subscribe": st.sampled_from("01"),
        "persist_items": st.sampled_from("01"),
        "deliver_notifications": st.sampled_from("01"),
        "tempsub": st.just("1"),
        "type": st.just("urn:other"),
        "children_association_policy": st.just("all"),
    },
)


def test_every_verb_that_names_a_node_is_asked() -> None:
    verbs = {
        name
        for name, verb in inspect.getmembers(PubSubService, inspect.isfunction)
        if not name.startswith("_") and "actor" in inspect.signature(verb).parameters
    }
    # Of a transaction, or of no node.
    own = {"node", "standing", "require", "pending_nodes", "access_models"}
    assert verbs - own == set(VERBS) | NOT_HIDDEN


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Engine]]:
    folder = tmp_path_factory.mktemp("worlds")
    made = [build_engine(f"sqlite:///{folder}/{name}.sqlite") for name in ("with", "without")]
    for each in made:
        migrations.upgrade(each)
    yield made
    for each in made:
        each.dispose()


def world(connection: Connection) -> PubSubService:
    """A node for everybody, and a collection of ann's."""
    service = PubSubService(connection, HIDING)
    service.create("public", OWNER)
    service.create("mine", OWNER, form(node_type="collection"))
    changes = [Affiliated("mine", ANN.bare, Affiliation.OWNER)]
    service.change_node_affiliations("mine", OWNER, changes)
    return service


def answer(service: PubSubService, ask: str, node: str) -> Any:
    try:
        return plain(ASKS[ask](service, node))
    except PubSubError as error:
        about = (error.condition, error.detail, error.feature, error.uri, error.kind, error.text)
        return ("refused", *about)


def plain(said: Any) -> Any:
    """What is said, without the times of it."""
    if isinstance(said, datetime):
        return "a time"
    if isinstance(said, list | tuple):
        return [plain(each) for each in said]
    if isinstance(said, dict):
        return {
            key: "a time" if key == "pubsub#creation_date" else plain(value)
            for key, value in said.items()
        }
    names = getattr(said, "__dataclass_fields__", None)
    return {name: plain(getattr(said, name)) for name in names} if names else said


@contextmanager
def worlds(
    engines: list[Engine], config: dict[str, str], nested: bool
) -> Iterator[tuple[PubSubService, PubSubService]]:
    """One with the closed node and one without, which are the same beside that."""
    with engines[0].connect() as one, engines[1].connect() as other:
        there, not_there = world(one), world(other)
        there.create(SECRET, OWNER, form(**config))
        if config["node_type"] == "leaf" and config.get("persist_items") != "0":
            payload = f"<a xmlns='{config.get('type', 'urn:a')}'/>"
            there.publish(SECRET, OWNER, [NewItem("a", payload)])
        elif nested and config["node_type"] == "collection":
            there.associate(SECRET, "public", OWNER)
        yield there, not_there
        one.rollback()
        other.rollback()


@settings(deadline=None, max_examples=40)
@given(
    config=configs,
    nested=st.booleans(),
    steps=st.lists(
        st.tuples(st.sampled_from(sorted(ASKS)), st.sampled_from([SECRET, "public", "mine"])),
        min_size=1,
        max_size=8,
    ),
)
def test_a_world_with_a_closed_node_answers_a_stranger_as_one_without(
    engines: list[Engine],
    config: dict[str, str],
    nested: bool,
    steps: list[tuple[str, str]],
) -> None:
    with worlds(engines, config, nested) as (there, not_there):
        for ask, node in steps:
            assert answer(there, ask, node) == answer(not_there, ask, node), (ask, node)


@pytest.mark.parametrize("kind", ["leaf", "collection"])
@pytest.mark.parametrize("ask", sorted(ASKS))
def test_each_question_is_answered_as_if_the_closed_node_were_not_there(
    engines: list[Engine], ask: str, kind: str
) -> None:
    config = {"access_model": "whitelist", "publish_model": "publishers", "node_type": kind}
    with worlds(engines, config, True) as (there, not_there):
        assert answer(there, ask, SECRET) == answer(not_there, ask, SECRET)


@pytest.mark.row("S5", "S11")
def test_whoever_may_do_something_sees_the_node(desk_with: Callable[..., Desk]) -> None:
    desk = desk_with(hide_closed_nodes=True)
    desk.create("news", OWNER, form(access_model="whitelist"))
    desk.publish("news", OWNER, [item("a")])
    for affiliation in (Affiliation.MEMBER, Affiliation.PUBLISH_ONLY):
        desk.change_node_affiliations("news", OWNER, [Affiliated("news", ANN.bare, affiliation)])
        assert desk.node_info("news", ANN).node == "news"
    with refused("forbidden"):
        desk.items("news", ANN)
    for actor in (ADMIN, OWNER):
        assert [each.id for each in desk.items("news", actor).entries] == ["a"]
    with refused("item-not-found"):
        desk.items("news", BEN)
    for change in ({"access_model": "authorize"}, {"publish_model": "open"}):
        desk.configure("news", OWNER, form(access_model="whitelist", publish_model="publishers"))
        desk.configure("news", OWNER, form(**change))
        assert desk.node_info("news", BEN).node == "news"


def test_who_was_subscribed_before_a_node_was_closed_can_still_leave(
    desk_with: Callable[..., Desk],
) -> None:
    desk = desk_with(hide_closed_nodes=True)
    desk.create("news", OWNER)
    desk.subscribe("news", ANN, ANN.jid)
    desk.configure("news", OWNER, form(access_model="whitelist"))
    with refused("not-allowed", "closed-node"):
        desk.items("news", ANN)
    desk.unsubscribe("news", ANN, ANN.jid)
    with refused("item-not-found"):
        desk.unsubscribe("news", ANN, ANN.jid)


def test_nodes_are_not_hidden_unless_that_is_asked_for(desk: Desk) -> None:
    desk.create("news", OWNER, form(access_model="whitelist"))
    with refused("not-allowed", "closed-node"):
        desk.items("news", ANN)
