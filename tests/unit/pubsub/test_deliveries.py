"""Who is told what: rows S14, S15, P3, P5, X1, and what comes with collections."""

from collections.abc import Callable

import pytest
from sqlalchemy import func, insert, select, update

from eventworker.db import short_transaction
from eventworker.pubsub import deliveries
from eventworker.pubsub.facts import Actor, Affiliated
from eventworker.pubsub.rules import Affiliation
from eventworker.pubsub.tables import (
    affiliation_table,
    delivery_table,
    notice_table,
    subscription_table,
)
from tests.helpers.pubsub import ANN, BEN, OWNER, Desk, form, item
from tests.helpers.pubsub_ear import Ear

LOCAL = Actor("hook@pubsub.localhost/1")


def make(desk: Desk, name: str = "news", **config: object) -> str:
    desk.create(name, OWNER, form(**config))
    return name


def left(desk: Desk) -> tuple[int, int]:
    """Notices and deliveries that are still there."""
    with desk.engine.connect() as connection:
        tables = (notice_table, delivery_table)
        notices, owed = (
            connection.scalar(select(func.count()).select_from(table)) for table in tables
        )
    return notices, owed


@pytest.mark.row("S14", "S15", "P3", "P5")
def test_each_address_is_told_once_with_the_ids_of_all_its_subscriptions(
    desk_with: Callable[..., Desk],
) -> None:
    desk = desk_with(multi_subscribe=True)
    make(desk)
    ids = {desk.subscribe("news", ANN, ANN.jid).subid for _ in range(3)}
    desk.subscribe("news", ANN, ANN.bare)
    desk.subscribe("news", BEN, BEN.jid)
    ear = Ear(desk)
    desk.publish("news", OWNER, [item("a")])
    heard = ear.hears()
    assert [each.jid for each in heard] == [ANN.bare, ANN.jid, BEN.jid]
    assert set(heard[1].subids) == ids
    assert [len(each.subids) for each in heard] == [1, 3, 1]


@pytest.mark.row("S15")
@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5])
def test_a_page_never_parts_the_subscriptions_of_an_address(
    desk_with: Callable[..., Desk], limit: int
) -> None:
    desk = desk_with(multi_subscribe=True)
    make(desk)
    for name, times in (("a", 1), ("b", 3), ("c", 2), ("d", 1)):
        for _ in range(times):
            desk.subscribe("news", Actor(f"{name}@example.org"), f"{name}@example.org")
    ear = Ear(desk, limit=limit)
    desk.publish("news", OWNER, [item("x")])
    heard = ear.hears()
    assert [each.jid[0] for each in heard] == ["a", "b", "c", "d"]
    assert [len(each.subids) for each in heard] == [1, 3, 2, 1]
    assert left(desk) == (0, 0)


def test_who_begins_again_goes_on_where_the_other_one_was(desk: Desk) -> None:
    make(desk)
    for name in "abcd":
        desk.subscribe("news", Actor(f"{name}@example.org"), f"{name}@example.org")
    ear = Ear(desk, limit=3)
    desk.publish("news", OWNER, [item("x")])
    with short_transaction(desk.engine) as connection:
        (delivery,) = deliveries.waiting(connection, ear.id, 10)
        page = ear.page(connection, delivery)
        assert page == ear.page(connection, delivery)  # nobody has been told yet
        deliveries.told(connection, delivery, page[1].jid)
    again = Ear(desk)  # under the same name
    assert again.items() == [("c@example.org", "x"), ("d@example.org", "x")]
    assert left(desk) == (0, 0)


