"""Publisher use cases: rows P1 to P14 and R1 to R3."""

from collections.abc import Callable

import pytest

from eventworker.pubsub.errors import PubSubError
from eventworker.pubsub.facts import Actor, Affiliated, NewItem
from eventworker.pubsub.rules import Affiliation
from tests.helpers.pubsub import ADMIN, ANN, BEN, OWNER, Desk, entry, form, item, refused


def ids(desk: Desk, node: str) -> list[str]:
    return [each.id for each in desk.items(node, OWNER).entries]


def set_affiliation(desk: Desk, node: str, who: Actor, affiliation: str) -> None:
    change = Affiliated(node, who.bare, Affiliation(affiliation))
    assert desk.change_node_affiliations(node, OWNER, [change]) == []


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


@pytest.mark.row("P14")
def test_a_large_batch_is_told_in_notices_of_a_moderate_size(desk: Desk) -> None:
    desk.create("news", OWNER)
    desk.listen_to("news")
    desk.publish("news", OWNER, [item(str(number), "x" * 60_000) for number in range(5)])
    told = [[each["id"] for each in content["items"]] for _, content in desk.heard()]
    assert told == [["0", "1"], ["2", "3"], ["4"]]


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


@pytest.mark.row("P11")
@pytest.mark.parametrize(
    ("items", "options"),
    [
        ([NewItem("1")], None),
        ([], None),
        ([item("1"), item("2")], form(max_items="1")),
        ([item("1")], form(type="urn:other")),
        ([item("1")], form(node_type="collection")),
    ],
)
def test_what_cannot_be_published_leaves_no_node_behind(
    desk_with: Callable[..., Desk], items: list[NewItem], options: dict[str, list[str]] | None
) -> None:
    desk = desk_with(auto_create=True)
    with desk.service() as service, pytest.raises(PubSubError):
        service.publish("news", OWNER, items, options)
    with refused("item-not-found"):
        desk.items("news", OWNER)


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


@pytest.mark.row("P4")
def test_who_published_is_said_by_the_service(desk: Desk) -> None:
    desk.create("news", OWNER, form(publish_model="open"))
    desk.publish("news", ANN, [item("a")])
    assert desk.items("news", BEN).entries[0].publisher == ANN.bare


@pytest.mark.row("P6")
@pytest.mark.parametrize(
    ("persist", "payloads", "items", "detail"),
    [
        (1, 1, [], "item-required"),
        (1, 1, [NewItem("a")], "payload-required"),
        (1, 1, [item("a")], None),
        (1, 0, [], "item-required"),
        (1, 0, [NewItem("a")], None),
        (1, 0, [item("a")], None),
        (0, 1, [], "payload-required"),
        (0, 1, [NewItem("a")], "payload-required"),
        (0, 1, [item("a")], None),
        (0, 0, [NewItem("a")], "item-forbidden"),
        (0, 0, [item("a")], "item-forbidden"),
        (0, 0, [], None),
    ],
)
def test_an_item_has_to_be_what_the_node_is_for(
    desk: Desk, persist: int, payloads: int, items: list[NewItem], detail: str | None
) -> None:
    desk.create("news", OWNER, form(persist_items=persist, deliver_payloads=payloads))
    if detail:
        with refused("bad-request", detail):
            desk.publish("news", OWNER, items)
    else:
        desk.publish("news", OWNER, items)
        if persist:
            assert ids(desk, "news") == ["a"]


@pytest.mark.row("P6", "P7", "P3")
@pytest.mark.parametrize(
    ("persist", "payloads", "items", "heard"),
    [
        (1, 1, [item("a")], [{"id": "a", "payload": entry(), "publisher": OWNER.bare}]),
        (0, 1, [item("a")], [{"id": "a", "payload": entry(), "publisher": OWNER.bare}]),
        (1, 0, [item("a")], [{"id": "a", "payload": None, "publisher": OWNER.bare}]),
        (0, 0, [], []),
    ],
)
def test_payloads_are_delivered_only_if_the_node_delivers_them(
    desk: Desk, persist: int, payloads: int, items: list[NewItem], heard: list[dict[str, str]]
) -> None:
    desk.create("news", OWNER, form(persist_items=persist, deliver_payloads=payloads))
    desk.listen_to("news")
    desk.publish("news", OWNER, items)
    assert desk.heard() == [("items", {"items": heard})]


