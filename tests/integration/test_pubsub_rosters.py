"""Rosters where databases differ: what is the same text, and two who write at the same moment."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest
from sqlalchemy import Engine, func, select

from eventworker.db import short_transaction
from eventworker.pubsub.errors import PubSubError
from eventworker.pubsub.facts import Actor
from eventworker.pubsub.service import PubSubService
from eventworker.pubsub.sweeping import sweep
from eventworker.pubsub.tables import roster_entry_table, roster_table
from tests.helpers.pubsub import ANN, BEN, OWNER, Desk, form, item, read_roster
from tests.helpers.pubsub_ear import Ear

HOME = "pubsub.localhost"
FRIENDS = form(access_model="roster", roster_groups_allowed=["friends"])
ROUNDS = 8


@pytest.fixture
def desk(engine: Engine) -> Desk:
    """A service, once on each database, that knows the rosters of its own accounts."""
    made = Desk(engine)
    made.rosters_granted(HOME, 60)
    return made


@pytest.fixture(params=["postgres", "maria"])
def busy(request: pytest.FixtureRequest) -> Desk:
    """The same where transactions run side by side."""
    made = Desk(request.getfixturevalue(f"{request.param}_engine"))
    made.rosters_granted(HOME, 60)
    return made


@pytest.mark.row("S4", "T1")
def test_a_group_and_a_contact_are_the_same_character_by_character(desk: Desk) -> None:
    alike = ["friends", "Friends", "friends ", " friends", "fri\u00e9nds", "frie\u0301nds"]
    names = [*alike, "\U0001f600", "x" * 250]
    contacts = {name: f"c{number}@example.org" for number, name in enumerate(names)}
    contacts["\u00e9"] = "\u00e9@example.org"
    for number, name in enumerate(names):
        node = form(access_model="roster", roster_groups_allowed=[name])
        desk.create(f"{number}", OWNER, node)
    read_roster(desk, *((contact, name) for name, contact in contacts.items()))
    for number, name in enumerate(names):
        ear = Ear(desk, name=f"ear {number}")
        for contact in contacts.values():
            desk.subscribe(f"{number}", Actor("root", is_admin=True), contact)
        desk.publish(f"{number}", OWNER, [item("a")])
        assert ear.items() == [(contacts[name], "a")], name
        listed = [each.node for each in desk.nodes(Actor(contacts[name])).entries]
        assert listed == [f"{number}"]


@pytest.mark.row("S4", "I1")
def test_who_is_let_in_and_told_is_the_same_on_each_database(desk: Desk) -> None:
    desk.create("top", OWNER, form(node_type="collection"))
    desk.create("news", OWNER, FRIENDS | form(collection="top"))
    many = [f"{number:03}@example.org" for number in range(60)]
    for contact in many:
        desk.subscribe(
            "top" if contact.endswith("0@example.org") else "news",
            Actor("root", is_admin=True),
            f"{contact}/x",
        )
    ear = Ear(desk, limit=7)

    def told() -> set[str]:
        desk.publish("news", OWNER, [item()])
        return {jid.partition("/")[0] for jid, _ in ear.items()}

    assert told() == set()
    read_roster(desk, *((contact, "friends") for contact in many[::2]))
    assert told() == set(many[::2])
    desk.items("news", Actor(many[0]))
    with pytest.raises(PubSubError, match="not-in-roster-group"):
        desk.items("news", Actor(many[1]))
    read_roster(desk, *((contact, "friends") for contact in many[::3]))
    assert told() == set(many[::3])
    desk.configure("news", OWNER, form(roster_groups_allowed="others"))
    assert told() == set()
    read_roster(desk, (many[5], "others"))
    assert told() == {many[5]}
    desk.roster_lost(OWNER.bare)
    assert told() == set()
    desk.delete("news", OWNER)
    with short_transaction(desk.engine) as connection:
        sweep(connection)


@pytest.mark.row("S4")
def test_of_two_who_have_read_a_roster_at_once_the_later_one_counts(
    busy: Desk, new_engine: Callable[[str], Engine]
) -> None:
    url = busy.engine.url.render_as_string(hide_password=False)
    engines = [new_engine(url) for _ in range(2)]
    rosters = [[(ANN.bare, "friends")], [(BEN.bare, "friends")]]
    with ThreadPoolExecutor(2) as pool:
        for number in range(ROUNDS):
            owner = Actor(f"owner{number}@{HOME}")
            node = f"news{number}"
            busy.create(node, owner, FRIENDS)
            moments = [busy.roster_wanted(owner.bare) for _ in range(2)]
            assert moments[0] < moments[1]
            barrier = threading.Barrier(2)

            def write(
                each: int,
                owner: Actor = owner,
                moments: list[datetime] = moments,
                barrier: threading.Barrier = barrier,
            ) -> None:
                with short_transaction(engines[each]) as connection:
                    connection.exec_driver_sql("SELECT 1")
                    barrier.wait(10)
                    service = PubSubService(connection, busy.settings)
                    service.roster_taken(owner.bare, rosters[each], moments[each], 60)

            list(pool.map(write, (0, 1) if number % 2 else (1, 0)))
            busy.items(node, BEN)
            with pytest.raises(PubSubError, match="not-in-roster-group"):
                busy.items(node, ANN)
    with busy.engine.connect() as connection:
        for table in (roster_table, roster_entry_table):
            assert connection.scalar(select(func.count()).select_from(table)) == ROUNDS