def test_a_notice_has_one_id_for_all_listeners_and_is_there_until_the_last_has_told_it(
    desk: Desk,
) -> None:
    make(desk)
    for actor in (ANN, LOCAL):
        desk.subscribe("news", actor, actor.jid)
    ears = [Ear(desk), Ear(desk, LOCAL.jid, name="hook")]
    desk.publish("news", OWNER, [item("a")])
    assert left(desk) == (1, 2)
    with short_transaction(desk.engine) as connection:
        found = [deliveries.waiting(connection, ear.id, 10) for ear in ears]
    assert len({each.notice_id for (each,) in found}) == 1
    assert ears[0].items() == [(ANN.jid, "a")]
    assert left(desk) == (1, 1)
    assert ears[1].items() == [(LOCAL.jid, "a")]
    assert left(desk) == (0, 0)


def test_accounts_of_the_service_listen_for_themselves(desk: Desk) -> None:
    make(desk, send_last_published_item="on_sub")
    other = Actor("hook@pubsub.localhost/2")
    stranger = Actor("hook@notpubsub.localhost")
    ears = {
        "all": Ear(desk),
        "one": Ear(desk, LOCAL.jid, name="one"),
        "two": Ear(desk, other.jid, name="two"),
    }
    desk.publish("news", OWNER, [item("old")])
    for actor in (LOCAL, other, stranger):
        desk.subscribe("news", actor, actor.jid)
    desk.subscribe("news", LOCAL, LOCAL.bare)
    desk.publish("news", OWNER, [item("new")])
    heard = {name: ear.items() for name, ear in ears.items()}
    assert heard["all"] == [(stranger.jid, "old"), (stranger.jid, "new")]
    both = [(LOCAL.bare, "old"), (LOCAL.bare, "new")]
    assert sorted(heard["one"]) == sorted([(LOCAL.jid, "old"), (LOCAL.jid, "new"), *both])
    assert sorted(heard["two"]) == sorted([(other.jid, "old"), (other.jid, "new"), *both])


def test_who_subscribes_after_a_publication_is_not_told_of_it(desk: Desk) -> None:
    make(desk)
    ear = Ear(desk)
    desk.subscribe("news", BEN, BEN.jid)
    desk.publish("news", OWNER, [item("a")])
    desk.subscribe("news", ANN, ANN.jid)
    desk.publish("news", OWNER, [item("b")])
    assert ear.items() == [(BEN.jid, "a"), (ANN.jid, "b"), (BEN.jid, "b")]


def test_who_subscribes_anew_is_not_told_of_what_was_published_before(desk: Desk) -> None:
    """Also where the database would like to number his subscription like the one that ended."""
    make(desk)
    desk.subscribe("news", BEN, BEN.jid)
    desk.subscribe("news", ANN, ANN.jid)
    ear = Ear(desk)
    desk.publish("news", OWNER, [item("a")])
    desk.unsubscribe("news", ANN, ANN.jid)
    desk.subscribe("news", ANN, ANN.jid)
    assert ear.items() == [(BEN.jid, "a")]


@pytest.mark.row("P3")
def test_no_notice_has_the_id_of_an_earlier_one(desk: Desk) -> None:
    make(desk)
    desk.subscribe("news", ANN, ANN.jid)
    ear = Ear(desk)
    seen = set()
    for number in range(3):
        desk.publish("news", OWNER, [item(str(number))])
        with short_transaction(desk.engine) as connection:
            (delivery,) = deliveries.waiting(connection, ear.id, 10)
        seen.add(delivery.notice_id)
        assert len(ear.hears()) == 1
    assert len(seen) == 3


@pytest.mark.row("N1")
def test_a_node_may_deliver_to_those_who_are_there(desk: Desk) -> None:
    make(desk, presence_based_delivery=1)
    phone = Actor("ann@example.org/phone")
    for jid in (ANN.jid, ANN.bare, phone.jid):
        desk.subscribe("news", ANN, jid)
    desk.subscribe("news", LOCAL, LOCAL.jid)
    ear, hook = Ear(desk), Ear(desk, LOCAL.jid, name="hook")
    desk.publish("news", OWNER, [item("a")])
    assert ear.items() == []
    assert hook.items() == [(LOCAL.jid, "a")]
    desk.presence_granted(ANN.bare)  # is not to be there
    desk.publish("news", OWNER, [item("b")])
    assert ear.items() == []
    desk.available(phone.jid)
    desk.publish("news", OWNER, [item("b")])
    assert ear.items() == [(ANN.bare, "b"), (phone.jid, "b")]


