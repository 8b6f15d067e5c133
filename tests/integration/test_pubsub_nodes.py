"""Nodes and items on each database, and under many hands at once."""

from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Engine, func, select, update

from eventworker.db import clock
from eventworker.errors import DatabaseUnavailable
from eventworker.pubsub.errors import PubSubError
from eventworker.pubsub.facts import Page
from eventworker.pubsub.options import Settings
from eventworker.pubsub.tables import affiliation_table, child_table, item_table, node_table
from tests.helpers.pubsub import ANN, BEN, OWNER, Desk, form, item, refused

_HANDS = 6


@pytest.fixture
def desk(engine: Engine) -> Desk:
    return Desk(engine)


@pytest.fixture(params=["postgres", "maria"])
def many(request: pytest.FixtureRequest, new_engine: Callable[[str], Engine]) -> Desk:
    """A service that many ask at once. On SQLite there is one writer at a time anyway."""
    url = request.getfixturevalue(f"{request.param}_engine").url
    engine = new_engine(url.render_as_string(hide_password=False))
    return Desk(engine, Settings(creators="everyone", auto_create=True))


def at_once(asks: Iterable[Callable[[], Any]]) -> Counter[str]:
    """Ask all this at once; how often each answer came, which is `done` or an error's condition."""

    def answer(ask: Callable[[], Any]) -> str:
        try:
            ask()
        except PubSubError as error:
            return error.condition
        except DatabaseUnavailable:
            return "again"
        return "done"

    with ThreadPoolExecutor(_HANDS) as pool:
        return Counter(pool.map(answer, asks))


def number(desk: Desk, table: Any) -> int:
    with desk.service() as service:
        return int(service.connection.scalar(select(func.count()).select_from(table)) or 0)


@pytest.mark.row("T1", "T2", "P1", "P2")
def test_a_node_and_its_items_are_kept(desk: Desk, new_engine: Callable[[str], Engine]) -> None:
    name = "st\u00f6ry/4 2 \U0001f600 "
    desk.create(name, OWNER, form(title="\u00c4", max_items=3))
    for each in ("\u00e4", "a", "A", "a ", "A "):
        desk.publish(name, OWNER, [item(each)])
    for other in (name.strip(), name.upper(), name.replace("\u00f6", "o")):
        with refused("item-not-found"):
            desk.items(other, ANN)
    restarted = Desk(new_engine(desk.engine.url.render_as_string(hide_password=False)))
    assert [each.id for each in restarted.items(name, ANN).entries] == ["A", "a ", "A "]
    assert restarted.configuration(name, OWNER).title == "\u00c4"
    assert [each.id for each in restarted.items(name, ANN, ids=["a ", "a"]).entries] == ["a "]


@pytest.mark.row("P2", "P13", "T4")
def test_a_batch_replaces_removes_and_expires(desk: Desk) -> None:
    desk.create("news", OWNER, form(max_items=3, item_expire=60))
    desk.publish("news", OWNER, [item("a"), item("b"), item("c")])
    desk.publish("news", OWNER, [item("a"), item("d")])
    part = desk.items("news", ANN, page=Page(2))
    assert ([each.id for each in part.entries], part.total) == (["c", "a"], 3)
    with desk.service() as service:
        over = update(item_table).where(item_table.c.item_id == "c").values(expires_at=clock(-1.0))
        service.connection.execute(over)
    assert desk.expire_items() == 1
    assert desk.expire_items() == 0
    assert desk.item_names("news", ANN).entries == ["a", "d"]
    desk.configure("news", OWNER, form(publish_node_full="reject", max_items=2))
    with refused("conflict", "node-full"):
        desk.publish("news", OWNER, [item("e")])
    desk.publish("news", OWNER, [item("a"), item("d")])
    desk.retract("news", OWNER, ["d", "a"])
    assert number(desk, item_table) == 0


