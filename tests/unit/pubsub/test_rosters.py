"""Nodes for those in groups of a roster: whose roster, how it is known, and for how long. Rows S4,
C3, I6 and D3."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from eventworker.db import clock, short_transaction
from eventworker.pubsub import deliveries
from eventworker.pubsub.config import NodeConfig
from eventworker.pubsub.errors import RosterNeeded
from eventworker.pubsub.facts import Actor, Affiliated, NodeEntry
from eventworker.pubsub.features import NAMESPACE
from eventworker.pubsub.rules import AccessModel, Affiliation
from eventworker.pubsub.sweeping import sweep
from eventworker.pubsub.tables import (
    roster_entry_table,
    roster_group_table,
    roster_host_table,
    roster_table,
)
from tests.helpers.pubsub import ADMIN, ANN, BEN, OWNER, Desk, form, item, read_roster, refused
from tests.helpers.pubsub_ear import Ear

HOME = "pubsub.localhost"
ROBOT = Actor(f"robot@{HOME}")
FRIENDS = form(access_model="roster", roster_groups_allowed=["friends", "kin"])
UNSUPPORTED = ("not-acceptable", "unsupported-access-model")
UNLISTED = ("not-authorized", "not-in-roster-group")


@pytest.fixture
def desk(desk: Desk) -> Desk:
    """A service that knows the rosters of its own accounts, for a minute."""
    desk.rosters_granted(HOME, 60)
    return desk


def is_open_to(desk: Desk, actor: Actor, node: str = "news") -> bool:
    """Whether somebody is in one of its groups: all the ways in say the same."""
    ear = Ear(desk, name=f"ear of {actor.jid}")
    desk.subscribe(node, ADMIN, actor.jid)
    name = f"{len(desk.items(node, OWNER).entries)}"
    desk.publish(node, ADMIN, [item(name)])
    told = (actor.jid, name) in ear.items()
    desk.unsubscribe(node, ADMIN, actor.jid)
    listed = node in [each.node for each in desk.nodes(actor).entries]
    described = bool(desk.node_info(node, actor).metadata)
    if told:
        desk.items(node, actor)
    else:
        with refused(*UNLISTED):
            desk.items(node, actor)
    assert {listed, described} == {told}
    return told


def make_owner(desk: Desk, actor: Actor, affiliation: Affiliation = Affiliation.OWNER) -> None:
    desk.change_node_affiliations("news", ADMIN, [Affiliated("news", actor.bare, affiliation)])


def count(desk: Desk, table: Any) -> int:
    with desk.engine.connect() as connection:
        return int(connection.scalar(select(func.count()).select_from(table)) or 0)


@pytest.mark.row("C3")
def test_the_model_is_for_those_whose_rosters_can_be_read(desk_with: Callable[..., Desk]) -> None:
    desk = desk_with(creators="everyone")
    desk.create("news", OWNER)

    def is_supported(actor: Actor = OWNER) -> bool:
        offered = AccessModel.ROSTER in desk.access_models(actor)
        if offered:
            desk.create(None, actor, FRIENDS)
            return True
        with refused(*UNSUPPORTED):
            desk.create(None, actor, FRIENDS)
        if actor == OWNER:
            with refused(*UNSUPPORTED):
                desk.configure("news", actor, FRIENDS)
        return False

    assert not is_supported()
    desk.rosters_granted("other.localhost", 60)
    assert not is_supported()
    assert AccessModel.ROSTER in desk.access_models(ADMIN)
    desk.rosters_granted(HOME, 60)
    assert is_supported()
    assert not is_supported(ANN)  # of another server
    assert not is_supported(Actor(HOME))  # no account
    desk.rosters_withdrawn("other.localhost")
    assert is_supported()
    desk.rosters_granted(HOME, -1)  # it was not said again in time
    assert not is_supported()
    desk.rosters_granted(HOME, 60)
    assert is_supported()
    desk.rosters_withdrawn()
    assert not is_supported()
    assert AccessModel.ROSTER not in desk.access_models(ADMIN)


@pytest.mark.row("C3")
def test_a_node_that_has_the_model_can_be_configured_without_rosters(desk: Desk) -> None:
    desk.create("news", OWNER, FRIENDS)
    desk.rosters_withdrawn()
    desk.configure("news", OWNER, FRIENDS | form(title="News"))
    assert desk.configuration("news", OWNER).title == "News"
    with refused(*UNSUPPORTED):
        desk.configure("news", OWNER, form(roster_groups_allowed="others"))
    desk.configure("news", OWNER, form(access_model="open"))
    with refused(*UNSUPPORTED):
        desk.configure("news", OWNER, FRIENDS)


@pytest.mark.row("D1")
def test_the_feature_is_advertised_where_it_is_what_a_node_has_by_itself(
    desk_with: Callable[..., Desk],
) -> None:
    feature = f"{NAMESPACE}#access-roster"
    default = NodeConfig(access_model="roster", roster_groups_allowed=("friends",))
    desk = desk_with(node_defaults=default)
    assert feature not in desk.features()
    with refused(*UNSUPPORTED):
        desk.create("news", OWNER)
    desk.rosters_granted(HOME, 60)
    assert feature in desk.features()
    desk.create("news", OWNER)
    read_roster(desk, (ANN.bare, "friends"))
    assert is_open_to(desk, ANN)
    assert feature not in Desk(desk.engine).features()


@pytest.mark.row("S4", "D3", "I6")
def test_a_node_is_open_to_the_contacts_in_its_groups(desk: Desk) -> None:
    desk.create("news", OWNER, FRIENDS)
    desk.create("odd", OWNER, FRIENDS | form(roster_groups_allowed=["Ä & <b>", " friends"]))
    read_roster(
        desk,
        (ANN.bare, "kin"),
        (ANN.bare, "work"),
        (BEN.bare, "Friends"),
        (BEN.bare, "friends "),
        (BEN.bare, "Ä & <b>"),
        ("eve@example.org", "work"),
    )
    assert is_open_to(desk, ANN)
    assert is_open_to(desk, Actor("ann@example.org/other"))
    assert is_open_to(desk, Actor(ANN.bare))
    assert not is_open_to(desk, BEN)
    assert not is_open_to(desk, Actor("eve@example.org"))
    assert not is_open_to(desk, Actor("ann@example.com"))
    assert is_open_to(desk, BEN, "odd")
    assert not is_open_to(desk, ANN, "odd")


@pytest.mark.row("S4")
def test_a_node_without_groups_is_open_to_nobody(desk: Desk) -> None:
    desk.create("news", OWNER, form(access_model="roster"))
    read_roster(desk, (ANN.bare, "friends"), (ANN.bare, ""))
    assert not is_open_to(desk, ANN)
    assert desk.nodes(OWNER).entries == [NodeEntry("news", "leaf")]


@pytest.mark.row("S4")
def test_a_group_that_is_too_long_to_be_kept_admits_nobody(desk: Desk) -> None:
    long = "x" * 251
    desk.create("news", OWNER, FRIENDS | form(roster_groups_allowed=[long, long[:250]]))
    read_roster(desk, (ANN.bare, long), (BEN.bare, long[:250]))
    assert not is_open_to(desk, ANN)
    assert is_open_to(desk, BEN)
    assert desk.configuration("news", OWNER).roster_groups_allowed == (long, long[:250])


@pytest.mark.row("S4")
def test_other_groups_let_others_in_once_the_roster_has_been_read(desk: Desk) -> None:
    desk.create("news", OWNER, FRIENDS)
    entries = [(ANN.bare, "kin"), (BEN.bare, "work")]
    read_roster(desk, *entries)
    desk.configure("news", OWNER, form(roster_groups_allowed="work"))
    assert not is_open_to(desk, ANN)
    read_roster(desk, *entries)
    assert not is_open_to(desk, ANN)
    assert is_open_to(desk, BEN)
    desk.configure("news", OWNER, form(access_model="whitelist"))
    with refused("not-allowed", "closed-node"):
        desk.items("news", BEN)
    assert count(desk, roster_group_table) == 0


@pytest.mark.row("S4")
def test_what_was_read_holds_for_its_time(desk: Desk) -> None:
    desk.create("news", OWNER, FRIENDS)
    assert not is_open_to(desk, ANN)
    read_roster(desk, (ANN.bare, "kin"), seconds=-1)
    assert not is_open_to(desk, ANN)
    read_roster(desk, (ANN.bare, "kin"))  # as it was before
    assert is_open_to(desk, ANN)
    desk.roster_lost(OWNER.bare)
    assert not is_open_to(desk, ANN)
    read_roster(desk, (ANN.bare, "kin"))
    desk.rosters_withdrawn("localhost")
    desk.roster_lost(BEN.bare)
    assert is_open_to(desk, ANN)
    desk.rosters_withdrawn(HOME)
    assert not is_open_to(desk, ANN)
    read_roster(desk, (ANN.bare, "kin"))
    desk.rosters_withdrawn()
    assert not is_open_to(desk, ANN)


@pytest.mark.row("S4")
def test_a_roster_that_was_asked_for_earlier_does_not_replace_a_later_one(desk: Desk) -> None:
    desk.create("news", OWNER, FRIENDS)
    earlier = desk.roster_wanted(OWNER.bare)
    read_roster(desk, (BEN.bare, "kin"))
    desk.roster_taken(OWNER.bare, [(ANN.bare, "kin")], earlier - timedelta(seconds=1), 60)
    assert not is_open_to(desk, ANN)
    assert is_open_to(desk, BEN)


@pytest.mark.row("S4")
def test_no_more_of_a_roster_is_kept_than_nodes_ask_for(desk: Desk) -> None:
    desk.create("news", OWNER, FRIENDS)
    desk.create("hers", ROBOT, FRIENDS | form(roster_groups_allowed="work"))
    many = [(f"{number}@example.org", "kin") for number in range(1200)]
    read_roster(desk, *many, *many, (ANN.bare, "work"), (ANN.bare, "friends"))
    with desk.engine.connect() as connection:
        kept = connection.execute(select(roster_entry_table.c["jid", "group_name"])).all()
    assert sorted(map(tuple, kept)) == sorted([*many, (ANN.bare, "friends")])
    read_roster(desk)
    assert count(desk, roster_entry_table) == 0


@pytest.mark.row("S4")
def test_it_is_the_roster_of_the_owner_who_names_the_groups(desk: Desk) -> None:
    desk.create("news", OWNER, FRIENDS)
    assert desk.roster_wanted(ROBOT.bare) is None
    make_owner(desk, ROBOT)
    assert desk.rosters_wanted("", 10) == [OWNER.bare]  # nobody is asked for by being made an owner
    desk.configure("news", ROBOT, FRIENDS | form(title="News"))
    assert desk.rosters_wanted("", 10) == [OWNER.bare]
    read_roster(desk, (ANN.bare, "kin"))
    desk.configure("news", ROBOT, form(roster_groups_allowed="kin"))
    assert desk.rosters_wanted("", 10) == [ROBOT.bare]
    assert not is_open_to(desk, ANN)
    read_roster(desk, (BEN.bare, "kin"), owner=ROBOT.bare)
    assert is_open_to(desk, BEN)
    desk.configure("news", ADMIN, form(roster_groups_allowed=["kin", "friends"]))
    assert desk.rosters_wanted("", 10) == [ROBOT.bare]


@pytest.mark.row("S4")
def test_the_roster_of_one_who_is_no_owner_any_more_admits_nobody(desk: Desk) -> None:
    desk.create("news", OWNER, FRIENDS)
    make_owner(desk, ROBOT)
    read_roster(desk, (ANN.bare, "kin"))
    make_owner(desk, OWNER, Affiliation.PUBLISHER)
    assert not is_open_to(desk, ANN)
    assert desk.roster_wanted(OWNER.bare) is None
    assert desk.rosters_wanted("", 10) == []
    make_owner(desk, ANN)
    desk.configure("news", ANN, form(title="of another server"))
    assert desk.rosters_wanted("", 10) == []
    make_owner(desk, ANN, Affiliation.NONE)
    # Whoever is an owner and sends the groups back names them.
    desk.configure("news", ROBOT, FRIENDS)
    read_roster(desk, (ANN.bare, "kin"), owner=ROBOT.bare)
    assert is_open_to(desk, ANN)


@pytest.mark.row("S4", "C3")
def test_an_admin_names_groups_of_the_creators_roster(desk: Desk) -> None:
    desk.create("news", OWNER)
    desk.configure("news", ADMIN, FRIENDS)
    assert desk.rosters_wanted("", 10) == [OWNER.bare]
    desk.create("his", ADMIN)
    with refused(*UNSUPPORTED):
        desk.configure("his", ADMIN, FRIENDS)


@pytest.mark.row("S4", "I6")
def test_who_can_read_rosters_is_told_which_one_a_request_needs(desk: Desk) -> None:
    desk.create("news", OWNER, FRIENDS)
    desk.create("open", OWNER)
    make_owner(desk, BEN, Affiliation.MEMBER)
    read_roster(desk, (ANN.bare, "kin"))
    with desk.service() as service:
        service.rosters_read = ()
        service.items("open", ANN)
        service.items("news", BEN)
        service.publish("news", OWNER, [item("a")])
        for verb in (
            lambda: service.items("news", ANN),
            lambda: service.item_names("news", ANN),
            lambda: service.subscribe("news", ANN, ANN.jid),
        ):
            with pytest.raises(RosterNeeded) as caught:
                verb()
            assert caught.value.owner == OWNER.bare
            assert (caught.value.condition, caught.value.detail) == UNLISTED
        service.rosters_read = {OWNER.bare}
        service.items("news", ANN)
        with refused(*UNLISTED):
            service.items("news", Actor("eve@example.org"))


@pytest.mark.row("S4")
def test_a_hidden_node_is_there_for_those_in_its_groups(desk_with: Callable[..., Desk]) -> None:
    desk = desk_with(hide_closed_nodes=True)
    desk.rosters_granted(HOME, 60)
    desk.create("news", OWNER, FRIENDS)
    read_roster(desk, (ANN.bare, "kin"))
    desk.items("news", ANN)
    desk.subscribe("news", ANN, ANN.jid)
    for verb in (desk.items, desk.node_info):
        with refused("item-not-found"):
            verb("news", BEN)
    with desk.service() as service:
        service.rosters_read = ()
        with pytest.raises(RosterNeeded):
            service.items("news", BEN)


@pytest.mark.row("S4")
def test_a_delivery_says_which_rosters_it_needs(desk: Desk) -> None:
    desk.create("all", ROBOT, FRIENDS | form(node_type="collection"))
    desk.create("news", OWNER, FRIENDS)
    desk.create("open", OWNER)
    make_owner(desk, ROBOT)
    desk.associate("all", "news", ROBOT)
    desk.associate("all", "open", ADMIN)
    for node in ("all", "news", "open"):
        desk.subscribe(node, ADMIN, ANN.jid)
    ear = Ear(desk)
    for node in ("news", "open"):
        desk.publish(node, ADMIN, [item("a")])
    with short_transaction(desk.engine) as connection:
        found = deliveries.waiting(connection, ear.id, 10)
    needed = {each.node: set(each.rosters) for each in found}
    assert needed == {"news": {OWNER.bare, ROBOT.bare}, "open": {ROBOT.bare}}


@pytest.mark.row("S4")
def test_a_collection_tells_whom_both_nodes_admit(desk: Desk) -> None:
    desk.create("all", ROBOT, FRIENDS | form(node_type="collection"))
    desk.create("news", OWNER, FRIENDS)
    make_owner(desk, ROBOT)
    desk.associate("all", "news", ROBOT)
    for actor in (ANN, BEN):
        desk.subscribe("all", ADMIN, actor.jid)
    ear = Ear(desk)
    desk.publish("news", OWNER, [item("a")])
    read_roster(desk, (ANN.bare, "kin"), (BEN.bare, "kin"))
    read_roster(desk, (ANN.bare, "friends"), owner=ROBOT.bare)
    assert ear.items() == [(ANN.jid, "a")]


def test_what_is_not_known_any_more_is_swept_after_a_while(desk: Desk) -> None:
    desk.create("news", OWNER, FRIENDS)
    desk.create("gone", OWNER, FRIENDS)
    read_roster(desk, (ANN.bare, "kin"))
    desk.rosters_withdrawn()

    def swept() -> list[int]:
        with short_transaction(desk.engine) as connection:
            while sweep(connection):
                pass
        tables = (roster_host_table, roster_table, roster_entry_table, roster_group_table)
        return [count(desk, table) for table in tables]

    assert swept() == [1, 1, 1, 4]
    desk.delete("gone", OWNER)
    with desk.engine.begin() as connection:
        for table in (roster_host_table, roster_table):
            connection.execute(update(table).values(good_until=clock(-3601)))
    assert swept() == [0, 0, 0, 2]
    assert desk.roster_servers() == []
    read_roster(desk, (ANN.bare, "kin"))
    assert is_open_to(desk, ANN)
    assert desk.roster_servers() == [HOME]