@pytest.mark.row("X1")
def test_all_hear_that_a_node_has_gone_also_those_who_wait(desk: Desk) -> None:
    make(desk)
    desk.subscribe("news", ANN, ANN.jid)
    desk.configure("news", OWNER, form(access_model="authorize"))
    desk.subscribe("news", BEN, BEN.jid)
    ear = Ear(desk)
    desk.publish("news", OWNER, [item("a")])
    desk.delete("news", OWNER, "xmpp:new")
    desk.create("news", OWNER)
    desk.publish("news", OWNER, [item("b")])
    heard = [(each.word, each.jid) for each in ear.hears()]
    assert heard == [("items", ANN.jid), ("delete", ANN.jid), ("delete", BEN.jid)]


@pytest.mark.row("X1", "S5")
def test_members_hear_what_was_said_before_the_end_of_their_node(desk: Desk) -> None:
    make(desk, access_model="whitelist")
    members = [Affiliated("news", ANN.bare, Affiliation.MEMBER)]
    desk.change_node_affiliations("news", OWNER, members)
    desk.subscribe("news", ANN, ANN.jid)
    ear = Ear(desk)
    desk.publish("news", OWNER, [item("a")])
    desk.delete("news", OWNER)
    assert [each.word for each in ear.hears()] == ["items", "delete"]


@pytest.mark.row("X1", "S5")
def test_who_has_lost_his_access_still_hears_that_the_node_has_gone(desk: Desk) -> None:
    make(desk)
    desk.subscribe("news", ANN, ANN.jid)
    ear = Ear(desk)
    desk.configure("news", OWNER, form(access_model="whitelist"))
    desk.publish("news", OWNER, [item("a")])
    desk.delete("news", OWNER)
    assert [(each.word, each.jid) for each in ear.hears()] == [("delete", ANN.jid)]


@pytest.mark.row("S8")
@pytest.mark.parametrize("word", ["items", "delete"])
def test_an_outcast_is_told_nothing_even_if_his_subscription_is_still_there(
    desk: Desk, word: str
) -> None:
    make(desk)
    desk.subscribe("news", ANN, ANN.jid)
    ear = Ear(desk)
    if word == "items":
        desk.publish("news", OWNER, [item("a")])
    else:
        desk.delete("news", OWNER)
    with desk.engine.begin() as connection:
        node = connection.scalar(select(subscription_table.c.node_id))
        row = {"node_id": node, "jid": ANN.bare, "affiliation": Affiliation.OUTCAST}
        connection.execute(insert(affiliation_table).values(row))
    assert ear.hears() == []


@pytest.mark.row("S16", "S8")
def test_the_last_item_is_not_sent_to_who_has_lost_his_access_meanwhile(desk: Desk) -> None:
    make(desk, send_last_published_item="on_sub")
    desk.publish("news", OWNER, [item("a")])
    ear = Ear(desk)
    desk.subscribe("news", ANN, ANN.jid)
    desk.configure("news", OWNER, form(access_model="whitelist"))
    desk.subscribe("news", OWNER, OWNER.jid)
    assert ear.items() == []
    desk.configure("news", OWNER, form(access_model="open"))
    desk.subscribe("news", BEN, BEN.jid)
    desk.unsubscribe("news", BEN, BEN.jid)
    assert ear.items() == []
    desk.subscribe("news", BEN, BEN.jid)
    desk.delete("news", OWNER)
    with desk.engine.begin() as connection:  # as if it were removed for good
        connection.execute(update(notice_table).values(node_id=None))
        connection.execute(update(subscription_table).values(node_id=-1))
    assert ear.items() == []


