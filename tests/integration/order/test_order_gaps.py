"""Gaps in the order of a resource: what is waited for, and for how long."""

import time

import pytest
from sqlalchemy import Engine, delete, select, update

from eventworker.db import clock, short_transaction
from eventworker.engine import backlog, gaps, order
from eventworker.errors import Reject, Retry
from eventworker.inbox.backlog import delivery_table, park
from eventworker.inbox.claims import Outcome
from eventworker.inbox.operations import replay
from eventworker.inbox.operations.selection import Selection
from eventworker.outbox import queue
from eventworker.outbox.table import LOST, READY, SENT, outbox_table
from tests.helpers.databases import outcomes
from tests.helpers.ordered import InOrder, an_hour_later, done, drain, failing, record, set_state
from tests.helpers.plugins import Workshop, loaded


def test_a_row_that_could_never_be_published_holds_up_nothing(
    engine: Engine, plugin: InOrder
) -> None:
    shop = Workshop(engine, loaded(plugin))
    one, two = record(engine, 1, 1)
    with short_transaction(engine) as connection:
        queue.bury(connection, one.id, "too long")
    shop.dispatch(two)
    assert done(engine) == {"story/1": [2]}


def test_an_event_of_before_that_is_long_gone_holds_up_nothing(
    engine: Engine, plugin: InOrder
) -> None:
    shop = Workshop(engine, loaded(plugin))
    one, two = record(engine, 1, 1)
    with short_transaction(engine) as connection:
        connection.execute(delete(outbox_table).where(outbox_table.c.id == one.id))
    shop.dispatch(two)
    assert done(engine) == {"story/1": [2]}


def test_on_the_sql_queue_what_was_done_before_the_plugin_came_holds_up_nothing(
    engine: Engine, plugin: InOrder
) -> None:
    old = record(engine, 1)
    shop = Workshop(engine, loaded(plugin), driver="sql")
    (new,) = record(engine, 1, sent=False)
    shop.dispatch(new)
    assert old
    assert done(engine) == {"story/1": [2]}


