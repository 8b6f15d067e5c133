"""Order per resource: the gate that an ordered plugin's events pass, on each database."""

import re
from typing import Any

import pytest
from sqlalchemy import Engine, delete, func, insert, select, update
from sqlalchemy import event as sqlalchemy_event

from eventworker.db import clock, short_transaction
from eventworker.engine import order
from eventworker.errors import Reject, Retry
from eventworker.event import Event
from eventworker.inbox import registry
from eventworker.inbox.backlog import delivery_table
from eventworker.inbox.claims import Outcome
from eventworker.inbox.cursor import cursor_table
from eventworker.inbox.operations import replay
from eventworker.inbox.operations.blocked import Blocked, blocked
from eventworker.inbox.operations.selection import Selection
from eventworker.outbox.table import outbox_table, row_of
from eventworker.transport import Message
from tests.helpers.databases import deliveries, outcomes
from tests.helpers.events import make_event
from tests.helpers.ordered import InOrder, done, drain, failing, record
from tests.helpers.plugins import Plugin, Workshop, loaded

BOTH = pytest.mark.parametrize("driver", ["rabbit", "sql"])


def ends(engine: Engine) -> list[Outcome]:
    return sorted(outcomes(engine).values())


@BOTH
def test_an_event_that_comes_early_waits_for_those_before_it(
    engine: Engine, plugin: InOrder, driver: str
) -> None:
    shop = Workshop(engine, loaded(plugin), driver=driver)
    one, two, three, other = record(engine, 1, 1, 1, 2, sent=driver == "rabbit")
    shop.dispatch(three)
    shop.dispatch(two)
    assert plugin.calls == []
    assert [(row.state, row.attempts) for row in deliveries(engine)] == [("pending", 0)] * 2
    drain(shop)
    assert plugin.calls == []
    shop.dispatch(other)
    shop.dispatch(one)
    drain(shop)
    assert done(engine) == {"story/1": [1, 2, 3], "story/2": [1]}
    assert deliveries(engine) == []


def test_events_in_order_leave_no_row_in_the_backlog(engine: Engine, plugin: InOrder) -> None:
    shop = Workshop(engine, loaded(plugin))
    for event in record(engine, *[1] * 5):
        shop.dispatch(event)
        assert deliveries(engine) == []
    assert done(engine) == {"story/1": [1, 2, 3, 4, 5]}


def test_a_long_chain_that_waited_is_done_in_a_few_rounds(engine: Engine, plugin: InOrder) -> None:
    shop = Workshop(engine, loaded(plugin))
    first, *others = record(engine, *[1] * 50)
    for event in reversed(others):
        shop.dispatch(event)
    shop.dispatch(first)
    rounds = 0
    while shop.runner.run_due():
        rounds += 1
    assert rounds <= 6
    assert done(engine) == {"story/1": list(range(1, 51))}
    assert len(plugin.calls) == 50


@BOTH
def test_events_wait_while_the_one_before_is_retried(
    engine: Engine, plugin: InOrder, driver: str
) -> None:
    plugin.body = failing(Retry(3600), 1)
    shop = Workshop(engine, loaded(plugin), driver=driver)
    one, two, other = record(engine, 1, 1, 2, sent=driver == "rabbit")
    for event in (one, two, other):
        shop.dispatch(event)
    drain(shop)
    assert done(engine) == {"story/2": [1]}
    plugin.body = None
    with short_transaction(engine) as connection:
        replay.retry(connection, Selection(states=("retry",)))
    drain(shop)
    assert done(engine) == {"story/1": [1, 2], "story/2": [1]}


@pytest.mark.parametrize("verb", [replay.retry, replay.discard])
def test_events_wait_behind_a_dead_letter_until_somebody_decides(
    engine: Engine, plugin: InOrder, verb: Any
) -> None:
    plugin.body = failing(Reject("no"), 1)
    shop = Workshop(engine, loaded(plugin))
    one, two, three = record(engine, 1, 1, 1)
    for event in (one, two, three):
        shop.dispatch(event)
    drain(shop)
    assert done(engine) == {}
    plugin.body = None
    with short_transaction(engine) as connection:
        assert verb(connection, Selection(states=("dead",))) == 1
    drain(shop)
    handled = [1, 2, 3] if verb is replay.retry else [2, 3]
    assert done(engine) == {"story/1": handled}
    assert deliveries(engine) == []


