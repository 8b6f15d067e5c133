"""Affiliations: rows A1 to A5, D8 and Q4."""

import pytest

from eventworker.pubsub.facts import Actor, Affiliated
from eventworker.pubsub.rules import Affiliation
from tests.helpers.pubsub import ADMIN, ANN, BEN, OWNER, Desk, form, refused
from tests.helpers.pubsub_ear import Ear, Heard, rows


def make(desk: Desk, name: str = "news", **config: object) -> str:
    desk.create(name, OWNER, form(**config))
    return name


def to(what: Affiliation, jid: str, node: str = "news") -> Affiliated:
    return Affiliated(node, jid, what)


@pytest.mark.row("D8")
def test_everybody_sees_what_he_is_to_which_node(desk: Desk) -> None:
    for name in ("b", "a", "c"):
        make(desk, name)
    assert desk.affiliations(ANN) == []
    for name, what in (("b", Affiliation.MEMBER), ("a", Affiliation.OUTCAST)):
        desk.change_node_affiliations(name, OWNER, [to(what, ANN.bare, name)])
    mine = [
        to(Affiliation.OUTCAST, ANN.bare, "a"),
        to(Affiliation.MEMBER, ANN.bare, "b"),
    ]
    assert desk.affiliations(ANN) == mine
    assert desk.affiliations(ANN, "b") == mine[1:]
    assert desk.affiliations(ANN, "c") == []
    with refused("item-not-found"):
        desk.affiliations(ANN, "other")
    desk.delete("b", OWNER)
    assert desk.affiliations(ANN) == mine[:1]


@pytest.mark.row("A1")
def test_owners_see_all_who_are_something_to_the_node(desk: Desk) -> None:
    make(desk)
    changes = [to(Affiliation.MEMBER, ANN.bare), to(Affiliation.NONE, BEN.bare)]
    desk.change_node_affiliations("news", OWNER, changes)
    expected = [to(Affiliation.MEMBER, ANN.bare), to(Affiliation.OWNER, OWNER.bare)]
    assert desk.node_affiliations("news", OWNER) == expected
    assert desk.node_affiliations("news", ADMIN) == expected


@pytest.mark.row("A2", "A4")
def test_a_change_concerns_those_who_are_named_and_they_hear_of_it(desk: Desk) -> None:
    make(desk)
    desk.change_node_affiliations("news", OWNER, [to(Affiliation.MEMBER, ANN.bare)])
    ear = Ear(desk)
    changes = [to(Affiliation.PUBLISHER, ANN.bare), to(Affiliation.OUTCAST, BEN.bare)]
    assert desk.change_node_affiliations("news", OWNER, changes) == []
    assert ear.hears() == [
        Heard("affiliation", each.jid, {"jid": each.jid, "affiliation": each.affiliation.value})
        for each in changes
    ]
    desk.change_node_affiliations("news", OWNER, changes)
    assert ear.hears() == []
    desk.change_node_affiliations("news", OWNER, [to(Affiliation.NONE, ANN.bare)])
    assert [each.content["affiliation"] for each in ear.hears()] == ["none"]


@pytest.mark.row("A2")
def test_the_last_owner_stays_one_and_the_rest_is_changed(desk: Desk) -> None:
    make(desk)
    still = [to(Affiliation.OWNER, OWNER.bare)]
    for what in Affiliation:
        if what is not Affiliation.OWNER:
            changes = [to(what, OWNER.bare), to(Affiliation.MEMBER, ANN.bare)]
            assert desk.change_node_affiliations("news", ADMIN, changes) == still
    assert desk.affiliations(ANN) == [to(Affiliation.MEMBER, ANN.bare)]


@pytest.mark.row("A2")
def test_a_node_is_handed_over_in_one_request(desk: Desk) -> None:
    make(desk)
    changes = [to(Affiliation.NONE, OWNER.bare), to(Affiliation.OWNER, ANN.bare)]
    assert desk.change_node_affiliations("news", OWNER, changes) == []
    assert desk.node_affiliations("news", ANN) == [to(Affiliation.OWNER, ANN.bare)]
    with refused("forbidden"):
        desk.node_affiliations("news", OWNER)


@pytest.mark.row("A2")
def test_of_two_owners_only_one_can_be_demoted(desk: Desk) -> None:
    make(desk)
    desk.change_node_affiliations("news", OWNER, [to(Affiliation.OWNER, ANN.bare)])
    changes = [to(Affiliation.NONE, OWNER.bare), to(Affiliation.NONE, ANN.bare)]
    still = desk.change_node_affiliations("news", OWNER, changes)
    assert still == [to(Affiliation.OWNER, ANN.bare)]


@pytest.mark.row("A2", "A3")
def test_an_affiliation_is_of_the_address_without_its_resource(desk: Desk) -> None:
    make(desk)
    desk.change_node_affiliations("news", OWNER, [to(Affiliation.MEMBER, "ANN@example.org/x")])
    assert desk.affiliations(ANN) == [to(Affiliation.MEMBER, ANN.bare)]
    twice = [to(Affiliation.MEMBER, BEN.bare), to(Affiliation.OWNER, BEN.jid)]
    with refused("bad-request"):
        desk.change_node_affiliations("news", OWNER, twice)
    with refused("jid-malformed"):
        desk.change_node_affiliations("news", OWNER, [to(Affiliation.MEMBER, "@")])
    assert desk.affiliations(BEN) == []


@pytest.mark.row("A5")
@pytest.mark.parametrize("what", [each for each in Affiliation if each is not Affiliation.OWNER])
def test_only_owners_manage_affiliations(desk: Desk, what: Affiliation) -> None:
    make(desk)
    desk.change_node_affiliations("news", OWNER, [to(what, BEN.bare)])
    with refused("forbidden"):
        desk.node_affiliations("news", BEN)
    with refused("forbidden"):
        desk.change_node_affiliations("news", BEN, [to(Affiliation.OWNER, BEN.bare)])
    with refused("item-not-found"):
        desk.node_affiliations("other", BEN)


@pytest.mark.row("Q4")
@pytest.mark.parametrize("what", list(Affiliation))
def test_what_somebody_becomes_decides_on_his_request(desk: Desk, what: Affiliation) -> None:
    make(desk, access_model="authorize")
    desk.subscribe("news", ANN, ANN.jid)
    desk.subscribe("news", Actor("ann@example.org/x"), "ann@example.org/x")
    desk.subscribe("news", BEN, BEN.jid)
    ear = Ear(desk)
    desk.change_node_affiliations("news", OWNER, [to(what, ANN.bare)])
    left = [row.state for row in rows(desk) if row.bare == ANN.bare]
    heard = [each.content["state"] for each in ear.hears() if each.word == "subscription"]
    if what in (Affiliation.OUTCAST, Affiliation.PUBLISH_ONLY):
        assert (left, heard) == ([], ["none"] * 2)
    elif what is Affiliation.NONE:
        assert (left, heard) == (["pending"] * 2, [])
    else:
        assert (left, heard) == (["subscribed"] * 2, ["subscribed"] * 2)
    assert [row.state for row in rows(desk) if row.bare == BEN.bare] == ["pending"]


@pytest.mark.row("S8", "A2")
def test_the_subscriptions_of_an_outcast_end(desk: Desk) -> None:
    make(desk)
    make(desk, "other")
    for node in ("news", "other"):
        desk.subscribe(node, ANN, ANN.jid)
        desk.subscribe(node, ANN, ANN.bare)
    desk.change_node_affiliations("news", OWNER, [to(Affiliation.OUTCAST, ANN.bare)])
    assert {each.node for each in desk.subscriptions(ANN)} == {"other"}