@pytest.mark.row("T1", "I5")
@pytest.mark.parametrize("name", ["a\x00", "\ud800", "", "x" * 600, "\uffff"])
def test_what_nothing_can_be_named_is_not_found(desk: Desk, name: str) -> None:
    desk.create("news", OWNER)
    desk.publish("news", OWNER, [item("a")])
    for ask in (
        lambda: desk.items(name, ANN),
        lambda: desk.publish(name, OWNER, [item("a")]),
        lambda: desk.delete(name, OWNER),
        lambda: desk.items("news", ANN, page=Page(1, after=name or "b")),
        lambda: desk.nodes(ANN, page=Page(1, before=name or "\x01")),
        lambda: desk.retract("news", OWNER, [name or "b"]),
    ):
        with refused("item-not-found"):
            ask()
    assert desk.items("news", ANN, ids=[name]).entries == []
    with refused("not-acceptable"):
        desk.delete("news", OWNER, redirect_uri=name and name * 9)


def test_numbers_may_be_larger_than_a_database_counts(desk: Desk) -> None:
    desk.create("news", OWNER)
    desk.publish("news", OWNER, [item("a")])
    huge = 10**30
    assert len(desk.items("news", ANN, max_items=huge).entries) == 1
    assert len(desk.items("news", ANN, page=Page(huge)).entries) == 1
    assert desk.items("news", ANN, page=Page(huge, index=huge)).entries == []
    for page in (Page(-1), Page(1, index=-1)):
        with refused("bad-request"):
            desk.items("news", ANN, page=page)


@pytest.mark.row("D3", "X1", "X2")
def test_nodes_are_listed_and_deleted(desk: Desk) -> None:
    desk.create("all", OWNER, form(node_type="collection"))
    for name in ("b", "a", "c"):
        desk.create(name, OWNER, form(collection="all", purge_offline=1))
    assert [each.node for each in desk.nodes(ANN).entries] == ["all"]
    part = desk.nodes(ANN, "all", Page(2, after="a"))
    assert ([each.node for each in part.entries], part.first, part.total) == (["b", "c"], 1, 3)
    assert desk.node_info("all", ANN).metadata["pubsub#owner"] == [OWNER.bare]
    desk.publish("a", OWNER, [item("x")])
    desk.publisher_gone(OWNER.bare)
    assert desk.item_names("a", ANN).entries == []
    desk.delete("a", OWNER, redirect_uri="xmpp:old")
    desk.create("a", OWNER)
    desk.delete("a", OWNER, redirect_uri="xmpp:other")
    with refused("gone"):
        desk.items("a", ANN)
    desk.delete("all", OWNER)
    assert [each.node for each in desk.nodes(ANN).entries] == ["b", "c"]


@pytest.mark.row("T4", "P13")
@pytest.mark.parametrize("full", ["retract-oldest", "reject"])
def test_a_node_never_has_more_items_than_it_may(many: Desk, full: str) -> None:
    many.create("news", OWNER, form(max_items=5, publish_node_full=full))
    answers = at_once(
        lambda n=n: many.publish("news", OWNER, [item(f"{n}"), item()]) for n in range(60)
    )
    if full == "reject":
        assert answers == {"done": 2, "conflict": 58}
        assert number(many, item_table) == 4
    else:
        assert answers == {"done": 60}
        assert number(many, item_table) == 5


@pytest.mark.row("P11", "X1")
def test_publishing_to_a_node_that_is_being_deleted_leaves_nothing_behind(many: Desk) -> None:
    desk = Desk(many.engine)
    for n in range(5):
        name = f"news{n}"
        desk.create(name, OWNER)
        asks = [lambda name=name: desk.publish(name, OWNER, [item()]) for _ in range(10)]
        asks[4:4] = [
            lambda name=name: desk.delete(name, OWNER),
            lambda name=name: desk.purge(name, OWNER),
            lambda name=name: desk.retract(name, OWNER, ["none"]),
        ]
        assert set(at_once(asks)) <= {"done", "item-not-found"}
        with refused("item-not-found"):
            desk.items(name, OWNER)
    assert number(desk, item_table) == 0


