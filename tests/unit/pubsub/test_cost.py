"""What a publication costs: a handful of statements, however many subscribers there are."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import event

from tests.helpers.pubsub import ADMIN, ANN, OWNER, Desk, form, item


@contextmanager
def statements(desk: Desk) -> Iterator[list[str]]:
    """The statements that are sent inside of the block."""
    sent: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        sent.append(statement.split()[0])

    event.listen(desk.engine, "before_cursor_execute", note)
    yield sent
    event.remove(desk.engine, "before_cursor_execute", note)


@pytest.fixture
def news(desk: Desk) -> Desk:
    desk.create("news", OWNER, form(publish_model="open"))
    desk.publish("news", OWNER, [item()])
    return desk


def test_a_publication_that_nobody_hears_writes_the_item_and_the_node(news: Desk) -> None:
    with statements(news) as sent:
        news.publish("news", ADMIN, [item("a")])
    # The node, its position, the item, and no notice after a look for listeners.
    assert sent == ["BEGIN", "SELECT", "UPDATE", "INSERT", "INSERT"]


def test_somebody_who_is_no_admin_costs_a_look_at_his_affiliation(news: Desk) -> None:
    with statements(news) as sent:
        news.publish("news", ANN, [item("a")])
    assert sent == ["BEGIN", "SELECT", "SELECT", "UPDATE", "INSERT", "INSERT"]


def test_a_batch_costs_as_many_statements_as_an_item(news: Desk) -> None:
    with statements(news) as one:
        news.publish("news", ADMIN, [item()])
    with statements(news) as many:
        news.publish("news", ADMIN, [item() for _ in range(50)])
    assert many == one


def test_a_hundred_subscribers_cost_a_publisher_as_much_as_one(news: Desk) -> None:
    news.listen_to("news")
    with statements(news) as one:
        news.publish("news", ADMIN, [item()])
    for n in range(99):
        news.subscribe("news", ADMIN, f"reader{n}@example.org")
    with statements(news) as hundred:
        news.publish("news", ADMIN, [item()])
    assert hundred == one
    assert one.count("INSERT") == 3


def test_whoever_goes_offline_costs_a_look_at_an_index_and_not_at_all_items(news: Desk) -> None:
    for name in ("a", "b"):
        news.create(name, OWNER, form(purge_offline=1))
        news.publish(name, OWNER, [item() for _ in range(20)])
    asked: list[tuple[str, object]] = []

    def note(_connection: object, _cursor: object, said: str, values: object, *_: object) -> None:
        asked.append((said, values))

    event.listen(news.engine, "before_cursor_execute", note)
    news.unavailable(ANN.jid)
    event.remove(news.engine, "before_cursor_execute", note)
    looks = [(said, values) for said, values in asked if "eventworker_pubsub_item" in said]
    assert len(looks) == 1
    with news.service() as service:
        planned = [
            service.connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {said}", values).all()
            for said, values in looks
        ]
    (plan,) = [" ".join(row.detail for row in rows) for rows in planned]
    assert "ix_eventworker_pubsub_item_publisher (publisher=? AND node_id=?)" in plan