def test_a_dead_letter_holds_up_its_resource_when_the_outbox_has_forgotten_it(
    engine: Engine, plugin: InOrder
) -> None:
    plugin.body = failing(Reject("no"), 1)
    shop = Workshop(engine, loaded(plugin))
    one, two = record(engine, 1, 1)
    shop.dispatch(one)
    with short_transaction(engine) as connection:
        connection.execute(delete(outbox_table).where(outbox_table.c.id == one.id))
    shop.dispatch(two)
    drain(shop)
    assert done(engine) == {}


def test_with_skip_events_wait_through_the_attempts_and_pass_the_dead_letter(
    engine: Engine, plugin: InOrder
) -> None:
    plugin.body = failing(ValueError("no"), 1)
    shop = Workshop(engine, loaded(plugin, order_on_failure="skip", max_attempts=2, backoff=3600.0))
    one, two, three = record(engine, 1, 1, 1)
    for event in (one, two, three):
        shop.dispatch(event)
    drain(shop)
    assert done(engine) == {}
    with short_transaction(engine) as connection:
        connection.execute(
            update(delivery_table).where(delivery_table.c.state == "retry").values(due_at=clock())
        )
    drain(shop)
    assert done(engine) == {"story/1": [2, 3]}
    # A dead letter that is retried then runs late, by the operator's word.
    plugin.body = None
    with short_transaction(engine) as connection:
        replay.retry(connection, Selection(states=("dead",)))
    drain(shop)
    assert done(engine) == {"story/1": [2, 3, 1]}


def test_what_filters_and_conditions_leave_out_holds_up_nothing(engine: Engine) -> None:
    plugin = InOrder(methods=("PUT",), wants=lambda event: event.status == 200)
    shop = Workshop(engine, loaded(plugin))
    (post,) = record(engine, 1, method="POST")
    (failed,) = record(engine, 1, method="PUT", status=500)
    (put,) = record(engine, 1, method="PUT", status=200)
    shop.dispatch(put)
    shop.dispatch(post)
    drain(shop)
    assert done(engine) == {}
    shop.dispatch(failed)
    drain(shop)
    assert done(engine) == {"story/1": [3]}
    assert ends(engine) == [Outcome.DONE, Outcome.SKIPPED, Outcome.SKIPPED]


def test_a_filter_moves_the_cursor_along(engine: Engine) -> None:
    plugin = InOrder(methods=("PUT",))
    shop = Workshop(engine, loaded(plugin))
    for event in record(engine, *[1] * 3, method="POST"):
        shop.dispatch(event)
    with engine.connect() as connection:
        assert connection.scalar(select(cursor_table.c.seq)) == 3


def test_what_an_absent_hosts_filter_leaves_out_holds_up_nothing(engine: Engine) -> None:
    """The plugin is in another lane, so this process only parks for it; its filter is known."""
    plugin = InOrder(methods=("PUT",))
    shop = Workshop(engine, loaded(plugin, lane="slow"))
    (post,), (put,) = record(engine, 1, method="POST"), record(engine, 1, method="PUT")
    shop.dispatch(post)
    shop.dispatch(put)
    assert ends(engine) == [Outcome.PENDING, Outcome.SKIPPED]


def test_a_plugin_without_order_pays_no_statement(engine: Engine) -> None:
    shop = Workshop(engine, loaded(Plugin("a")), refresh=60.0)

    def statements(event: Event) -> list[str]:
        sent: list[str] = []

        def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
            sent.append(re.sub("_[0-9a-f]{16}$", "", statement))  # a savepoint's random name

        sqlalchemy_event.listen(engine, "before_cursor_execute", note)
        shop.dispatch(event)
        sqlalchemy_event.remove(engine, "before_cursor_execute", note)
        return sent

    shop.dispatch(make_event())
    (placed,) = record(engine, 1)
    assert statements(placed) == statements(make_event())


