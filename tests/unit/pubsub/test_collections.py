"""Collections (XEP-0248), which the service advertises beside XEP-0060."""

from collections.abc import Callable

import pytest

from eventworker.pubsub.facts import Affiliated
from eventworker.pubsub.rules import Affiliation
from tests.helpers.pubsub import ADMIN, ANN, BEN, OWNER, Desk, form, item, refused

COLLECTION = form(node_type="collection")


@pytest.fixture
def tree(desk: Desk) -> Desk:
    """A service with the collections `all` and, inside of it, `some`; and the leaf `news`."""
    desk.create("all", OWNER, COLLECTION)
    desk.create("some", OWNER, COLLECTION | form(collection="all"))
    desk.create("news", OWNER)
    return desk


def children(desk: Desk, name: str) -> list[str]:
    shown = [each.node for each in desk.nodes(ADMIN, name).entries]
    assert list(desk.configuration(name, ADMIN).children) == shown
    return shown


def parents(desk: Desk, name: str) -> tuple[str, ...]:
    shown: tuple[str, ...] = desk.configuration(name, ADMIN).collection
    return shown


def test_a_node_is_put_into_collections_and_taken_out(tree: Desk) -> None:
    tree.associate("all", "news", OWNER)
    tree.associate("some", "news", OWNER)
    tree.associate("some", "news", OWNER)
    assert children(tree, "all") == ["news", "some"]
    assert parents(tree, "news") == ("all", "some")
    tree.disassociate("all", "news", OWNER)
    assert children(tree, "all") == ["some"]
    assert parents(tree, "news") == ("some",)
    with refused("bad-request"):
        tree.disassociate("all", "news", OWNER)


def test_a_node_says_itself_where_it_is(tree: Desk) -> None:
    tree.create("other", OWNER, form(collection=["all", "some"]))
    assert parents(tree, "other") == ("all", "some")
    tree.configure("other", OWNER, form(collection=["some"]))
    assert (children(tree, "all"), children(tree, "some")) == (["some"], ["other"])
    tree.configure("other", OWNER, form(collection=[""]))
    assert parents(tree, "other") == ()


def test_a_collection_says_itself_what_is_in_it(tree: Desk) -> None:
    tree.create("mine", OWNER, COLLECTION | form(children=["news", "some"]))
    assert parents(tree, "news") == ("mine",)
    assert parents(tree, "some") == ("all", "mine")
    tree.configure("mine", OWNER, form(children=["news"]))
    assert children(tree, "mine") == ["news"]
    assert parents(tree, "some") == ("all",)


def test_to_say_a_thing_twice_is_to_say_it_once(tree: Desk) -> None:
    tree.create("other", OWNER, form(collection=["all", "some", "all"]))
    assert parents(tree, "other") == ("all", "some")
    tree.create("mine", OWNER, COLLECTION | form(children=["news", "news"]))
    assert children(tree, "mine") == ["news"]
    tree.configure("news", OWNER, form(collection=["mine", "all", "all", "mine"]))
    assert parents(tree, "news") == ("all", "mine")


def test_a_leaf_has_no_children(tree: Desk) -> None:
    tree.create("leaf", OWNER)
    for ask in (
        lambda: tree.associate("leaf", "news", OWNER),
        lambda: tree.configure("leaf", OWNER, form(children="news")),
        lambda: tree.configure("news", OWNER, form(collection="leaf")),
        lambda: tree.create("other", OWNER, form(collection="leaf")),
        lambda: tree.create("other", OWNER, form(children="news")),
    ):
        with refused("not-allowed", "invalid-options"):
            ask()


def test_there_is_no_ring(tree: Desk) -> None:
    tree.create("few", OWNER, COLLECTION | form(collection="some"))
    for inner, outer in (("all", "few"), ("some", "few"), ("all", "all")):
        for ask in (
            lambda inner=inner, outer=outer: tree.associate(outer, inner, OWNER),
            lambda inner=inner, outer=outer: tree.configure(inner, OWNER, form(collection=outer)),
            lambda inner=inner, outer=outer: tree.configure(outer, OWNER, form(children=inner)),
        ):
            with refused("not-allowed", "invalid-options"):
                ask()


def test_a_ring_is_not_closed_by_one_form(tree: Desk) -> None:
    tree.create("top", OWNER, COLLECTION)
    with refused("not-allowed", "invalid-options"):
        tree.configure("top", OWNER, form(collection="some", children="all"))
    with refused("not-allowed", "invalid-options"):
        tree.create("ring", OWNER, COLLECTION | form(collection="some", children="all"))


def test_a_lattice_of_collections_is_walked_once(desk: Desk) -> None:
    above: list[str] = []
    for n in range(20):
        for name in (f"a{n}", f"b{n}"):
            desk.create(name, OWNER, COLLECTION | form(collection=above))
        above = [f"a{n}", f"b{n}"]
    desk.create("leaf", OWNER, form(collection=above))
    desk.listen_to("a19", "b4", "b3")
    desk.publish("leaf", OWNER, [item("a")])
    assert [level for level, _ in desk.audience()] == [1, 16]
    with refused("not-allowed", "invalid-options"):
        desk.associate("a19", "a0", OWNER)