def test_a_delivery_has_the_configuration_of_its_node(desk: Desk) -> None:
    make(desk, notification_type="normal")
    desk.subscribe("news", ANN, ANN.jid, form(include_body=1))
    ear = Ear(desk)
    desk.publish("news", OWNER, [item("a")])
    with short_transaction(desk.engine) as connection:
        (delivery,) = deliveries.waiting(connection, ear.id, 10)
        (addressee,) = ear.page(connection, delivery)
    assert delivery.config.notification_type == "normal"
    assert (delivery.node, delivery.audiences, delivery.recipient) == ("news", ("news",), None)
    assert addressee.options.include_body


def collect(desk: Desk, **config: object) -> None:
    """The node news in the collection all, which is in the collection top."""
    make(desk, "top", node_type="collection")
    make(desk, "all", node_type="collection", collection="top")
    make(desk, "news", collection="all", **config)


def test_subscribers_of_a_collection_hear_of_what_is_in_it(desk: Desk) -> None:
    collect(desk)
    desk.subscribe("top", ANN, ANN.jid)
    desk.subscribe("top", BEN, BEN.jid, form(subscription_depth="1"))
    desk.subscribe("all", BEN, BEN.bare, form(subscription_depth="1"))
    desk.subscribe("all", ANN, ANN.bare, form(subscription_type="nodes"))
    ear = Ear(desk)
    desk.publish("news", OWNER, [item("a")])
    heard = ear.hears()
    assert sorted((each.jid, each.collections) for each in heard) == [
        (ANN.jid, ("top",)),
        (BEN.bare, ("all",)),
    ]


@pytest.mark.row("S15", "P3", "P5")
@pytest.mark.parametrize("limit", [1, 2, 500])
def test_who_is_subscribed_to_a_node_and_to_what_it_is_in_is_told_once(
    desk: Desk, limit: int
) -> None:
    collect(desk)
    carl = Actor("carl@example.org")
    everywhere = ("news", "all", "top")
    ways = {ANN.jid: everywhere, BEN.jid: ("news",), carl.jid: ("top", "all")}
    for jid, nodes in ways.items():
        for node in nodes:
            desk.subscribe(node, Actor(jid), jid)
    ear = Ear(desk, limit=limit)
    for key in ("a", "b"):
        desk.publish("news", OWNER, [item(key)])
    heard = ear.hears()
    assert sorted((each.jid, each.content["items"][0]["id"]) for each in heard) == sorted(
        (actor.jid, key) for actor in (ANN, BEN, carl) for key in ("a", "b")
    )
    for each in heard:
        assert set(each.collections) == {*ways[each.jid]} - {"news"}
        assert len(set(each.subids)) == len(ways[each.jid])
    assert ear.hears() == []


@pytest.mark.parametrize("limit", [1, 2, 3, 4])
def test_a_look_parts_no_notice_from_its_audiences(desk: Desk, limit: int) -> None:
    collect(desk)
    for node in ("news", "all"):
        desk.subscribe(node, ANN, ANN.bare)
    ear = Ear(desk)
    for name in ("a", "b"):
        desk.publish("news", OWNER, [item(name)])
    with desk.engine.connect() as connection:
        found = deliveries.waiting(connection, ear.id, limit)
    assert len(found) == (limit + 1) // 2
    assert all(set(each.audiences) == {"news", "all"} for each in found)


def test_who_loses_one_of_two_ways_is_told_by_the_other(desk: Desk) -> None:
    collect(desk)
    for node in ("news", "all"):
        desk.subscribe(node, ANN, ANN.jid)
    ear = Ear(desk)
    desk.publish("news", OWNER, [item("a")])
    desk.set_subscription_options("news", ANN, ANN.jid, form(deliver=0))
    assert [(each.jid, each.collections) for each in ear.hears()] == [(ANN.jid, ("all",))]
    desk.set_subscription_options("news", ANN, ANN.jid, form(deliver=1))
    desk.publish("news", OWNER, [item("b")])
    desk.unsubscribe("all", ANN, ANN.jid)
    assert [(each.jid, each.collections) for each in ear.hears()] == [(ANN.jid, ())]


