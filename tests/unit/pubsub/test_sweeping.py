"""What nobody needs any more goes, and nothing else."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Table, func, select, update

from eventworker.db import clock, short_transaction
from eventworker.pubsub import deliveries
from eventworker.pubsub.sweeping import sweep
from eventworker.pubsub.tables import (
    affiliation_table,
    child_table,
    delivery_table,
    listener_table,
    node_table,
    notice_table,
    subscription_table,
)
from eventworker.pubsub.upkeep import complain
from tests.helpers.pubsub import ANN, OWNER, Desk, form, item
from tests.helpers.pubsub_ear import Ear


def number(desk: Desk, table: Table) -> int:
    with desk.engine.connect() as connection:
        return int(connection.scalar(select(func.count()).select_from(table)) or 0)


def swept(desk: Desk) -> int:
    with short_transaction(desk.engine) as connection:
        return sweep(connection)


def set_all(desk: Desk, column: Any, value: Any) -> None:
    with desk.engine.begin() as connection:
        connection.execute(update(column.table).values({column: value}))


def test_what_is_in_use_stays(desk: Desk) -> None:
    desk.create("news", OWNER)
    desk.subscribe("news", ANN, ANN.jid)
    ear = Ear(desk)
    with short_transaction(desk.engine) as connection:
        deliveries.register(connection, "hook", ANN.jid, lease=60)
    desk.publish("news", OWNER, [item("a")])
    assert swept(desk) == 0
    assert ear.items() == [(ANN.jid, "a")]


def test_a_listener_that_is_behind_is_in_the_log(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.create("news", OWNER)
    desk.subscribe("news", ANN, ANN.jid)
    Ear(desk, name="away")
    Ear(desk, ANN.jid, name="back")
    Ear(desk, "other@example.org", name="idle")
    desk.publish("news", OWNER, [item("a")])
    complain(desk.engine)
    assert caplog.text == ""
    set_all(desk, notice_table.c.created_at, clock(-700))
    desk.publish("news", OWNER, [item("b")])
    Ear(desk, ANN.jid, name="back").hears()
    complain(desk.engine)
    (line,) = caplog.messages
    assert "the listener away has 2 notices to tell, the oldest since 20" in line
    assert "eventworker-xmpp retire" in line


def test_a_listener_whose_lease_is_over_goes_with_what_it_had_to_tell(desk: Desk) -> None:
    desk.create("news", OWNER)
    desk.subscribe("news", ANN, ANN.jid)
    with short_transaction(desk.engine) as connection:
        deliveries.register(connection, "hook", ANN.jid, lease=60)
    desk.publish("news", OWNER, [item("a")])
    set_all(desk, listener_table.c.lease_until, clock(-1))
    desk.publish("news", OWNER, [item("b")])
    assert swept(desk) == 3
    tables = (listener_table, delivery_table, notice_table)
    assert [number(desk, each) for each in tables] == [0, 0, 0]


def test_a_deleted_node_goes_when_all_have_been_told(desk: Desk) -> None:
    desk.create("all", OWNER, form(node_type="collection"))
    desk.create("kept", OWNER, form(collection="all"))
    desk.subscribe("kept", ANN, ANN.jid)
    desk.subscribe("all", ANN, ANN.jid)
    ear = Ear(desk)
    desk.delete("all", OWNER)
    set_all(desk, notice_table.c.created_at, clock(-3600))
    assert swept(desk) == 0
    assert [each.word for each in ear.hears()] == ["delete"]
    assert swept(desk) == 3  # the node, its owner, the subscription
    assert swept(desk) == 0
    tables = (node_table, affiliation_table, subscription_table, child_table)
    assert [number(desk, each) for each in tables] == [1, 1, 1, 0]


def test_a_deleted_collection_stays_until_its_subscribers_have_heard_of_its_nodes(
    desk: Desk,
) -> None:
    desk.create("all", OWNER, form(node_type="collection"))
    desk.create("news", OWNER, form(collection="all"))
    desk.subscribe("all", ANN, ANN.jid)
    ear = Ear(desk)
    desk.publish("news", OWNER, [item("a")])
    desk.delete("all", OWNER)
    set_all(desk, notice_table.c.created_at, clock(3600))  # as if it were said after the end
    assert swept(desk) == 0
    assert [each.word for each in ear.hears()] == ["items", "delete"]
    assert swept(desk) == 3


def test_a_deleted_node_stays_as_long_as_something_older_is_to_be_told(desk: Desk) -> None:
    """It may be about the node, and who has access is not known without it."""
    desk.create("old", OWNER)
    desk.create("gone", OWNER)
    desk.subscribe("old", ANN, ANN.jid)
    ear = Ear(desk)
    desk.publish("old", OWNER, [item("a")])
    desk.delete("gone", OWNER)
    assert swept(desk) == 0
    with desk.engine.connect() as connection:
        said = connection.scalar(select(notice_table.c.created_at))
    assert said is not None
    set_all(desk, node_table.c.deleted_at, said - timedelta(hours=1))
    desk.create("old2", OWNER)
    with desk.engine.begin() as connection:
        alive = update(node_table).where(node_table.c.name.is_not(None))
        connection.execute(alive.values(deleted_at=None))
    assert swept(desk) == 2
    assert ear.items() == [(ANN.jid, "a")]
