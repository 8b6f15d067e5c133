"""Publisher use cases: rows P1 to P14 and R1 to R3."""

from collections.abc import Callable

import pytest

from eventworker.pubsub.facts import NewItem
from tests.helpers.pubsub import ANN, OWNER, Desk, entry, form, item, refused


def ids(desk: Desk, node: str) -> list[str]:
    return [each.id for each in desk.items(node, OWNER).entries]


@pytest.mark.row("P1", "P4")
def test_an_item_without_an_id_is_given_one(desk: Desk) -> None:
    desk.create("news", OWNER)
    first, second = desk.publish("news", OWNER, [item(), item()])
    assert first != second
    assert ids(desk, "news") == [first, second]
    assert {each.publisher for each in desk.items("news", ANN).entries} == {OWNER.bare}


@pytest.mark.row("P2")
def test_an_item_of_the_same_id_replaces_the_other_and_is_the_newest(desk: Desk) -> None:
    desk.create("news", OWNER)
    desk.publish("news", OWNER, [item("a"), item("b")])
    desk.publish("news", OWNER, [item("a", "changed")])
    assert ids(desk, "news") == ["b", "a"]
    assert desk.items("news", OWNER, ids=["a"]).entries[0].payload == entry("changed")


@pytest.mark.row("P11")
def test_nobody_publishes_to_a_node_that_is_not_there(desk: Desk) -> None:
    with refused("item-not-found"):
        desk.publish("news", OWNER, [item()])


@pytest.mark.row("P11")
def test_publishing_makes_the_node_where_the_service_is_set_up_for_that(
    desk_with: Callable[..., Desk],
) -> None:
    desk = desk_with(auto_create=True)
    desk.publish("news", OWNER, [item("a")], options=form(title="News"))
    assert desk.configuration("news", OWNER).title == "News"
    with refused("forbidden"):
        desk.publish("other", ANN, [item("a")])


@pytest.mark.row("R1", "R2", "R3")
def test_an_owner_retracts_items(desk: Desk) -> None:
    desk.create("news", OWNER)
    desk.publish("news", OWNER, [item("a"), item("b")])
    desk.retract("news", OWNER, ["a"])
    assert ids(desk, "news") == ["b"]
    with refused("item-not-found"):
        desk.retract("news", OWNER, ["b", "a"])
    assert ids(desk, "news") == ["b"]
    with refused("bad-request", "item-required"):
        desk.retract("news", OWNER, [])
    with refused("forbidden"):
        desk.retract("news", ANN, ["b"])


@pytest.mark.row("P13", "T4")
def test_a_full_node_makes_room(desk: Desk) -> None:
    desk.create("news", OWNER, form(max_items=2))
    desk.publish("news", OWNER, [item("a"), item("b")])
    desk.publish("news", OWNER, [item("c")])
    assert ids(desk, "news") == ["b", "c"]
    desk.publish("news", OWNER, [item("b")])
    assert ids(desk, "news") == ["c", "b"]


@pytest.mark.row("P13")
def test_a_full_node_refuses_if_it_is_set_up_for_that(desk: Desk) -> None:
    desk.create("news", OWNER, form(max_items=2, publish_node_full="reject"))
    desk.publish("news", OWNER, [item("a"), item("b")])
    with refused("conflict", "node-full"):
        desk.publish("news", OWNER, [item("c")])
    desk.publish("news", OWNER, [item("a")])
    assert ids(desk, "news") == ["b", "a"]


@pytest.mark.row("P14")
def test_a_batch_is_published_as_a_whole_or_not_at_all(desk: Desk) -> None:
    desk.create("news", OWNER)
    with refused("bad-request", "invalid-payload"):
        desk.publish("news", OWNER, [item("a"), NewItem("b", "<entry>")])
    assert ids(desk, "news") == []