@pytest.mark.parametrize(
    ("policy", "allowed"),
    [("owners", []), ("whitelist", [ANN]), ("all", [ANN, BEN])],
)
def test_the_policy_says_who_puts_his_nodes_there(
    desk_with: Callable[..., Desk], policy: str, allowed: list[object]
) -> None:
    desk = desk_with(creators="everyone")
    policy_form = form(
        children_association_policy=policy, children_association_whitelist=[ANN.bare]
    )
    desk.create("all", OWNER, COLLECTION | policy_form)
    for actor in (ANN, BEN):
        desk.create(actor.bare, actor)
        if actor in allowed:
            desk.associate("all", actor.bare, actor)
        else:
            with refused("forbidden"):
                desk.associate("all", actor.bare, actor)
            with refused("forbidden"):
                desk.configure(actor.bare, actor, form(collection="all"))
            with refused("forbidden"):
                desk.create("another", actor, form(collection="all"))


def test_nobody_puts_the_nodes_of_others_anywhere(desk_with: Callable[..., Desk]) -> None:
    desk = desk_with(creators="everyone")
    desk.create("hers", ANN)
    desk.create("all", OWNER, COLLECTION | form(children_association_policy="all"))
    with refused("forbidden"):
        desk.associate("all", "hers", OWNER)
    with refused("forbidden"):
        desk.configure("all", OWNER, form(children="hers"))
    with refused("forbidden"):
        desk.create("another", OWNER, COLLECTION | form(children="hers"))
    desk.associate("all", "hers", ANN)
    with refused("forbidden"):
        desk.disassociate("all", "hers", BEN)
    desk.disassociate("all", "hers", OWNER)
    desk.associate("all", "hers", ADMIN)
    desk.disassociate("all", "hers", ANN)


def test_a_collection_has_room_for_so_many(desk: Desk) -> None:
    desk.create("all", OWNER, COLLECTION | form(children_max=1))
    for name in ("a", "b"):
        desk.create(name, OWNER)
    desk.associate("all", "a", OWNER)
    for ask in (
        lambda: desk.associate("all", "b", OWNER),
        lambda: desk.configure("b", OWNER, form(collection="all")),
        lambda: desk.configure("all", OWNER, form(children=["a", "b"])),
        lambda: desk.create("c", OWNER, form(collection="all")),
        lambda: desk.create("c", OWNER, COLLECTION | form(children=["a", "b"], children_max=1)),
    ):
        with refused("not-allowed", "max-nodes-exceeded"):
            ask()
    desk.configure("all", OWNER, form(children=["b"]))
    assert children(desk, "all") == ["b"]


def test_what_is_not_there_is_in_no_collection(tree: Desk) -> None:
    for ask in (
        lambda: tree.associate("all", "none", OWNER),
        lambda: tree.associate("none", "news", OWNER),
        lambda: tree.configure("news", OWNER, form(collection="none")),
        lambda: tree.configure("all", OWNER, form(children=["some", "none"])),
    ):
        with refused("item-not-found"):
            ask()


def test_the_children_of_a_deleted_collection_stay(tree: Desk) -> None:
    tree.associate("some", "news", OWNER)
    tree.delete("some", OWNER)
    assert parents(tree, "news") == ()
    assert children(tree, "all") == []
    tree.create("some", OWNER, COLLECTION)
    assert children(tree, "some") == []
    tree.configure("news", OWNER, form(collection="some"))
    assert parents(tree, "news") == ("some",)


def test_nodes_are_listed_below_the_collections_that_one_knows_of(tree: Desk) -> None:
    tree.associate("some", "news", OWNER)
    tree.create("alone", OWNER)
    assert [each.node for each in tree.nodes(ANN).entries] == ["all", "alone"]
    everything = ["all", "alone", "news", "some"]
    assert [each.node for each in tree.nodes(ANN, deep=True).entries] == everything
    tree.configure("some", OWNER, form(access_model="whitelist"))
    assert [each.node for each in tree.nodes(ANN).entries] == ["all", "alone", "news"]
    with refused("not-allowed", "closed-node"):
        tree.nodes(ANN, "some")
    change = [Affiliated("some", ANN.bare, Affiliation.MEMBER)]
    assert tree.change_node_affiliations("some", OWNER, change) == []
    assert [each.node for each in tree.nodes(ANN).entries] == ["all", "alone"]
    assert [(each.node, each.kind) for each in tree.nodes(ANN, "some").entries] == [
        ("news", "leaf")
    ]


@pytest.mark.row("N4")
def test_who_is_told_of_a_configuration_is_not_told_of_closed_nodes(tree: Desk) -> None:
    tree.configure("news", OWNER, form(access_model="whitelist", collection="all"))
    tree.listen_to("all")
    tree.configure("all", OWNER, form(notify_config=1, children_association_whitelist=ANN.bare))
    ((_, content),) = tree.heard()
    assert content["fields"]["pubsub#notify_config"] == ["1"]
    assert not any("news" in texts or ANN.bare in texts for texts in content["fields"].values())


def test_subscribers_of_a_collection_are_told_what_happens_to_its_nodes(tree: Desk) -> None:
    tree.listen_to("all")
    nodes = form(subscription_type="nodes")
    tree.set_subscription_options("all", ADMIN, ADMIN.jid, nodes)
    tree.associate("some", "news", OWNER)
    tree.publish("news", OWNER, [item("a")])
    tree.disassociate("some", "news", OWNER)
    tree.delete("some", OWNER)
    heard = [(word, content.get("child")) for word, content in tree.heard()]
    assert heard == [("associate", "news"), ("disassociate", "news"), ("delete", None)]