@pytest.mark.row("S3", "S5", "S12")
@pytest.mark.parametrize("model", ["whitelist", "presence", "authorize"])
def test_a_collection_opens_no_node_that_is_closed(desk: Desk, model: str) -> None:
    collect(desk, access_model=model)
    carl, dora = Actor("carl@example.org"), Actor("dora@example.org")
    for actor in (ANN, BEN, carl, dora):
        desk.subscribe("top", actor, actor.jid)
    changes = [
        Affiliated("news", ANN.bare, Affiliation.MEMBER),
        Affiliated("news", dora.bare, Affiliation.OUTCAST),
    ]
    desk.change_node_affiliations("news", OWNER, changes)
    if model == "presence":
        desk.presence_granted(carl.bare)
        desk.presence_granted(dora.bare)
    if model == "authorize":
        desk.subscribe("news", carl, carl.jid)
        desk.decide("news", OWNER, carl.jid, None, True)
        desk.set_subscription_options("news", carl, carl.jid, form(deliver=0))
    ear = Ear(desk)
    desk.publish("news", OWNER, [item("a")])
    expected = {ANN.jid} | ({carl.jid} if model != "whitelist" else set())
    assert {jid for jid, _ in ear.items()} == expected


@pytest.mark.row("S3", "S5")
@pytest.mark.parametrize("model", ["open", "authorize", "presence", "whitelist"])
def test_a_collection_tells_nobody_of_a_node_that_he_may_not_know_of(
    desk: Desk, model: str
) -> None:
    make(desk, "top", node_type="collection")
    nodes = form(subscription_type="nodes")
    for actor in (ANN, BEN, Actor("out@example.org")):
        desk.subscribe("top", actor, actor.jid, nodes)
    make(desk, "secret", access_model=model)
    changes = [
        Affiliated("secret", ANN.bare, Affiliation.MEMBER),
        Affiliated("secret", "out@example.org", Affiliation.OUTCAST),
    ]
    desk.change_node_affiliations("secret", OWNER, changes)
    ear = Ear(desk)
    desk.associate("top", "secret", OWNER)
    desk.disassociate("top", "secret", OWNER)
    everybody = [ANN.jid, BEN.jid] if model in ("open", "authorize") else [ANN.jid]
    heard = [(each.word, each.jid) for each in ear.hears()]
    assert heard == [(word, jid) for word in ("associate", "disassociate") for jid in everybody]


def test_who_is_kept_out_of_a_collection_hears_nothing_through_it(desk: Desk) -> None:
    collect(desk)
    for actor in (ANN, BEN):
        desk.subscribe("top", actor, actor.jid)
    ear = Ear(desk)
    desk.publish("news", OWNER, [item("a")])
    desk.configure("top", OWNER, form(access_model="whitelist"))
    members = [Affiliated("top", BEN.bare, Affiliation.MEMBER)]
    desk.change_node_affiliations("top", OWNER, members)
    assert ear.items() == [(BEN.jid, "a")]


def test_a_listener_registers_renews_and_is_removed(desk: Desk) -> None:
    make(desk)
    desk.subscribe("news", ANN, ANN.jid)
    with short_transaction(desk.engine) as connection:
        first = deliveries.register(connection, "hook", ANN.jid, lease=60)
        assert deliveries.register(connection, "hook", ANN.jid, lease=60) == first
        assert deliveries.renew(connection, first, 60)
    desk.publish("news", OWNER, [item("a")])
    assert left(desk) == (1, 1)
    with short_transaction(desk.engine) as connection:
        deliveries.remove(connection, first)
        assert not deliveries.renew(connection, first, 60)
        assert deliveries.waiting(connection, first, 10) == []
    assert left(desk) == (1, 0)