def test_with_a_broker_it_is_waited_for_a_moment(
    engine: Engine, plugin: InOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have left the outbox and not the broker. A second waiting one does not begin anew."""
    old = record(engine, 1)
    shop = Workshop(engine, loaded(plugin))
    one, two = record(engine, 1, 1)
    shop.dispatch(two)
    shop.dispatch(one)
    assert old
    assert done(engine) == {}
    monkeypatch.setattr(gaps, "_UNDER_WAY", 0.0)
    monkeypatch.setattr(order, "_ROUSE_EVERY", 0.0)
    drain(shop)
    assert done(engine) == {"story/1": [2, 3]}


def test_what_left_the_outbox_before_all_knew_of_the_order_is_waited_for_a_moment(
    engine: Engine, plugin: InOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A consumer with an older copy of the registry writes no outcome of what it leaves out."""
    shop = Workshop(engine, loaded(plugin))
    left_out, two, owed, four = record(engine, 1, 1, 1, 1)
    with short_transaction(engine) as connection:
        connection.execute(
            update(outbox_table)
            .where(outbox_table.c.id == owed.id)
            .values(settled_at=clock(10.0), sent_at=clock(10.0))
        )
    shop.dispatch(two)
    shop.dispatch(four)
    drain(shop)
    assert left_out
    assert done(engine) == {}
    monkeypatch.setattr(gaps, "_UNDER_WAY", 0.0)
    monkeypatch.setattr(order, "_ROUSE_EVERY", 0.0)
    shop.runner.run_due()
    assert done(engine) == {"story/1": [2]}


def test_a_gap_that_is_not_filled_is_passed_in_time_with_an_error(
    engine: Engine,
    plugin: InOrder,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(order, "_ROUSE_EVERY", 0.0)
    shop = Workshop(engine, loaded(plugin))
    lost, two, three = record(engine, 1, 1, 1)
    shop.dispatch(two)
    shop.dispatch(three)
    assert lost
    assert plugin.calls == []
    an_hour_later(engine, monkeypatch)
    drain(shop)
    assert done(engine) == {"story/1": [2, 3]}
    assert len([each for each in caplog.messages if "did not come" in each]) == 1
    shop.dispatch(lost)
    assert done(engine) == {"story/1": [2, 3, 1]}
    assert "handled after a later event of its resource" in caplog.text


@pytest.mark.parametrize("policy", ["park", "skip"])
def test_a_row_that_the_reconciler_gave_up_is_passed_in_time(
    engine: Engine, plugin: InOrder, monkeypatch: pytest.MonkeyPatch, policy: str
) -> None:
    shop = Workshop(engine, loaded(plugin, order_on_failure=policy))
    lost, two = record(engine, 1, 1)
    set_state(engine, lost, LOST)
    shop.dispatch(two)
    drain(shop)
    assert done(engine) == {}
    monkeypatch.setattr(order, "_ROUSE_EVERY", 0.0)
    an_hour_later(engine, monkeypatch)
    drain(shop)
    assert done(engine) == {"story/1": [2]}


def test_a_gap_is_passed_in_time_by_whoever_looks_then(
    engine: Engine, plugin: InOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Consumers are replaced now and then, and the reconciler publishes the lost one again."""
    first = Workshop(engine, loaded(plugin))
    lost, two = record(engine, 1, 1)
    first.dispatch(two)
    an_hour_later(engine, monkeypatch)
    set_state(engine, lost, READY)
    first.dispatcher._order._roused_at = float("-inf")
    drain(first)
    assert done(engine) == {}
    set_state(engine, lost, SENT)
    second = Workshop(engine, loaded(plugin), owner="host/1/101")
    drain(second)
    assert done(engine) == {"story/1": [2]}


def test_what_the_broker_was_given_again_just_now_is_waited_for(
    engine: Engine, plugin: InOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Workshop(engine, loaded(plugin))
    lost, two = record(engine, 1, 1)
    shop.dispatch(two)
    an_hour_later(engine, monkeypatch)
    set_state(engine, lost, READY)
    with short_transaction(engine) as connection:
        queue.settle(connection, [lost.id])
    drain(shop)
    assert done(engine) == {}


def test_an_hour_in_which_the_daemon_was_down_does_not_count(
    engine: Engine, plugin: InOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker had the earlier one meanwhile, and delivers it now."""
    before = Workshop(engine, loaded(plugin))
    one, two = record(engine, 1, 1)
    before.dispatch(two)
    with monkeypatch.context() as patched:
        an_hour_later(engine, patched)
    shop = Workshop(engine, loaded(plugin), owner="host/1/101")
    drain(shop)
    assert done(engine) == {}
    shop.dispatch(one)
    drain(shop)
    assert done(engine) == {"story/1": [1, 2]}


def test_dead_letters_that_are_retried_together_do_not_wait_for_long(
    engine: Engine, plugin: InOrder
) -> None:
    """The second one waits again, while the first one fails anew."""
    plugin.body = failing(Reject("no"), 1, 2)
    shop = Workshop(engine, loaded(plugin, order_on_failure="skip"))
    one, two = record(engine, 1, 1)
    shop.dispatch(one)
    shop.dispatch(two)
    assert list(outcomes(engine).values()) == [Outcome.DEAD, Outcome.DEAD]
    plugin.body = failing(Retry(3600), 1)
    with short_transaction(engine) as connection:
        assert replay.retry(connection, Selection(states=("dead",))) == 2
    drain(shop)
    assert done(engine) == {}
    with engine.connect() as connection:
        soon = delivery_table.c.due_at <= clock(backlog._UNTOLD)
        waiting = connection.execute(
            select(delivery_table.c.seq, delivery_table.c.state).where(soon)
        )
        assert waiting.all() == [(2, "retry")]


def test_who_waits_and_was_not_told_is_found(
    engine: Engine, plugin: InOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a death between the commit and the look for those that wait."""
    shop = Workshop(engine, loaded(plugin))
    one, two, three = record(engine, 1, 1, 1)
    shop.dispatch(three)
    shop.dispatch(two)
    with monkeypatch.context() as patched:
        patched.setattr(order.Order, "release", lambda *_: False)
        shop.dispatch(one)
    shop.dispatcher._order._roused_at = time.monotonic()
    assert shop.runner.run_due() == 0
    shop.dispatcher._order._roused_at = float("-inf")
    drain(shop)
    assert done(engine) == {"story/1": [1, 2, 3]}


def test_who_calls_no_plugin_himself_makes_due_what_waits_for_what_he_left_out(
    engine: Engine,
) -> None:
    plugin = loaded(InOrder(methods=("PUT",)), lane="slow")
    shop = Workshop(engine, plugin)
    (post,), (put,) = record(engine, 1, method="POST"), record(engine, 1, method="PUT")
    with short_transaction(engine) as connection:
        park(connection, put, [1], delay=600.0)
    shop.dispatch(post)
    assert shop.runner.run_due() == 0
    with engine.connect() as connection:
        due = delivery_table.c.due_at <= clock()
        assert connection.scalars(select(delivery_table.c.seq).where(due)).all() == [2]