def test_late_duplicates_call_nobody(engine: Engine, plugin: InOrder) -> None:
    shop = Workshop(engine, loaded(plugin))
    events = record(engine, *[1] * 3)
    for event in (*events, *events):
        shop.dispatch(event)
    for event in events:
        shop.dispatch(event, redelivered=True)
    drain(shop)
    assert done(engine) == {"story/1": [1, 2, 3]}
    assert len(plugin.calls) == 3


def test_redelivered_events_go_through_the_backlog_in_order(
    engine: Engine, plugin: InOrder
) -> None:
    shop = Workshop(engine, loaded(plugin))
    events = record(engine, *[1] * 5)
    for event in reversed(events):
        shop.dispatch(event, redelivered=True)
    drain(shop)
    assert done(engine) == {"story/1": [1, 2, 3, 4, 5]}


def test_events_without_a_place_are_handled_as_they_come_and_counted(
    engine: Engine, plugin: InOrder, caplog: pytest.LogCaptureFixture
) -> None:
    shop = Workshop(engine, loaded(plugin))
    for _ in range(3):
        shop.dispatch(make_event())
    assert len(plugin.calls) == 3
    told = [each for each in caplog.messages if "is ordered" in each]
    assert len(told) == 1  # the next line would come a minute later


@pytest.mark.parametrize("seq", [1, 3, 2**62])
def test_a_place_that_the_outbox_does_not_know_is_none(
    engine: Engine, plugin: InOrder, seq: int
) -> None:
    shop = Workshop(engine, loaded(plugin))
    forged = Event(method="PUT", resource="story", resource_id=1, seq=seq)
    shop.dispatch(forged)
    assert [event.seq for event in plugin.calls] == [None]
    one, two = record(engine, 1, 1)
    shop.dispatch(one)
    shop.dispatch(two)
    assert [event.seq for event in plugin.calls] == [None, 1, 2]


def test_a_forged_place_is_not_kept_for_a_plugin_that_becomes_ordered(engine: Engine) -> None:
    before = Workshop(engine, loaded(Plugin("inorder")), patience=0.0)
    before.dispatch(Event(method="PUT", resource="story", resource_id=1, seq=2**62))
    plugin = InOrder()
    shop = Workshop(engine, loaded(plugin))
    drain(shop)
    one, two = record(engine, 1, 1)
    shop.dispatch(two)
    shop.dispatch(one)
    drain(shop)
    assert [event.seq for event in plugin.calls] == [None, 1, 2]


def test_a_call_that_killed_its_process_is_waited_for(engine: Engine, plugin: InOrder) -> None:
    from eventworker.inbox import estate
    from eventworker.inbox.backlog import Failure

    shop = Workshop(engine, loaded(plugin))
    one, two = record(engine, 1, 1)
    with short_transaction(engine) as connection:
        estate.blame(connection, one.id, 1, Failure("killed", delay=0.0), "host/1/99")
    shop.dispatch(two)
    drain(shop)
    assert done(engine) == {}
    shop.dispatch(one, redelivered=True)
    assert {row.seq for row in deliveries(engine)} == {1, 2}
    drain(shop)
    assert done(engine) == {"story/1": [1, 2]}


def test_what_was_off_or_paused_does_not_change_the_order(engine: Engine, plugin: InOrder) -> None:
    shop = Workshop(engine, loaded(plugin))
    one, two, three, four = record(engine, 1, 1, 1, 1)
    shop.dispatch(one)
    shop.register([], off=[plugin.name])
    shop.dispatch(two)
    shop.register([plugin.name])
    with short_transaction(engine) as connection:
        registry.pause(connection, plugin.name)
    shop.dispatch(four)
    shop.dispatch(three)
    with short_transaction(engine) as connection:
        registry.resume(connection, plugin.name)
    drain(shop)
    assert done(engine) == {"story/1": [1, 3, 4]}