@pytest.mark.row("C1", "P11")
def test_one_of_many_makes_the_node_and_all_publish(many: Desk) -> None:
    answers = at_once(lambda n=n: many.create("news", [ANN, BEN][n % 2]) for n in range(10))
    assert answers == {"done": 1, "conflict": 9}
    assert number(many, affiliation_table) == 1
    many.create("all", OWNER, form(node_type="collection"))
    within = form(collection="all", publish_model="open")
    answers = at_once(
        lambda n=n: many.publish("other", OWNER, [item(f"{n}")], options=within) for n in range(20)
    )
    assert answers == {"done": 20}
    assert len(many.item_names("other", ANN).entries) == 20
    assert number(many, child_table) == 1


@pytest.mark.row("P2", "R1")
def test_one_item_is_published_and_retracted_at_once(many: Desk) -> None:
    many.create("news", OWNER)
    answers = at_once(
        lambda n=n: (
            many.retract("news", OWNER, ["a"])
            if n % 2
            else many.publish("news", OWNER, [item("a", str(n)), item(f"{n}")])
        )
        for n in range(40)
    )
    assert answers["done"] >= 20
    assert set(answers) <= {"done", "item-not-found"}
    assert len(set(many.item_names("news", ANN).entries) - {"a"}) == 20


def test_no_ring_is_closed_from_all_sides(many: Desk) -> None:
    names = ["a", "b", "c", "d"]
    for name in names:
        many.create(name, OWNER, form(node_type="collection"))
    pairs = [(name, names[(n + 1) % 4]) for n, name in enumerate(names)]
    for outer, inner in pairs[::2]:
        many.associate(outer, inner, OWNER)
    answers = at_once(
        lambda outer=outer, inner=inner: many.associate(outer, inner, OWNER)
        for outer, inner in pairs[1::2] * 3
    )
    assert answers["done"] >= 1
    assert number(many, child_table) == 3


@pytest.mark.parametrize("kind", ["leaf", "collection"])
def test_nodes_are_put_into_one_another_from_both_sides_at_once(many: Desk, kind: str) -> None:
    """The database has to refuse nobody: all lock the two in one order."""
    pairs = [(f"outer {n}", f"inner {n}") for n in range(8)]
    for outer, inner in pairs:
        many.create(outer, OWNER, form(node_type="collection"))
        many.create(inner, OWNER, form(node_type=kind))
    for is_in in (True, False):
        asks: list[Callable[[], Any]] = []
        for outer, inner in pairs:
            move = many.associate if is_in else many.disassociate
            children, parents = ([inner], [outer]) if is_in else ([], [])
            asks += [
                partial(many.configure, outer, OWNER, form(children=children)),
                partial(many.configure, inner, OWNER, form(collection=parents)),
                partial(move, outer, inner, OWNER),
            ]
        answers = at_once(asks)
        assert set(answers) <= {"done", "bad-request"}  # it may be out already
        assert number(many, child_table) == (len(pairs) if is_in else 0)


@pytest.mark.row("T6")
def test_publishers_go_while_others_publish_to_several_nodes(many: Desk) -> None:
    names = ["z", "m", "a"]  # made in another order than that of their names
    for name in names:
        many.create(name, OWNER, form(purge_offline=1, publish_model="open"))

    def publish_everywhere(key: str) -> None:
        with many.service() as service:
            for name in sorted(names):
                service.publish(name, ANN, [item(key)])

    answers = at_once(
        (lambda n=n: many.unavailable(ANN.bare))
        if n % 2
        else lambda n=n: publish_everywhere(f"{n}")
        for n in range(40)
    )
    assert answers == {"done": 40}
    many.unavailable(ANN.bare)
    assert number(many, item_table) == 0


def test_what_somebody_else_is_busy_with_expires_later(many: Desk) -> None:
    for name in ("busy", "other"):
        many.create(name, OWNER, form(item_expire=60))
        many.publish(name, OWNER, [item("a")])
    with many.service() as service:
        service.connection.execute(update(item_table).values(expires_at=clock(-1.0)))
    with many.service() as holder:
        holder.node("busy", lock=True)
        assert many.expire_items() == 1
    assert many.expire_items() == 1
    assert number(many, node_table) == 2
