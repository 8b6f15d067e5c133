"""Retrieving items: rows I1 to I6."""

from collections.abc import Callable

import pytest

from eventworker.pubsub.facts import Actor, Affiliated, Page
from eventworker.pubsub.rules import Affiliation
from tests.helpers.pubsub import ADMIN, ANN, BEN, OWNER, Desk, form, item, refused


@pytest.fixture
def news(desk: Desk) -> Desk:
    """A service with a node of five items."""
    desk.create("news", OWNER)
    desk.publish("news", OWNER, [item(name) for name in "abcde"])
    return desk


def ids(desk: Desk, actor: Actor = ANN, **kwargs: object) -> str:
    return "".join(each.id for each in desk.items("news", actor, **kwargs).entries)


@pytest.mark.row("I2", "I3", "I4", "I5")
def test_items_are_asked_for_by_number_and_by_id(news: Desk) -> None:
    assert ids(news) == "abcde"
    assert ids(news, max_items=2) == "ed"
    assert ids(news, max_items=9) == "edcba"
    assert ids(news, ids=["d", "a", "none", "a"]) == "ad"
    assert ids(news, ids=["none"]) == ""
    with refused("bad-request"):
        ids(news, max_items=0)


@pytest.mark.row("I2")
@pytest.mark.parametrize(
    ("page", "wanted", "first"),
    [
        (Page(2), "ab", 0),
        (Page(2, after="b"), "cd", 2),
        (Page(2, after="d"), "e", 4),
        (Page(2, after="e"), "", 0),
        (Page(2, before=""), "de", 3),
        (Page(2, before="d"), "bc", 1),
        (Page(9, before="c"), "ab", 0),
        (Page(2, index=3), "de", 3),
        (Page(0), "", 0),
        (Page(), "abcde", 0),
        (Page(after="c"), "de", 3),
    ],
)
def test_a_list_is_read_page_by_page(news: Desk, page: Page, wanted: str, first: int) -> None:
    part = news.items("news", ANN, page=page)
    assert "".join(each.id for each in part.entries) == wanted
    assert (part.first, part.total) == (first, 5)


@pytest.mark.row("I2")
def test_a_page_begins_with_an_item_that_is_there(news: Desk) -> None:
    for page in (Page(2, after="none"), Page(2, before="none")):
        with refused("item-not-found"):
            news.items("news", ANN, page=page)


@pytest.mark.row("I2", "I3")
def test_a_page_may_be_one_of_the_newest_items(news: Desk) -> None:
    part = news.items("news", ANN, max_items=3, page=Page(2))
    assert ([each.id for each in part.entries], part.total) == (["c", "d"], 3)
    assert news.items("news", ANN, max_items=9, page=Page(2)).total == 5


@pytest.mark.row("I1", "I6")
def test_the_access_model_says_who_retrieves(desk: Desk) -> None:
    for model, condition, detail in (
        ("open", None, None),
        ("presence", "not-authorized", "presence-subscription-required"),
        ("authorize", "not-authorized", "not-subscribed"),
        ("whitelist", "not-allowed", "closed-node"),
    ):
        desk.create(model, OWNER, form(access_model=model))
        if condition:
            with refused(condition, detail):
                desk.items(model, ANN)
        for admitted in (OWNER, ADMIN):
            desk.items(model, admitted)
        for affiliation in ("publisher", "member"):
            _affiliate(desk, model, affiliation)
            desk.items(model, ANN)
        for affiliation in ("outcast", "publish-only"):
            _affiliate(desk, model, affiliation)
            with refused("forbidden"):
                desk.items(model, ANN)


@pytest.mark.row("I1")
def test_a_subscriber_retrieves_once_he_has_been_approved(desk: Desk) -> None:
    desk.create("news", OWNER, form(access_model="authorize"))
    asked = desk.subscribe("news", ANN, ANN.jid)
    with refused("not-authorized", "not-subscribed"):
        desk.items("news", ANN)
    desk.decide("news", OWNER, asked.jid, asked.subid, allow=True)
    desk.items("news", ANN)


@pytest.mark.row("I1")
def test_whoever_shares_presence_retrieves(desk: Desk) -> None:
    desk.create("news", OWNER, form(access_model="presence"))
    desk.presence_granted(ANN.bare)
    desk.items("news", ANN)
    desk.presence_revoked(ANN.bare)
    with refused("not-authorized", "presence-subscription-required"):
        desk.items("news", ANN)


@pytest.mark.row("I6")
def test_a_node_without_items_says_so(desk: Desk) -> None:
    desk.create("events", OWNER, form(persist_items=0))
    desk.create("all", OWNER, form(node_type="collection"))
    with refused("feature-not-implemented", "unsupported", "persistent-items"):
        desk.items("events", ANN)
    with refused("feature-not-implemented", "unsupported", "retrieve-items"):
        desk.items("all", ANN)
    with refused("item-not-found"):
        desk.items("other", ANN)


@pytest.mark.row("I6")
def test_one_of_several_subscriptions_has_to_be_named(desk_with: Callable[..., Desk]) -> None:
    desk = desk_with(multi_subscribe=True)
    desk.create("news", OWNER)
    desk.items("news", ANN)
    first = desk.subscribe("news", ANN, ANN.jid)
    desk.items("news", ANN)
    desk.subscribe("news", ANN, ANN.jid)
    with refused("bad-request", "subid-required"):
        desk.items("news", ANN)
    desk.items("news", ANN, subid=first.subid)
    with refused("not-acceptable", "invalid-subid"):
        desk.items("news", ANN, subid="another")
    desk.items("news", BEN)


@pytest.mark.row("I6", "U2")
def test_a_subid_means_nothing_where_there_are_none(news: Desk) -> None:
    assert ids(news, subid="any") == "abcde"


def _affiliate(desk: Desk, node: str, affiliation: str) -> None:
    change = Affiliated(node, ANN.bare, Affiliation(affiliation))
    assert desk.change_node_affiliations(node, OWNER, [change]) == []