@pytest.mark.row("P8")
@pytest.mark.parametrize(
    "payload",
    [
        "",
        "text",
        "<a/><b/>",
        "<a>",
        "<a:b/>",
        "<a>\x00</a>",
        "<a>\x01</a>",
        "<a>\ud800</a>",
        "<?xml version='1.0'?><a/>",
        "<!DOCTYPE a><a/>",
        "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
        "<?pi?><a/>",
        "<a><?pi?></a>",
        "<a>&unknown;</a>",
        "<a xmlns='urn:other'/>",
        "<a>" * 65 + "</a>" * 65,
        "\x1c<entry xmlns='urn:example:entry'/>",
        "<entry xmlns='urn:example:entry'/>\x0b",
        "\u2003<entry xmlns='urn:example:entry'/>",
    ],
)
def test_a_payload_is_one_element_of_the_type_of_the_node(desk: Desk, payload: str) -> None:
    desk.create("news", OWNER, form(type="urn:example:entry"))
    with refused("bad-request", "invalid-payload"):
        desk.publish("news", OWNER, [NewItem("a", payload)])
    desk.publish("news", OWNER, [item("a", "&lt;\u00e4\U0001f600")])
    assert desk.items("news", ANN).entries[0].payload == entry("&lt;\u00e4\U0001f600")


@pytest.mark.row("P9")
def test_a_payload_may_be_too_big_for_the_node_and_for_the_service(
    desk_with: Callable[..., Desk],
) -> None:
    desk = desk_with(max_payload_size=1000)
    size = len(entry("\u00e4").encode())
    desk.create("small", OWNER, form(max_payload_size=size))
    desk.publish("small", OWNER, [item("a", "\u00e4")])
    with refused("not-acceptable", "payload-too-big"):
        desk.publish("small", OWNER, [item("a", "\u00e4\u00e4")])
    desk.create("large", OWNER)
    with refused("not-acceptable", "payload-too-big"):
        desk.publish("large", OWNER, [item("a", "x" * 1000)])


@pytest.mark.row("P10")
def test_the_publish_model_says_who_publishes(desk: Desk) -> None:
    desk.create("closed", OWNER)
    desk.create("shared", OWNER, form(publish_model="subscribers"))
    desk.create("open", OWNER, form(publish_model="open"))
    with refused("forbidden"):
        desk.publish("closed", ANN, [item()])
    with refused("forbidden"):
        desk.publish("shared", ANN, [item()])
    desk.subscribe("shared", ANN, ANN.jid)
    desk.publish("shared", ANN, [item()])
    desk.publish("open", ANN, [item()])
    for affiliation in ("publisher", "publish-only"):
        set_affiliation(desk, "closed", ANN, affiliation)
        desk.publish("closed", ANN, [item()])
    for affiliation in ("member", "outcast"):
        set_affiliation(desk, "closed", ANN, affiliation)
        with refused("forbidden"):
            desk.publish("closed", ANN, [item()])
    set_affiliation(desk, "open", ANN, "outcast")
    with refused("forbidden"):
        desk.publish("open", ANN, [item()])
    desk.publish("closed", ADMIN, [item()])


@pytest.mark.row("P11")
def test_an_instant_item_goes_to_no_collection(desk: Desk) -> None:
    desk.create("all", OWNER, form(node_type="collection"))
    with refused("feature-not-implemented", "unsupported", "publish"):
        desk.publish("all", OWNER, [item()])


@pytest.mark.row("P12")
def test_publish_options_are_preconditions(desk: Desk) -> None:
    desk.create("news", OWNER, form(access_model="whitelist", max_items=5))
    met = form(access_model="whitelist", max_items=5) | {"FORM_TYPE": ["x"]}
    desk.publish("news", OWNER, [item("a")], options=met)
    for unmet in (
        form(access_model="open"),
        form(access_model="whitelist", max_items="max"),
        form(unheard_of="1"),
        form(max_items="many"),
    ):
        with refused("conflict", "precondition-not-met"):
            desk.publish("news", OWNER, [item("b")], options=unmet)
    assert ids(desk, "news") == ["a"]


@pytest.mark.row("P12")
def test_unknown_publish_options_make_no_node(desk_with: Callable[..., Desk]) -> None:
    desk = desk_with(auto_create=True)
    with refused("conflict", "precondition-not-met"):
        desk.publish("news", OWNER, [item("a")], options=form(unheard_of="1"))
    with refused("not-acceptable", "unsupported-access-model"):
        desk.publish("news", OWNER, [item("a")], options=form(access_model="roster"))
    with refused("item-not-found"):
        desk.items("news", OWNER)


