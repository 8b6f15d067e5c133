"""What follows from presence: rows T6, S3 and S16, and temporary subscriptions."""

import pytest
from sqlalchemy import select, update

from eventworker.db import clock
from eventworker.pubsub.facts import Actor, Affiliated
from eventworker.pubsub.rules import Affiliation
from eventworker.pubsub.tables import presence_table
from tests.helpers.pubsub import ANN, BEN, OWNER, Desk, form, item, refused
from tests.helpers.pubsub_ear import Ear, rows

PHONE = Actor("ann@example.org/phone")


def make(desk: Desk, name: str = "news", **config: object) -> str:
    desk.create(name, OWNER, form(**config))
    return name


@pytest.mark.row("T6", "S3")
def test_who_shares_his_presence_no_more_has_no_access(desk: Desk) -> None:
    make(desk, access_model="presence")
    desk.presence_granted(ANN.bare)
    desk.presence_granted(ANN.bare)
    desk.subscribe("news", ANN, ANN.jid)
    ear = Ear(desk)
    desk.publish("news", OWNER, [item("a")])
    assert ear.items() == [(ANN.jid, "a")]
    desk.presence_revoked(ANN.bare)
    desk.publish("news", OWNER, [item("b")])
    assert ear.items() == []
    with refused("not-authorized", "presence-subscription-required"):
        desk.items("news", ANN)


@pytest.mark.row("S3")
def test_to_be_there_is_not_to_share_presence(desk: Desk) -> None:
    make(desk, access_model="presence")
    desk.available(ANN.jid)
    with refused("not-authorized", "presence-subscription-required"):
        desk.subscribe("news", ANN, ANN.jid)


@pytest.mark.row("S16")
def test_a_resource_is_sent_the_last_items_when_it_becomes_available(desk: Desk) -> None:
    make(desk, send_last_published_item="on_sub_and_presence")
    make(desk, "quiet", send_last_published_item="on_sub")
    for node in ("news", "quiet"):
        desk.subscribe(node, ANN, ANN.bare)
        desk.subscribe(node, BEN, BEN.bare)
        desk.publish(node, OWNER, [item("a"), item("b")])
    ear = Ear(desk)
    desk.available(ANN.jid)
    assert ear.items() == [(ANN.jid, "b")]
    desk.available(ANN.jid)  # says something else of itself
    assert ear.items() == []
    desk.available(PHONE.jid)
    assert ear.items() == [(PHONE.jid, "b")]
    desk.unavailable(PHONE.jid)
    desk.available(PHONE.jid)
    assert ear.items() == [(PHONE.jid, "b")]


@pytest.mark.row("S15", "S16")
def test_who_subscribes_by_both_addresses_is_sent_the_last_item_once(desk: Desk) -> None:
    make(desk, send_last_published_item="on_sub_and_presence")
    desk.publish("news", OWNER, [item("a")])
    for jid in (ANN.jid, ANN.bare, PHONE.jid):
        desk.subscribe("news", ANN, jid)
    ear = Ear(desk)
    desk.available(ANN.jid)
    assert ear.items() == [(ANN.jid, "a")]


@pytest.mark.row("T6")
def test_temporary_subscriptions_end_with_the_resource(desk: Desk) -> None:
    make(desk)
    for resource in (ANN, PHONE):
        desk.available(resource.jid)
        desk.subscribe("news", resource, resource.jid, form(expire="presence"))
    desk.subscribe("news", ANN, ANN.bare, form(expire="presence"))
    desk.subscribe("news", BEN, BEN.jid)
    ear = Ear(desk)
    desk.unavailable(ANN.jid)
    assert [row.jid for row in rows(desk)] == [PHONE.jid, ANN.bare, BEN.jid]
    assert [(each.jid, each.content["state"]) for each in ear.hears()] == [(ANN.jid, "none")]
    desk.unavailable(PHONE.jid)
    assert [row.jid for row in rows(desk)] == [BEN.jid]


@pytest.mark.row("T6")
@pytest.mark.parametrize("how", ["without resource", "no longer shared"])
def test_temporary_subscriptions_end_with_all_resources(desk: Desk, how: str) -> None:
    make(desk, tempsub=1)
    for resource in (ANN, PHONE):
        desk.available(resource.jid)
        desk.subscribe("news", resource, resource.jid)
    desk.subscribe("news", BEN, BEN.jid)
    if how == "without resource":
        desk.unavailable(ANN.bare)
    else:
        desk.presence_revoked(ANN.bare)
    assert [row.jid for row in rows(desk)] == [BEN.jid]


