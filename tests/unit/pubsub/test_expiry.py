"""Items that go by themselves: row T4, and `purge_offline`."""

from datetime import timedelta

import pytest
from sqlalchemy import update

from eventworker.db import clock
from eventworker.pubsub import expiry, upkeep
from eventworker.pubsub.facts import Affiliated
from eventworker.pubsub.rules import Affiliation
from eventworker.pubsub.tables import item_table, subscription_table
from tests.helpers.pubsub import ANN, BEN, OWNER, Desk, form, item, refused


def age(desk: Desk, *ids: str) -> None:
    """The time of these items is over."""
    with desk.service() as service:
        mine = item_table.c.item_id.in_(ids)
        service.connection.execute(update(item_table).where(mine).values(expires_at=clock(-1.0)))


def ids(desk: Desk) -> list[str]:
    return [each.id for each in desk.items("news", OWNER).entries]


@pytest.mark.row("T4")
def test_an_item_has_the_time_that_its_node_gives_it(desk: Desk) -> None:
    desk.create("news", OWNER, form(item_expire=60))
    desk.publish("news", OWNER, [item("a")])
    with desk.service() as service:
        row = service.connection.execute(
            item_table.select().with_only_columns(
                item_table.c.published_at, item_table.c.expires_at
            )
        ).one()
    assert abs(row.expires_at - row.published_at - timedelta(seconds=60)) < timedelta(seconds=1)


@pytest.mark.row("T4", "I2")
def test_an_item_whose_time_is_over_is_not_there_any_more(desk: Desk) -> None:
    desk.create("news", OWNER, form(item_expire=60, max_items=2, publish_node_full="reject"))
    desk.publish("news", OWNER, [item("a"), item("b")])
    age(desk, "a")
    assert ids(desk) == ["b"]
    assert desk.item_names("news", OWNER).entries == ["b"]
    with refused("item-not-found"):
        desk.retract("news", OWNER, ["a"])
    desk.publish("news", OWNER, [item("c")])
    assert ids(desk) == ["b", "c"]


@pytest.mark.row("T4")
def test_items_are_removed_when_their_time_is_over_and_that_is_told(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expiry, "_ITEMS", 2)
    desk.create("news", OWNER, form(item_expire=60))
    desk.create("other", OWNER, form(item_expire=60, notify_retract=0))
    desk.publish("news", OWNER, [item(name) for name in "abcd"])
    desk.publish("other", OWNER, [item("a"), item("x")])
    desk.listen_to("news", "other")
    age(desk, "a", "b", "c")
    assert desk.expire_items() == 3
    assert desk.expire_items() == 1
    assert desk.expire_items() == 0
    assert desk.heard() == [("retract", {"ids": ["a", "b"]}), ("retract", {"ids": ["c"]})]
    assert ids(desk) == ["d"]
    assert desk.item_names("other", OWNER).entries == ["x"]


@pytest.mark.row("T6")
def test_the_items_of_a_publisher_go_with_him(desk: Desk) -> None:
    desk.create("news", OWNER, form(purge_offline=1))
    desk.create("other", OWNER)
    for node in ("news", "other"):
        for actor in (ANN, BEN):
            change = Affiliated(node, actor.bare, Affiliation.PUBLISHER)
            assert desk.change_node_affiliations(node, OWNER, [change]) == []
            desk.publish(node, actor, [item(actor.bare)])
    desk.listen_to("news")
    desk.publisher_gone(ANN.bare)
    assert ids(desk) == [BEN.bare]
    assert len(desk.item_names("other", OWNER).entries) == 2
    assert desk.heard() == [("retract", {"ids": [ANN.bare]})]
    desk.configure("news", OWNER, form(purge_offline=0))
    desk.publisher_gone(BEN.bare)
    assert ids(desk) == [BEN.bare]


@pytest.mark.row("T4")
def test_the_side_service_does_all_that_is_due(desk: Desk) -> None:
    desk.create("news", OWNER, form(item_expire=60))
    desk.publish("news", OWNER, [item("a"), item("b")])
    desk.subscribe("news", ANN, ANN.jid)
    assert upkeep.keep_up(desk.engine, desk.settings) == {}
    age(desk, "a")
    with desk.service() as service:
        over = update(subscription_table).values(expires_at=clock(-1.0))
        service.connection.execute(over)
    done = upkeep.keep_up(desk.engine, desk.settings)
    assert done == {"items expired": 1, "subscriptions ended": 1}
    assert ids(desk) == ["b"]
    assert desk.subscriptions(ANN) == []


def test_the_side_service_looks_more_often_where_something_has_an_end(desk: Desk) -> None:
    desk.create("news", OWNER)
    desk.publish("news", OWNER, [item("a")])
    idle = upkeep.pause(desk.engine)
    desk.configure("news", OWNER, form(item_expire=60))
    assert upkeep.pause(desk.engine) < idle
