"""What an entity finds out: rows D1 to D9."""

from collections.abc import Callable

import pytest

from eventworker.pubsub.config import NodeConfig
from eventworker.pubsub.facts import Actor, Affiliated, NodeEntry, Page
from eventworker.pubsub.rules import Affiliation
from tests.helpers.pubsub import ADMIN, ANN, BEN, OWNER, Desk, form, item, refused

NAMESPACE = "http://jabber.org/protocol/pubsub"


def names(desk: Desk, actor: Actor, **kwargs: object) -> list[str]:
    return [each.node for each in desk.nodes(actor, **kwargs).entries]


def affiliate(desk: Desk, node: str, actor: Actor, affiliation: str) -> None:
    change = Affiliated(node, actor.bare, Affiliation(affiliation))
    assert desk.change_node_affiliations(node, OWNER, [change]) == []


@pytest.mark.row("D1", "D2")
def test_the_service_says_what_it_can_do(desk_with: Callable[..., Desk]) -> None:
    plain = desk_with().features()
    assert plain[0] == NAMESPACE
    assert {f"{NAMESPACE}#{name}" for name in ("publish", "access-open", "rsm")} <= set(plain)
    optional = desk_with(
        auto_create=True,
        multi_subscribe=True,
        node_defaults=NodeConfig(
            access_model="whitelist", send_last_published_item="on_sub_and_presence"
        ),
    ).features()
    gained = {"auto-create", "multi-subscribe", "access-whitelist", "last-published"}
    assert set(optional) - set(plain) == {f"{NAMESPACE}#{name}" for name in gained}
    assert set(plain) - set(optional) == {f"{NAMESPACE}#access-open"}


@pytest.mark.row("D3")
def test_nodes_are_listed_for_those_who_may_know_of_them(desk: Desk) -> None:
    for model in ("open", "authorize", "presence", "whitelist"):
        desk.create(model, OWNER, form(access_model=model))
    assert names(desk, OWNER) == names(desk, ADMIN) == sorted(names(desk, OWNER))
    assert len(names(desk, OWNER)) == 4
    assert names(desk, ANN) == ["authorize", "open"]
    desk.presence_granted(ANN.bare)
    assert names(desk, ANN) == ["authorize", "open", "presence"]
    affiliate(desk, "whitelist", ANN, "member")
    assert len(names(desk, ANN)) == 4
    for model in ("open", "presence", "whitelist"):
        affiliate(desk, model, ANN, "outcast")
    assert names(desk, ANN) == ["authorize"]
    assert names(desk, BEN) == ["authorize", "open"]


@pytest.mark.row("D3")
def test_a_long_list_of_nodes_is_read_page_by_page(desk: Desk) -> None:
    for name in ("c", "a", "d", "b"):
        desk.create(name, OWNER, form(title=name.upper()))
    first = desk.nodes(ANN, page=Page(3))
    assert first.entries[0] == NodeEntry("a", "leaf", "A")
    assert (len(first.entries), first.first, first.total) == (3, 0, 4)
    second = desk.nodes(ANN, page=Page(3, after="c"))
    assert ([each.node for each in second.entries], second.first) == (["d"], 3)
    assert names(desk, ANN, page=Page(2, before="c")) == ["a", "b"]


@pytest.mark.row("D4", "D5")
def test_a_node_says_what_it_is_and_for_whom(desk: Desk) -> None:
    desk.create("news", OWNER, form(title="News", max_items=7, contact=["help@example.org"]))
    affiliate(desk, "news", BEN, "publisher")
    desk.subscribe("news", ANN, ANN.jid)
    info = desk.node_info("news", ANN)
    assert (info.node, info.kind) == ("news", "leaf")
    told = {name.removeprefix("pubsub#"): texts for name, texts in info.metadata.items()}
    assert told["creator"] == told["owner"] == [OWNER.bare]
    assert told["publisher"] == [BEN.bare]
    assert told["num_subscribers"] == ["1"]
    assert told["title"] == ["News"]
    assert told["max_items"] == ["7"]
    assert (told["access_model"], told["publish_model"]) == (["open"], ["publishers"])
    assert told["creation_date"][0].endswith("Z")
    assert told["contact"] == ["help@example.org"]


@pytest.mark.row("D5")
def test_a_closed_node_says_only_what_it_is(desk: Desk) -> None:
    desk.create("news", OWNER, form(access_model="whitelist"))
    assert desk.node_info("news", ANN).metadata == {}
    assert desk.node_info("news", OWNER).metadata
    desk.create("all", OWNER, form(node_type="collection"))
    assert desk.node_info("all", ANN).kind == "collection"


@pytest.mark.row("D6")
def test_items_are_listed_by_their_names(desk: Desk) -> None:
    desk.create("news", OWNER)
    desk.publish("news", OWNER, [item(name) for name in "abc"])
    assert desk.item_names("news", ANN).entries == ["a", "b", "c"]
    part = desk.item_names("news", ANN, page=Page(2, after="a"))
    assert (part.entries, part.first, part.total) == (["b", "c"], 1, 3)
    desk.create("closed", OWNER, form(access_model="whitelist"))
    with refused("not-allowed", "closed-node"):
        desk.item_names("closed", ANN)
    desk.create("events", OWNER, form(persist_items=0))
    assert desk.item_names("events", ANN).entries == []
    desk.create("all", OWNER, form(node_type="collection"))
    with refused("feature-not-implemented", "unsupported", "retrieve-items"):
        desk.item_names("all", ANN)


@pytest.mark.row("D9")
def test_nothing_is_found_out_of_a_node_that_is_not_there(desk: Desk) -> None:
    for ask in (
        lambda: desk.node_info("news", ANN),
        lambda: desk.item_names("news", ANN),
        lambda: desk.nodes(ANN, "news"),
    ):
        with refused("item-not-found"):
            ask()