@pytest.mark.row("T6")
def test_a_node_can_make_the_subscriptions_that_it_has_temporary(desk: Desk) -> None:
    make(desk)
    desk.subscribe("news", ANN, ANN.jid)
    desk.subscribe("news", BEN, BEN.jid, form(expire="presence"))
    for is_temporary in (True, False):
        desk.configure("news", OWNER, form(tempsub=int(is_temporary)))
        assert [row.temporary for row in rows(desk)] == [is_temporary, True]
    desk.configure("news", OWNER, form(tempsub=1))
    desk.unavailable(ANN.jid)
    assert [row.jid for row in rows(desk)] == [BEN.jid]


@pytest.mark.row("T6")
def test_other_subscriptions_outlive_presence(desk: Desk) -> None:
    make(desk)
    desk.subscribe("news", ANN, ANN.jid)
    desk.available(ANN.jid)
    desk.unavailable(ANN.jid)
    assert [row.jid for row in rows(desk)] == [ANN.jid]


@pytest.mark.row("T6")
def test_items_of_who_goes_offline_go_from_nodes_that_say_so(desk: Desk) -> None:
    make(desk, purge_offline=1, publish_model="open")
    make(desk, "kept", publish_model="open")
    for resource in (ANN, PHONE):
        desk.available(resource.jid)
    for node in ("news", "kept"):
        desk.publish(node, ANN, [item("a")])
        desk.publish(node, BEN, [item("b")])
    desk.unavailable(ANN.jid)
    assert len(desk.items("news", OWNER).entries) == 2
    desk.unavailable(PHONE.jid)
    assert [each.id for each in desk.items("news", OWNER).entries] == ["b"]
    assert len(desk.items("kept", OWNER).entries) == 2


@pytest.mark.row("T6")
def test_strangers_who_said_that_they_are_there_are_forgotten_after_a_day(desk: Desk) -> None:
    make(desk)
    sharing, member, stranger = ("sue@example.org/1", "mel@example.org/1", "eve@example.org/1")
    desk.presence_granted("sue@example.org")
    desk.subscribe("news", ANN, ANN.jid)
    desk.change_node_affiliations(
        "news", OWNER, [Affiliated("news", "mel@example.org", Affiliation.MEMBER)]
    )
    for full in (sharing, member, stranger, f"{stranger}2", ANN.jid):
        desk.available(full)
    assert desk.forget_strangers() == 0
    with desk.engine.begin() as connection:
        connection.execute(update(presence_table).values(at=clock(-2 * 86400)))
    desk.available("new@example.org/1")

    assert (desk.forget_strangers(), desk.forget_strangers()) == (2, 0)

    with desk.engine.connect() as connection:
        left = connection.execute(select(presence_table.c.bare, presence_table.c.resource)).all()
    there = {f"{bare}/{name}" for bare, name in left if name}
    assert there == {sharing, member, ANN.jid, "new@example.org/1"}


@pytest.mark.row("T6")
def test_of_one_address_the_newest_resources_are_known(desk: Desk) -> None:
    desk.presence_granted(ANN.bare)
    desk.available(BEN.jid)
    # SQLite's clock has milliseconds, and those of one would be of the same age.
    for numbers in (range(50), range(50, 150)):
        with desk.service() as service:
            service.connection.execute(update(presence_table).values(at=clock(-60)))
            for number in numbers:
                service.available(f"{ANN.bare}/{number}")
    with desk.engine.connect() as connection:
        known = set(connection.execute(select(presence_table.c.bare, presence_table.c.resource)))
    newest = {(ANN.bare, str(number)) for number in range(50, 150)}
    assert known == newest | {(ANN.bare, ""), (BEN.bare, "phone")}


def test_a_long_resource_is_known_by_its_beginning(desk: Desk) -> None:
    make(desk, presence_based_delivery=1)
    full = "ann@example.org/" + "ä" * 300
    desk.subscribe("news", ANN, full)
    ear = Ear(desk)
    desk.publish("news", OWNER, [item("a")])
    assert ear.items() == []
    desk.available(full)
    desk.publish("news", OWNER, [item("b")])
    assert ear.items() == [(full, "b")]
    desk.unavailable(full)
    with desk.engine.connect() as connection:
        assert connection.execute(select(presence_table)).all() == []
