"""Several events of one plugin in one transaction: each effect once, whatever one of them does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, event, func, select

from eventworker import effects as effect_outbox
from eventworker.db import clock, short_transaction
from eventworker.errors import Reject, Retry
from eventworker.event import Event
from eventworker.inbox import registry
from eventworker.inbox.claims import Outcome
from tests.helpers.databases import Author, deliveries, outcomes, rows
from tests.helpers.groups import Adder, all_done_once, ends, events, failing, names, on, writer
from tests.helpers.plugins import Plugin, Workshop, loaded


def test_events_that_wait_together_share_one_transaction(
    engine: Engine, commits: list[int]
) -> None:
    plugin = Adder()
    shop = Workshop(engine, loaded(plugin), refresh=60.0)
    some = events(20)
    commits.clear()
    shop.dispatch_together(*some)
    assert len(commits) == 2  # a look at the registry, and the group
    assert names(engine) == [str(number) for number in range(20)]
    assert ends(engine, some) == [Outcome.DONE] * 20


def test_new_objects_of_several_calls_are_written_by_one_statement(engine: Engine) -> None:
    shop = Workshop(engine, loaded(Adder()))
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if "INTO author" in statement:
            sent.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    shop.dispatch_together(*events(10))
    event.remove(engine, "before_cursor_execute", note)
    # Of several rows SQLite would not say which key is whose.
    assert len(sent) == (10 if engine.dialect.name == "sqlite" else 1)


def test_a_call_finds_what_the_calls_before_it_have_added(engine: Engine) -> None:
    found: list[int] = []

    def count(session: Any, _event: Event) -> None:
        found.append(session.scalar(select(func.count()).select_from(Author)))

    shop = Workshop(engine, loaded(Adder(count)))
    shop.dispatch_together(*events(5))
    assert found == [1, 2, 3, 4, 5]


def test_a_call_does_not_see_the_pending_objects_of_another(engine: Engine) -> None:
    seen: list[int] = []
    shop = Workshop(engine, loaded(Adder(lambda session, _: seen.append(len(session.new)))))
    shop.dispatch_together(*events(5))
    assert seen == [1] * 5


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), Reject("never")])
def test_a_call_that_fails_before_it_has_sent_anything_fails_alone(
    engine: Engine, error: BaseException
) -> None:
    plugin = Adder(on(3, failing(error)))
    shop = Workshop(engine, loaded(plugin))
    some = events(6)
    shop.dispatch_together(*some)
    assert names(engine) == ["0", "1", "2", "4", "5"]
    expected = [Outcome.DONE] * 6
    expected[3] = Outcome.DEAD if isinstance(error, Reject) else Outcome.RETRY
    assert ends(engine, some) == expected
    assert len(plugin.calls) == 6


def test_a_call_that_fails_after_it_has_sent_something_leaves_nothing_of_itself(
    engine: Engine,
) -> None:
    plugin = writer(on(3, failing(ValueError("no"))))
    shop = Workshop(engine, loaded(plugin))
    some = events(6)
    shop.dispatch_together(*some)
    assert all_done_once(engine, [each for each in some if each.resource_id != 3])
    (row,) = deliveries(engine)
    assert (row.event_id, row.attempts, row.error) == (some[3].id, 1, "ValueError: no")


def test_all_calls_may_fail(engine: Engine) -> None:
    some = events(4)
    shop = Workshop(engine, loaded(Adder(lambda *_: failing(ValueError("no"))(None))))
    shop.dispatch_together(*some)
    assert names(engine) == []
    assert ends(engine, some) == [Outcome.RETRY] * 4


def test_a_retry_with_a_delay_is_kept(engine: Engine) -> None:
    some = events(3)
    shop = Workshop(engine, loaded(Adder(on(1, failing(Retry(500.0))))))
    shop.dispatch_together(*some)
    with engine.connect() as connection:
        now = connection.scalar(select(clock()))
    (row,) = deliveries(engine)
    assert 450 < (row.due_at - now).total_seconds() <= 500


def test_what_was_handled_before_is_not_handled_again(engine: Engine) -> None:
    plugin = writer()
    shop = Workshop(engine, loaded(plugin))
    some = events(6)
    shop.dispatch_together(*some[1:3])
    shop.dispatch(some[4])
    shop.dispatch_together(*some)
    assert all_done_once(engine, some)
    assert plugin.calls == 6


def test_leaving_one_out_of_a_group_keeps_the_rows_of_what_was_handled_before(
    engine: Engine,
) -> None:
    """The rest of a group that is cut short, and what failed, lose their inbox rows: not those
    that an earlier transaction has written."""
    some = events(5)
    plugin = Adder()
    shop = Workshop(engine, loaded(plugin))
    shop.dispatch_together(*some[3:])
    plugin.body = on(1, failing(ValueError("no")))
    shop.dispatch_together(*some)
    assert ends(engine, some) == [Outcome.DONE, Outcome.RETRY] + [Outcome.DONE] * 3
    assert names(engine) == ["0", "2", "3", "4"]


def test_the_same_event_twice_at_once_is_handled_once(engine: Engine) -> None:
    plugin = writer()
    shop = Workshop(engine, loaded(plugin))
    one, other = events(2)
    shop.dispatch_together(one, other, one)
    assert shop.runner.run_due() == 0
    assert all_done_once(engine, [one, other])
    assert deliveries(engine) == []


def test_a_redelivered_event_is_alone(engine: Engine) -> None:
    plugin = writer()
    shop = Workshop(engine, loaded(plugin))
    some = events(4)
    parcels = [shop.delivery(each, redelivered=each is some[1]) for each in some]
    assert shop.dispatcher.dispatch(*parcels)
    assert ends(engine, some)[1] is Outcome.PENDING
    assert plugin.calls == 3
    assert shop.runner.run_due() == 1
    assert all_done_once(engine, some)


@pytest.mark.parametrize("declared", [{}, {"transactional": True, "ordered": True}])
def test_a_plugin_that_does_not_say_so_has_each_event_alone(
    engine: Engine, commits: list[int], declared: dict[str, bool]
) -> None:
    plugin = Plugin("alone", **declared)
    shop = Workshop(engine, loaded(plugin), refresh=60.0)
    assert shop.dispatcher.appetite == 1
    commits.clear()
    shop.dispatch_together(*events(4))
    assert len(commits) >= 4
    assert shop.dispatcher.appetite == 1


def test_plugins_of_both_kinds_get_every_event(engine: Engine) -> None:
    def fail_once(session: Any, event: Event) -> None:
        if event.resource_id == 2:
            raise ValueError("no")

    alone, shared = Plugin("alone", fail_once), writer()
    shop = Workshop(engine, loaded(alone), loaded(shared))
    some = events(5)
    shop.dispatch_together(*some)
    known = outcomes(engine)
    assert [known[each.id, 2] for each in some] == [Outcome.DONE] * 5
    assert [known[each.id, 1] for each in some].count(Outcome.DONE) == 4


def test_a_paused_plugins_share_is_parked(engine: Engine) -> None:
    shop = Workshop(engine, loaded(writer()))
    some = events(3)
    with short_transaction(engine) as connection:
        registry.pause(connection, "writer", "a test")
    shop.dispatch_together(*some)
    assert ends(engine, some) == [Outcome.PENDING] * 3


def test_a_plugin_that_is_off_is_noted_for_all_of_them(engine: Engine) -> None:
    shop = Workshop(engine, loaded(writer()))
    shop.register([], ["writer"])
    some = events(3)
    shop.dispatch_together(*some)
    assert ends(engine, some) == [Outcome.SKIPPED] * 3


def test_bytes_that_are_no_event_do_not_hold_up_their_neighbours(engine: Engine) -> None:
    shop = Workshop(engine, loaded(writer()))
    some = events(2)
    shop.dispatch_together(some[0], b"no event", some[1])
    assert all_done_once(engine, some)


def test_a_call_that_is_slow_ends_its_group_and_the_rest_comes_after_it(
    engine: Engine, longest: Callable[[float], None]
) -> None:
    longest(0.1)
    plugin = writer(lambda *_: time.sleep(0.06))
    shop = Workshop(engine, loaded(plugin))
    some = events(6)
    shop.dispatch_together(*some)
    assert all_done_once(engine, some)
    assert plugin.calls == 6


def test_what_does_not_fit_into_the_time_is_left_to_the_backlog(
    engine: Engine, longest: Callable[[float], None]
) -> None:
    longest(0.1)
    plugin = writer(lambda *_: time.sleep(0.7))
    shop = Workshop(engine, loaded(plugin, handler_timeout=5.0), patience=7.0)
    some = events(5)
    shop.dispatch_together(*some)
    known = ends(engine, some)
    assert known.count(Outcome.PENDING) >= 2
    assert known[0] is Outcome.DONE
    while shop.runner.run_due():
        pass
    assert all_done_once(engine, some)


def test_a_call_that_hangs_has_its_time_limit_and_its_neighbours_are_done(engine: Engine) -> None:
    plugin = writer(on(2, lambda _: time.sleep(60)))
    shop = Workshop(engine, loaded(plugin, handler_timeout=1.0))
    some = events(4)
    shop.dispatch_together(*some)
    assert all_done_once(engine, [each for each in some if each.resource_id != 2])
    (row,) = deliveries(engine)
    assert row.error.startswith("HandlerTimeout")


def test_an_effect_belongs_to_the_event_of_its_call(engine: Engine) -> None:
    def add_effect(session: Any, event: Event) -> None:
        effect_outbox.add(session, {"of": event.resource_id})

    plugin = writer(add_effect)
    plugin.perform = lambda effect: None  # type: ignore[attr-defined]
    some = events(3)
    Workshop(engine, loaded(plugin)).dispatch_together(*some)
    added = rows(engine, effect_outbox.table.effect_table)
    of = {row.event_id: row.payload for row in added}
    assert [f'{{"of":{each.resource_id}}}' for each in some] == [of[each.id] for each in some]