def test_two_processes_call_with_one_resource_in_turn(engine: Engine, plugin: InOrder) -> None:
    shops = [Workshop(engine, loaded(plugin), owner=f"host/1/{pid}") for pid in (1, 2)]
    events = record(engine, *[1, 2] * 10)
    for number, event in enumerate(reversed(events)):
        shops[number % 2].dispatch(event)
    drain(*shops)
    assert done(engine) == {"story/1": list(range(1, 11)), "story/2": list(range(1, 11))}


def test_a_call_that_lost_its_turn_leaves_no_effect(engine: Engine, plugin: InOrder) -> None:
    """Somebody else moves the cursor while this call runs, as if the look had been wrong."""
    (one,) = record(engine, 1)
    shop = Workshop(engine, loaded(plugin))

    def overtake() -> None:
        with short_transaction(engine) as connection:
            connection.execute(
                insert(cursor_table).values(plugin=1, stream="story/1", seq=7, at=clock())
            )

    look = shop.dispatcher._order.in_turn

    def look_and_be_overtaken(*arguments: Any) -> Any:
        claim = look(*arguments)
        if isinstance(claim, order.InTurn):
            overtake()
        return claim

    shop.dispatcher._order.in_turn = look_and_be_overtaken  # type: ignore[method-assign]
    shop.dispatch(one)
    # It looked again, found that it is late, and was handled once.
    assert done(engine) == {"story/1": [1]}
    with engine.connect() as connection:
        assert connection.scalar(select(cursor_table.c.seq)) == 7


def test_a_call_that_only_waits_is_blamed_for_nothing(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process may be killed while it looks, or lingers, or writes down that the event waits."""
    shop = Workshop(engine, loaded(InOrder(wants=lambda event: True)))
    one, two = record(engine, 1, 1)
    blamed: list[Any] = []

    def observe(name: str) -> None:
        method = getattr(order.Order, name)

        def observed(*arguments: Any) -> Any:
            blamed.append(shop.slot.read())
            return method(*arguments)

        monkeypatch.setattr(order.Order, name, observed)

    for name in ("in_turn", "comes_soon", "check_again"):
        observe(name)
    shop.dispatch(two)
    assert blamed == [None] * 3
    assert shop.slot.read() is None
    shop.dispatch(two, redelivered=True)
    shop.dispatch(one)
    drain(shop)
    assert done(engine) == {"story/1": [1, 2]}


def test_an_event_that_waits_keeps_its_place_over_a_restart(
    engine: Engine, plugin: InOrder
) -> None:
    one, two = record(engine, 1, 1)
    Workshop(engine, loaded(plugin)).dispatch(two)
    shop = Workshop(engine, loaded(plugin), owner="host/1/101")
    drain(shop)
    assert done(engine) == {}
    shop.dispatch(one)
    drain(shop)
    assert done(engine) == {"story/1": [1, 2]}


def test_a_place_of_another_outbox_is_not_recorded(engine: Engine) -> None:
    with short_transaction(engine) as connection:
        connection.execute(insert(outbox_table), row_of(Message.of(make_event(seq=None))))
        from eventworker import outbox

        outbox.record(connection, Event(method="PUT", resource="story", resource_id=1, seq=9))
        assert connection.scalar(select(func.max(outbox_table.c.seq))) is None


def test_an_operator_is_told_what_waits_behind_a_dead_letter(
    engine: Engine, plugin: InOrder
) -> None:
    plugin.body = failing(Reject("no"), 1)
    shop = Workshop(engine, loaded(plugin))
    for event in record(engine, 1, 1, 1, 2):
        shop.dispatch(event)
    with short_transaction(engine) as connection:
        (found,) = blocked(connection)
    (dead,) = [row for row in deliveries(engine) if row.state == "dead"]
    assert found == Blocked(dead.id, "inorder", "story/1", 2)