@pytest.mark.row("P13")
@pytest.mark.parametrize(
    ("full", "notify", "heard"),
    [
        ("retract-oldest", 1, ["items", "retract"]),
        ("retract-oldest", 0, ["items"]),
        ("discard-oldest", 1, ["items"]),
    ],
)
def test_what_had_to_go_is_told_if_it_is_retracted(
    desk: Desk, full: str, notify: int, heard: list[str]
) -> None:
    config = form(max_items=1, publish_node_full=full, notify_retract=notify)
    desk.create("news", OWNER, config)
    desk.publish("news", OWNER, [item("a")])
    desk.listen_to("news")
    desk.publish("news", OWNER, [item("b")])
    assert [word for word, _ in desk.heard()] == heard
    assert ids(desk, "news") == ["b"]


@pytest.mark.row("P14")
def test_a_batch_has_room_in_the_node(desk_with: Callable[..., Desk]) -> None:
    desk = desk_with(max_batch=3)
    desk.create("news", OWNER, form(max_items=2))
    desk.publish("news", OWNER, [item("a"), item("b")])
    with refused("not-allowed", "max-items-exceeded"):
        desk.publish("news", OWNER, [item("c"), item("d"), item("e")])
    with refused("not-allowed", "max-items-exceeded"):
        desk.publish("news", OWNER, [item() for _ in range(4)])
    with refused("bad-request"):
        desk.publish("news", OWNER, [item("c"), item("c")])
    assert ids(desk, "news") == ["a", "b"]


@pytest.mark.row("T1")
@pytest.mark.parametrize("name", ["", "x" * 513, "a\x00", "a\n", "a\ud800", "\uffff"])
def test_an_item_has_a_name_that_can_be_written(desk: Desk, name: str) -> None:
    desk.create("news", OWNER)
    with refused("bad-request"):
        desk.publish("news", OWNER, [item(name)])


def test_a_quiet_node_tells_nothing(desk: Desk) -> None:
    desk.create("news", OWNER, form(deliver_notifications=0))
    desk.listen_to("news")
    desk.publish("news", OWNER, [item("a")])
    desk.retract("news", OWNER, ["a"], notify=True)
    assert desk.heard() == []


@pytest.mark.row("R1")
@pytest.mark.parametrize(
    ("configured", "asked", "heard"),
    [
        (0, False, []),
        (0, True, [("retract", {"ids": ["a"]})]),
        (1, False, [("retract", {"ids": ["a"]})]),
    ],
)
def test_a_retraction_is_told_if_the_node_or_the_publisher_says_so(
    desk: Desk, configured: int, asked: bool, heard: list[object]
) -> None:
    desk.create("news", OWNER, form(notify_retract=configured))
    desk.publish("news", OWNER, [item("a")])
    desk.listen_to("news")
    desk.retract("news", OWNER, ["a"], notify=asked)
    assert desk.heard() == heard


@pytest.mark.row("R2")
def test_a_node_without_items_has_none_to_retract(desk: Desk) -> None:
    desk.create("events", OWNER, form(persist_items=0))
    desk.create("all", OWNER, form(node_type="collection"))
    for node in ("events", "all"):
        with refused("feature-not-implemented", "unsupported", "persistent-items"):
            desk.retract(node, OWNER, ["a"])
    with refused("item-not-found"):
        desk.retract("other", OWNER, ["a"])


@pytest.mark.row("R3")
@pytest.mark.parametrize("affiliation", ["publisher", "publish-only"])
def test_a_publisher_retracts_his_own_items(desk: Desk, affiliation: str) -> None:
    desk.create("news", OWNER)
    set_affiliation(desk, "news", ANN, affiliation)
    desk.publish("news", ANN, [item("hers")])
    desk.publish("news", OWNER, [item("other")])
    with refused("forbidden"):
        desk.retract("news", ANN, ["hers", "other"])
    desk.retract("news", ANN, ["hers"])
    assert ids(desk, "news") == ["other"]


@pytest.mark.row("R3")
def test_where_all_publish_each_retracts_his_own(desk: Desk) -> None:
    desk.create("news", OWNER, form(publish_model="open"))
    desk.publish("news", ANN, [item("a")])
    with refused("forbidden"):
        desk.retract("news", BEN, ["a"])
    desk.retract("news", ANN, ["a"])


@pytest.mark.row("P8", "T5")
@pytest.mark.parametrize("payload", ["<xml:a/>", "<a><b><xml:c/></b></a>"])
def test_no_element_has_the_prefix_that_is_reserved(desk: Desk, payload: str) -> None:
    desk.create("news", OWNER)
    with refused("bad-request", "invalid-payload"):
        desk.publish("news", OWNER, [NewItem("1", payload)])
    desk.publish("news", OWNER, [NewItem("1", "<a xml:lang='en'/>")])


@pytest.mark.row("P8")
def test_a_namespace_may_have_any_character(desk: Desk) -> None:
    desk.create("news", OWNER, form(type="a b"))
    desk.publish("news", OWNER, [NewItem("1", "<x xmlns='a b'/>")])
