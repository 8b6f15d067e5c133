"""What is written down for listeners, on each database."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, insert, select

from eventworker.db import clock
from eventworker.pubsub.notices import Word, tell
from eventworker.pubsub.rules import State
from eventworker.pubsub.tables import (
    delivery_table,
    listener_table,
    node_table,
    notice_table,
    subscription_table,
)
from tests.helpers.pubsub import OWNER, Desk, form, item
from tests.helpers.pubsub_ear import Ear


@pytest.fixture
def desk(engine: Engine) -> Desk:
    return Desk(engine)


@pytest.fixture
def listen(engine: Engine) -> Callable[..., None]:
    """Makes a listener; without an address it is one for all."""

    def make(name: str, jid: str | None = None, lease: float | None = None) -> None:
        row = {
            "name": name,
            "jid": jid,
            "bare": jid and jid.partition("/")[0],
            "lease_until": None if lease is None else clock(lease),
            "created_at": clock(),
        }
        with engine.begin() as connection:
            connection.execute(insert(listener_table).values(row))

    return make


@pytest.fixture
def subscribe(engine: Engine) -> Callable[..., None]:
    """Makes the row of a subscription."""

    def make(node: str, jid: str, **values: Any) -> None:
        row = {
            "jid": jid,
            "bare": jid.partition("/")[0],
            "subid": jid,
            "state": State.SUBSCRIBED,
            "options": "{}",
            "deliver": True,
            "type": "items",
            "temporary": False,
            "bounces": 0,
            "created_at": clock(),
            **values,
        }
        with engine.begin() as connection:
            node_id = connection.scalar(select(node_table.c.id).where(node_table.c.name == node))
            connection.execute(insert(subscription_table).values(node_id=node_id, **row))

    return make


def told(engine: Engine) -> list[tuple[str, str, int]]:
    """Each delivery: which listener is to tell what, and how far the audience is above the node."""
    delivery, notice, listener = delivery_table.c, notice_table.c, listener_table.c
    look = (
        select(listener.name, notice.kind, delivery.level)
        .join_from(delivery_table, notice_table, delivery.notice_id == notice.id)
        .join(listener_table, delivery.listener_id == listener.id)
        .order_by(delivery.id)
    )
    with engine.begin() as connection:
        return [tuple(row) for row in connection.execute(look)]


def notices(engine: Engine) -> list[str]:
    with engine.begin() as connection:
        return list(connection.scalars(select(notice_table.c.kind).order_by(notice_table.c.id)))


@pytest.mark.row("P3")
def test_a_publication_is_one_notice_however_many_subscribers_a_listener_has(
    engine: Engine, desk: Desk, listen: Callable[..., None], subscribe: Callable[..., None]
) -> None:
    desk.create("news", OWNER)
    listen("xmpp")
    for n in range(3):
        subscribe("news", f"reader{n}@example.org")
    desk.publish("news", OWNER, [item("a"), item("b")])
    assert told(engine) == [("xmpp", "items", 0)]


def test_nothing_is_written_where_nobody_listens(
    engine: Engine, desk: Desk, listen: Callable[..., None], subscribe: Callable[..., None]
) -> None:
    desk.create("news", OWNER)
    subscribe("news", "ann@example.org")
    desk.publish("news", OWNER, [item("a")])
    listen("hook", "ben@example.org")
    listen("gone", "ann@example.org", lease=-1.0)
    desk.publish("news", OWNER, [item("b")])
    assert notices(engine) == []
    listen("her", "ann@example.org/desk", lease=60.0)
    desk.publish("news", OWNER, [item("c")])
    assert told(engine) == [("her", "items", 0)]


def test_one_address_is_told_by_those_who_listen_for_it(
    engine: Engine, desk: Desk, listen: Callable[..., None]
) -> None:
    def tell_ann() -> None:
        with desk.service() as service:
            tell(service, "news", Word.SUBSCRIPTION, {}, "ann@example.org")

    tell_ann()
    assert notices(engine) == []
    listen("xmpp")
    listen("hers", "ann@example.org")
    listen("his", "ben@example.org")
    tell_ann()
    assert sorted(told(engine)) == [("hers", "subscription", 0), ("xmpp", "subscription", 0)]


def test_subscribers_of_a_collection_hear_of_what_is_below_it(
    engine: Engine, desk: Desk, listen: Callable[..., None], subscribe: Callable[..., None]
) -> None:
    listen("xmpp")
    desk.create("all", OWNER, form(node_type="collection"))
    desk.create("some", OWNER, form(node_type="collection", collection="all"))
    desk.create("news", OWNER, form(collection="some"))
    subscribe("all", "ann@example.org", type="items", depth=1)
    desk.publish("news", OWNER, [item("a")])
    assert told(engine) == []
    subscribe("all", "ben@example.org", type="items", depth=None)
    desk.publish("news", OWNER, [item("a")])
    assert told(engine) == [("xmpp", "items", 2)]


def test_subscribers_of_nodes_hear_of_new_ones_and_not_of_items(
    engine: Engine, desk: Desk, listen: Callable[..., None], subscribe: Callable[..., None]
) -> None:
    listen("xmpp")
    desk.create("all", OWNER, form(node_type="collection"))
    subscribe("all", "ann@example.org", type="items")
    desk.create("one", OWNER, form(collection="all"))
    assert told(engine) == []
    subscribe("all", "ben@example.org", type="nodes", depth=1)
    desk.create("two", OWNER, form(collection="all"))
    desk.disassociate("all", "one", OWNER)
    assert told(engine) == [("xmpp", "associate", 0), ("xmpp", "disassociate", 0)]


@pytest.mark.row("S15", "P3")
@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_subscribers_of_a_node_and_of_its_collections_are_merged_in_the_databases_own_order(
    desk: Desk, subscribe: Callable[..., None], limit: int
) -> None:
    desk.create("top", OWNER, form(node_type="collection"))
    desk.create("all", OWNER, form(node_type="collection", collection="top"))
    desk.create("news", OWNER, form(collection="all"))
    names = ["a", "A", "\u00e4", "z", "Z", "_", "-", "b c", "\u00df", "ss", "a.b", "a-b"]
    ways = {name: {"news", "all", "top"} for name in names[::2]}
    ways |= {name: {["news", "all", "top"][n % 3]} for n, name in enumerate(names[1::2])}
    for name, nodes in ways.items():
        for node in nodes:
            for subid in ("1", "2"):
                subscribe(node, f"x@example.org/{name}", subid=f"{node} {subid}")
    ear = Ear(desk, limit=limit)
    desk.publish("news", OWNER, [item("a")])
    heard = ear.hears()
    told = {each.jid.partition("/")[2]: set(each.collections) for each in heard}
    assert len(heard) == len(told)
    assert told == {name: nodes - {"news"} for name, nodes in ways.items()}
    assert {len(each.subids) for each in heard} == {2, 6}
