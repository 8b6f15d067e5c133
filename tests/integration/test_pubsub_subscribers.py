"""Subscriptions, affiliations and deliveries where databases differ: two at the same moment, orders
of addresses, and rows that are there or not."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Engine, func, select, update

from eventworker.db import clock, short_transaction
from eventworker.pubsub import deliveries
from eventworker.pubsub.errors import PubSubError
from eventworker.pubsub.facts import Actor, Affiliated, Subscription
from eventworker.pubsub.options import Settings
from eventworker.pubsub.rules import Affiliation, State
from eventworker.pubsub.service import PubSubService
from eventworker.pubsub.sweeping import sweep
from eventworker.pubsub.tables import delivery_table, listener_table, node_table, notice_table
from tests.helpers.pubsub import ANN, BEN, OWNER, Desk, form, item
from tests.helpers.pubsub_ear import Ear, let_leases_end, rows

#: Each race is run so often.
ROUNDS = 8


@pytest.fixture
def desk(engine: Engine) -> Desk:
    """A service, once on each database."""
    return Desk(engine)


@pytest.fixture(params=["postgres", "maria"])
def busy(request: pytest.FixtureRequest) -> Desk:
    """A service where transactions run side by side; SQLite has one writer at a time."""
    return Desk(request.getfixturevalue(f"{request.param}_engine"))


@pytest.fixture
def at_once(busy: Desk, new_engine: Callable[[str], Engine]) -> Iterator[Callable[..., list[Any]]]:
    """Calls functions with services whose transactions begin at the same moment; returns what they
    return, or the conditions of their errors."""
    url = busy.engine.url.render_as_string(hide_password=False)
    others = [new_engine(url) for _ in range(3)]
    with ThreadPoolExecutor(len(others)) as pool:

        def run(*works: Callable[[PubSubService], Any]) -> list[Any]:
            barrier = threading.Barrier(len(works))

            def one(each: tuple[Engine, Callable[[PubSubService], Any]]) -> Any:
                try:
                    with short_transaction(each[0]) as connection:
                        connection.exec_driver_sql("SELECT 1")
                        barrier.wait(10)
                        return each[1](PubSubService(connection, busy.settings))
                except PubSubError as error:
                    return error.detail or error.condition

            return list(pool.map(one, zip(others, works, strict=False)))

        yield run


@pytest.mark.row("S14")
def test_who_subscribes_twice_at_once_is_subscribed_once(
    busy: Desk, at_once: Callable[..., list[Any]]
) -> None:
    busy.create("news", OWNER)
    for number in range(ROUNDS):
        jid = f"ann@example.org/{number}"
        made = at_once(*[lambda service, jid=jid: service.subscribe("news", ANN, jid)] * 3)
        assert made == [Subscription("news", jid, State.SUBSCRIBED)] * 3
        assert len(rows(busy)) == number + 1


@pytest.mark.row("S7")
def test_of_two_requests_at_once_one_is_told_that_it_is_pending(
    busy: Desk, at_once: Callable[..., list[Any]]
) -> None:
    busy.create("news", OWNER, form(access_model="authorize"))
    for number in range(ROUNDS):
        jid = f"ann@example.org/{number}"
        made = at_once(*[lambda service, jid=jid: service.subscribe("news", ANN, jid)] * 2)
        assert sorted(map(str, made))[1] == "pending-subscription"


@pytest.mark.row("A2")
def test_two_owners_who_demote_each_other_at_once_leave_one(
    busy: Desk, at_once: Callable[..., list[Any]]
) -> None:
    for number in range(ROUNDS):
        node = f"news{number}"
        busy.create(node, OWNER)
        busy.change_node_affiliations(node, OWNER, [Affiliated(node, ANN.bare, Affiliation.OWNER)])
        demote = [
            lambda service, node=node, who=who, by=by: service.change_node_affiliations(
                node, by, [Affiliated(node, who.bare, Affiliation.NONE)]
            )
            for by, who in ((OWNER, ANN), (ANN, OWNER))
        ]
        assert sorted(map(str, at_once(*demote))) == ["[]", "forbidden"]


@pytest.mark.row("A2")
def test_two_owners_who_leave_at_once_do_not_leave_the_node_alone(
    busy: Desk, at_once: Callable[..., list[Any]]
) -> None:
    for number in range(ROUNDS):
        node = f"news{number}"
        busy.create(node, OWNER)
        owner = [Affiliated(node, ANN.bare, Affiliation.OWNER)]
        busy.change_node_affiliations(node, OWNER, owner)
        leave = [
            lambda service, node=node, who=who: service.change_node_affiliations(
                node, who, [Affiliated(node, who.bare, Affiliation.NONE)]
            )
            for who in (OWNER, ANN)
        ]
        left = [still for still in at_once(*leave) if still]
        assert len(left) == 1
        assert len(busy.node_affiliations(node, Actor("root", is_admin=True))) == 1


@pytest.mark.row("S8")
def test_who_subscribes_while_he_becomes_an_outcast_is_not_subscribed(
    busy: Desk, at_once: Callable[..., list[Any]]
) -> None:
    for number in range(ROUNDS):
        node = f"news{number}"
        busy.create(node, OWNER)
        out = [Affiliated(node, ANN.bare, Affiliation.OUTCAST)]
        at_once(
            lambda service, node=node: service.subscribe(node, ANN, ANN.jid),
            lambda service, node=node, out=out: service.change_node_affiliations(node, OWNER, out),
        )
        assert busy.subscriptions(ANN) == []


def test_who_subscribes_to_a_node_while_it_is_deleted_hears_of_it_or_is_refused(
    busy: Desk, at_once: Callable[..., list[Any]]
) -> None:
    ear = Ear(busy)
    for number in range(ROUNDS):
        node = f"news{number}"
        busy.create(node, OWNER)
        made, _ = at_once(
            lambda service, node=node: service.subscribe(node, ANN, ANN.jid),
            lambda service, node=node: service.delete(node, OWNER),
        )
        heard = [each.word for each in ear.hears()]
        assert heard == ([] if made == "item-not-found" else ["delete"])


def test_a_lease_ends_once_and_is_renewed_or_ended(
    busy: Desk, at_once: Callable[..., list[Any]]
) -> None:
    busy.create("news", OWNER)
    ear = Ear(busy)
    options = form(expire="2999-01-01T00:00:00Z")
    for _ in range(ROUNDS):
        busy.subscribe("news", ANN, ANN.jid, options)
        let_leases_end(busy)
        *ended, renewed = at_once(
            lambda service: service.end_leases(),
            lambda service: service.end_leases(),
            lambda service: service.set_subscription_options("news", ANN, ANN.jid, options),
        )
        told = len(ear.hears())
        if renewed is None:
            assert (sum(ended), told, len(rows(busy))) == (0, 0, 1)
        else:
            assert (sum(ended), told, len(rows(busy))) == (1, 1, 0)


def test_two_who_register_under_one_name_are_one_listener(
    busy: Desk, at_once: Callable[..., list[Any]]
) -> None:
    for number in range(ROUNDS):
        name = f"hook{number}"
        ids = at_once(
            *[lambda service, name=name: deliveries.register(service.connection, name, ANN.jid, 60)]
            * 3
        )
        assert len(set(ids)) == 1


def test_what_two_listeners_have_told_at_once_is_forgotten(
    busy: Desk, at_once: Callable[..., list[Any]]
) -> None:
    busy.create("news", OWNER)
    busy.subscribe("news", ANN, ANN.jid)
    ears = [Ear(busy), Ear(busy, ANN.jid, name="own")]
    for _ in range(ROUNDS):
        busy.publish("news", OWNER, [item("a")])

        def tell(service: PubSubService, ear: Ear) -> None:
            (delivery,) = deliveries.waiting(service.connection, ear.id, 10)
            deliveries.done(service.connection, delivery)

        at_once(*[lambda service, ear=ear: tell(service, ear) for ear in ears])
        with short_transaction(busy.engine) as connection:
            sweep(connection)
            assert connection.scalar(select(func.count()).select_from(delivery_table)) == 0
            assert connection.scalar(select(func.count()).select_from(notice_table)) == 0


@pytest.mark.row("S15", "T1")
def test_pages_pass_over_nobody_whatever_the_order_of_addresses_is(desk: Desk) -> None:
    """Databases sort upper and lower case, accents and signs each in their own way."""
    desk.create("news", OWNER)
    resources = ["a", "A", "ä", "Ä", "z", "Z", "-", "_", "1", " 1", "é", "ß", "ss", "😀", "a b"]
    jids = [f"{local}@example.org/{name}" for local in ("ann", "än") for name in resources]
    for jid in jids:
        desk.subscribe("news", Actor(jid), jid)
    ear = Ear(desk, limit=4)
    desk.publish("news", OWNER, [item("x")])
    told = [jid for jid, _ in ear.items()]
    assert len(told) == len(set(told))
    assert set(told) == set(jids)


@pytest.mark.row("S8", "T6", "X1")
def test_who_is_told_is_the_same_on_each_database(desk: Desk) -> None:
    desk.create("top", OWNER, form(node_type="collection"))
    desk.create("news", OWNER, form(collection="top", send_last_published_item="on_sub"))
    ears = [Ear(desk), Ear(desk, "hook@pubsub.localhost/1", name="hook")]
    for name in ("ann", "ben", "carl", "dora", "hook@pubsub.localhost/1"):
        jid = name if "@" in name else f"{name}@example.org/x"
        desk.subscribe("top" if name == "carl" else "news", Actor(jid), jid)
    everybody = {f"{name}@example.org/x" for name in ("ann", "ben", "carl", "dora")}

    def told(name: str) -> set[str]:
        desk.publish("news", OWNER, [item(name)])
        assert [jid for jid, _ in ears[1].items()] == ["hook@pubsub.localhost/1"]
        return {jid for jid, _ in ears[0].items()}

    assert told("first") == everybody
    desk.change_node_affiliations(
        "news", OWNER, [Affiliated("news", "ben@example.org", Affiliation.OUTCAST)]
    )
    desk.change_node_affiliations(
        "top", OWNER, [Affiliated("top", "carl@example.org", Affiliation.OUTCAST)]
    )
    assert told("second") == {"ann@example.org/x", "dora@example.org/x"}
    dora = Actor("dora@example.org/x")
    desk.set_subscription_options("news", dora, dora.jid, form(expire="2999-01-01"))
    let_leases_end(desk)
    assert told("third") == {"ann@example.org/x"}
    assert desk.end_leases() == 1
    desk.subscribe("news", dora, dora.jid)
    assert {jid for jid, _ in ears[0].items()} == {dora.jid}
    desk.configure("news", OWNER, form(presence_based_delivery=1))
    desk.available(dora.jid)
    desk.available(dora.jid)
    assert told("fourth") == {dora.jid}
    desk.configure("news", OWNER, form(presence_based_delivery=0, access_model="presence"))
    desk.presence_granted("ann@example.org")
    with desk.service() as service:
        service.settings = desk.settings
    desk.publish("news", OWNER, [item("fifth")])
    assert ears[0].items() == [("ann@example.org/x", "fifth")]
    assert ears[1].items() == []
    desk.delete("news", OWNER)
    assert {each.jid for ear in ears for each in ear.hears()} >= {"ann@example.org/x", dora.jid}
    with short_transaction(desk.engine) as connection:
        assert sweep(connection) > 0
    with short_transaction(desk.engine) as connection:
        names = list(connection.scalars(select(node_table.c.name)))
    assert names == ["top"]


@pytest.mark.row("M3", "Q2", "Q3", "Q4", "U2")
def test_owners_manage_on_each_database(desk: Desk) -> None:
    desk.settings = Settings(multi_subscribe=True, longest_lease=600, max_bounces=1)
    desk.create("news", OWNER, form(access_model="authorize", notify_sub=1))
    first = desk.subscribe("news", ANN, ANN.jid)
    second = desk.subscribe("news", BEN, BEN.jid)
    assert desk.pending_nodes(OWNER) == ["news"]
    assert desk.decide("news", OWNER, ANN.jid, first.subid, True)
    member = [Affiliated("news", BEN.bare, Affiliation.MEMBER)]
    assert desk.change_node_affiliations("news", OWNER, member) == []
    assert {each.subid for each in desk.node_subscriptions("news", OWNER)} == {
        first.subid,
        second.subid,
    }
    assert desk.remind_leases() == 2
    assert desk.remind_leases() == 0
    with short_transaction(desk.engine) as connection:
        connection.execute(update(listener_table).values(lease_until=clock(-1)))
        sweep(connection)
    third = desk.subscribe("news", BEN, BEN.jid)
    desk.unsubscribe("news", BEN, BEN.jid, third.subid)
    desk.bounced(BEN.jid, ["news"], gone=False)
    assert [each.jid for each in desk.node_subscriptions("news", OWNER)] == [ANN.jid]
    change = [Subscription("news", ANN.jid, State.NONE, first.subid)]
    assert desk.change_node_subscriptions("news", OWNER, change) == []
    assert rows(desk) == []
