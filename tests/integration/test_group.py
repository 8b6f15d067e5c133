"""Several events of one plugin in one transaction: each effect once, whatever one of them does."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, delete, event, func, insert, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from eventworker import effects as effect_outbox
from eventworker.db import clock, short_transaction
from eventworker.engine import group
from eventworker.errors import Reject, Retry
from eventworker.event import Event
from eventworker.inbox import registry
from eventworker.inbox.claims import Outcome, inbox_table
from tests.helpers.databases import (
    Author,
    break_rule,
    deliveries,
    effect_table,
    effects,
    outcomes,
    rows,
    write,
)
from tests.helpers.events import make_event
from tests.helpers.plugins import Body, Plugin, Workshop, loaded, time_limits


@pytest.fixture(autouse=True)
def _limits() -> Iterator[None]:
    with time_limits():
        yield


@pytest.fixture(autouse=True)
def longest(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """No group is cut short because the machine is busy, unless the test says when."""

    def cut_at(seconds: float) -> None:
        monkeypatch.setattr(group, "_LONGEST", seconds)

    cut_at(60.0)
    return cut_at


@pytest.fixture
def commits(engine: Engine) -> Iterator[list[int]]:
    """Grows with each transaction that is begun."""
    begun: list[int] = []

    def note(_connection: Any) -> None:
        begun.append(1)

    event.listen(engine, "begin", note)
    yield begun
    event.remove(engine, "begin", note)


class Adder:
    """Adds a new object and sends nothing itself, unless the body does."""

    transactional = True

    def __init__(self, body: Body | None = None) -> None:
        self.name = "adder"
        self.body = body
        self.calls: list[Event] = []

    def enabled(self) -> bool:
        return True

    def handle(self, session: Any, event: Event) -> None:
        self.calls.append(event)
        session.add(Author(name=str(event.resource_id)))
        if self.body is not None:
            self.body(session, event)


def events(count: int) -> list[Event]:
    return [make_event(resource_id=number) for number in range(count)]


def writer(body: Body | None = None, **more: Any) -> Plugin:
    return Plugin("writer", body, transactional=True, **more)


def on(number: int, act: Callable[[Any], None]) -> Body:
    """Does it for one event only."""

    def body(session: Any, event: Event) -> None:
        if event.resource_id == number:
            act(session)

    return body


def failing(error: BaseException) -> Callable[[Any], None]:
    def act(_session: Any) -> None:
        raise error

    return act


def names(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return sorted(connection.scalars(select(Author.name)), key=int)


def ends(engine: Engine, some: list[Event]) -> list[Outcome | None]:
    known = outcomes(engine)
    return [known.get((each.id, 1)) for each in some]


def all_done_once(engine: Engine, some: list[Event]) -> bool:
    with engine.connect() as connection:
        written = sorted(connection.scalars(select(effect_table.c.event_id)))
    return written == sorted(str(each.id) for each in some)


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


def test_an_error_that_the_plugin_swallows_undoes_no_neighbour(engine: Engine) -> None:
    def swallow(session: Any) -> None:
        with pytest.raises(DBAPIError):
            break_rule(session)

    some = events(6)
    shop = Workshop(engine, loaded(writer(on(3, swallow))))
    shop.dispatch_together(*some)
    left = [each for each in some if each.resource_id != 3]
    known = ends(engine, some)
    assert [known[each.resource_id] for each in left] == [Outcome.DONE] * 5
    # On PostgreSQL the error has ended the call's transaction, so there it has failed.
    done = [e for e, end in zip(some, known, strict=True) if end is Outcome.DONE]
    assert all_done_once(engine, done)


def test_a_rollback_of_what_was_sent_undoes_no_neighbour(engine: Engine) -> None:
    def undo(session: Any) -> None:
        session.rollback()
        write(session, "after", "x")

    some = events(6)
    shop = Workshop(engine, loaded(writer(on(3, undo))))
    shop.dispatch_together(*some)
    assert ends(engine, some) == [Outcome.DONE] * 6
    assert effects(engine) == ["after"] + ["writer"] * 5


def test_a_plugin_that_swallows_the_end_of_its_group_commits_nothing(engine: Engine) -> None:
    def swallow(session: Any) -> None:
        try:
            session.rollback()
        except BaseException:
            write(session, "in vain")

    some = events(4)
    shop = Workshop(engine, loaded(writer(on(2, swallow))), refresh=60.0)
    shop.dispatch_together(*some)
    assert ends(engine, some) == [Outcome.DONE] * 4
    assert effects(engine) == ["writer"] * 3


def test_a_rollback_of_what_was_only_added_costs_the_group_nothing(
    engine: Engine, commits: list[int]
) -> None:
    plugin = Adder(on(3, lambda session: session.rollback()))
    shop = Workshop(engine, loaded(plugin), refresh=60.0)
    commits.clear()
    shop.dispatch_together(*events(6))
    assert len(commits) == 2
    assert names(engine) == ["0", "1", "2", "4", "5"]
    assert len(plugin.calls) == 6


@pytest.mark.parametrize("ending", ["commit", "close", "both", "block"])
def test_a_plugin_that_commits_or_closes_by_habit_stays_in_its_group(
    engine: Engine, commits: list[int], ending: str
) -> None:
    def end(session: Any, event: Event) -> None:
        if ending == "block":
            with session.begin():
                session.add(Author(name=str(100 + event.resource_id)))
            return
        session.commit()
        if ending == "both":
            session.close()

    plugin = Adder(end if ending != "close" else lambda session, _: session.flush())
    shop = Workshop(engine, loaded(plugin), refresh=60.0)
    some = events(6)
    commits.clear()
    shop.dispatch_together(*some)
    assert len(commits) == 2
    assert [name for name in names(engine) if int(name) < 100] == [str(n) for n in range(6)]
    assert len(plugin.calls) == 6


def test_a_key_is_there_after_a_commit(engine: Engine) -> None:
    keys: list[int] = []

    def keep(session: Any, event: Event) -> None:
        author = Author(name=f"1{event.resource_id}")
        session.add(author)
        session.commit()
        keys.append(author.id)

    shop = Workshop(engine, loaded(Adder(keep)))
    shop.dispatch_together(*events(4))
    assert len(set(keys)) == 4


def test_a_savepoint_of_the_plugins_own_is_undone_alone(engine: Engine) -> None:
    def try_one(session: Any, event: Event) -> None:
        nested = session.begin_nested()
        write(session, "undone", event.id)
        nested.rollback()

    some = events(4)
    plugin = writer(try_one)
    shop = Workshop(engine, loaded(plugin))
    shop.dispatch_together(*some)
    assert all_done_once(engine, some)
    assert plugin.calls == 4


def test_a_savepoint_left_open_is_kept(engine: Engine) -> None:
    def leave_open(session: Any, event: Event) -> None:
        session.begin_nested()
        write(session, "inside", event.id)

    shop = Workshop(engine, loaded(writer(leave_open)))
    shop.dispatch_together(*events(3))
    assert effects(engine) == ["inside"] * 3 + ["writer"] * 3


def test_two_events_that_cannot_both_be_written_do_not_take_the_others_with_them(
    engine: Engine,
) -> None:
    """The conflict shows when the objects of all are written, and nobody can tell whose it is."""
    some = [*events(6), make_event(resource_id=3)]
    shop = Workshop(engine, loaded(Adder()))
    shop.dispatch_together(*some)
    assert names(engine) == ["0", "1", "2", "3", "4", "5"]
    assert sorted(ends(engine, some)) == [Outcome.DONE] * 6 + [Outcome.RETRY]


def test_an_error_while_objects_are_gathered_keeps_no_half_of_a_call(engine: Engine) -> None:
    seen: set[int] = set()

    def refuse_the_second_time(_session: Session, author: object) -> None:
        if isinstance(author, Author) and author.name in ("2", "102"):
            if author.name == "102" and id(author) in seen:
                raise ValueError("not twice")
            seen.add(id(author))

    def add_another(session: Any, event: Event) -> None:
        session.add(Author(name=str(100 + event.resource_id)))

    some = events(4)
    shop = Workshop(engine, loaded(Adder(add_another)))
    event.listen(Session, "before_attach", refuse_the_second_time)
    try:
        shop.dispatch_together(*some)
    finally:
        event.remove(Session, "before_attach", refuse_the_second_time)
    assert ends(engine, some) == [Outcome.DONE] * 4
    assert names(engine) == ["0", "1", "2", "3", "100", "101", "102", "103"]


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
    plugin = writer(lambda *_: time.sleep(0.11))
    shop = Workshop(engine, loaded(plugin, handler_timeout=1.0), patience=1.15)
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
    shop = Workshop(engine, loaded(plugin, handler_timeout=0.2))
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


class Batcher(Plugin):
    """Has both methods."""

    def __init__(self, body: Callable[[Any, list[Event]], None] | None = None) -> None:
        super().__init__("batcher", transactional=True)
        self.batch_body = body
        self.batches: list[list[Event]] = []

    def handle_batch(self, session: Any, events: list[Event]) -> None:
        self.batches.append(list(events))
        session.execute(
            insert(effect_table), [{"event_id": str(e.id), "what": "batch"} for e in events]
        )
        if self.batch_body is not None:
            self.batch_body(session, events)


def test_a_plugin_may_take_several_events_at_once(engine: Engine, commits: list[int]) -> None:
    plugin = Batcher()
    shop = Workshop(engine, loaded(plugin), refresh=60.0)
    some = events(8)
    shop.dispatch(some[0])
    commits.clear()
    shop.dispatch_together(*some)
    assert len(commits) == 2
    assert (plugin.calls, plugin.batches) == (1, [some[1:]])
    assert all_done_once(engine, some)


def test_a_batch_that_fails_is_done_in_parts_and_the_bad_event_alone(engine: Engine) -> None:
    def refuse(_session: Any, batch: list[Event]) -> None:
        if any(each.resource_id == 5 for each in batch):
            raise ValueError("one of them")

    plugin = Batcher(refuse)
    plugin.body = on(5, failing(ValueError("this one")))
    shop = Workshop(engine, loaded(plugin))
    some = events(8)
    shop.dispatch_together(*some)
    assert all_done_once(engine, [each for each in some if each.resource_id != 5])
    (row,) = deliveries(engine)
    assert (row.event_id, row.attempts, row.error) == (some[5].id, 1, "ValueError: this one")


def test_an_effect_of_a_batch_names_its_event(engine: Engine) -> None:
    refusals: list[str] = []

    def add_effects(session: Any, batch: list[Event]) -> None:
        for each in batch:
            effect_outbox.add(session, {"of": each.resource_id}, event=each)
        for wrong in ({}, {"event": make_event()}):
            try:
                effect_outbox.add(session, {}, **wrong)
            except Exception as error:
                refusals.append(str(error))

    plugin = Batcher(add_effects)
    plugin.perform = lambda effect: None  # type: ignore[attr-defined]
    some = events(3)
    Workshop(engine, loaded(plugin)).dispatch_together(*some)
    added = rows(engine, effect_outbox.table.effect_table)
    assert {row.event_id for row in added} == {each.id for each in some}
    assert len(refusals) == 2
    assert "event=" in refusals[0]


def test_a_batch_plugin_that_is_not_transactional_has_each_event_alone(engine: Engine) -> None:
    plugin = Batcher()
    plugin.transactional = False  # type: ignore[attr-defined]
    shop = Workshop(engine, loaded(plugin))
    some = events(3)
    shop.dispatch_together(*some)
    assert (plugin.calls, plugin.batches) == (3, [])


def test_a_row_that_appears_meanwhile_breaks_the_group_and_not_the_promise(engine: Engine) -> None:
    """Another consumer has a duplicate of one of the events; on SQLite nobody can write then."""
    if engine.dialect.name == "sqlite":
        pytest.skip("a group holds the only write lock")
    some = events(4)
    plugin = writer()
    shop = Workshop(engine, loaded(plugin))
    other = Workshop(engine, loaded(writer()))
    plugin.body = on(0, lambda _: other.dispatch(events(1)[0]))  # no conflict, and no deadlock
    shop.dispatch_together(*some)
    assert ends(engine, some) == [Outcome.DONE] * 4
    assert plugin.calls == 4


@pytest.mark.parametrize("kind", ["adder", "writer"])
def test_a_transaction_that_ends_underneath_a_group_takes_no_neighbour_with_it(
    engine: Engine, kind: str
) -> None:
    """A rollback by the driver, or by SQLite itself, which does so when its disk is full: what
    follows must not be written outside of any transaction."""

    def undo(session: Any) -> None:
        session.connection().connection.rollback()

    plugin = Adder(on(2, undo)) if kind == "adder" else writer(on(2, undo))
    some = events(6)
    shop = Workshop(engine, loaded(plugin, max_attempts=1))
    shop.dispatch_together(*some)
    left = [each for each in some if each.resource_id != 2]
    assert ends(engine, left) == [Outcome.DONE] * 5
    if kind == "adder":
        assert [n for n in names(engine) if n != "2"] == ["0", "1", "3", "4", "5"]
    else:
        assert all_done_once(engine, left)
    (row,) = deliveries(engine)
    assert (row.event_id, row.state) == (some[2].id, "dead")


@pytest.mark.parametrize("kind", ["adder", "writer"])
def test_a_commit_through_the_driver_does_not_take_neighbours_for_done(
    engine: Engine, kind: str
) -> None:
    """Their inbox rows are written already. Alone it can do what it will."""
    if engine.dialect.name == "sqlite":
        pytest.skip("the driver's commit cannot be replaced there")

    def commit(session: Any) -> None:
        session.connection().connection.driver_connection.commit()

    plugin = Adder(on(2, commit)) if kind == "adder" else writer(on(2, commit))
    some = events(6)
    shop = Workshop(engine, loaded(plugin, max_attempts=1))
    shop.dispatch_together(*some)
    left = [each for each in some if each.resource_id != 2]
    assert ends(engine, left) == [Outcome.DONE] * 5
    if kind == "adder":
        assert [n for n in names(engine) if n != "2"] == ["0", "1", "3", "4", "5"]
    else:
        with engine.connect() as connection:
            written = list(connection.scalars(select(effect_table.c.event_id)))
        assert sorted(written) == sorted(str(each.id) for each in some)
    with engine.connect() as connection:
        assert "commit" not in vars(connection.connection.driver_connection)


def test_a_connection_that_is_lost_in_a_group_costs_nothing_but_time(engine: Engine) -> None:
    if engine.dialect.name != "postgresql":
        pytest.skip("killed from outside on PostgreSQL only")
    killed: list[int] = []

    def kill(session: Any) -> None:
        if not killed:
            killed.append(session.scalar(text("SELECT pg_backend_pid()")))
            with engine.connect() as other:
                other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": killed[0]})
            session.execute(text("SELECT 1"))

    some = events(5)
    shop = Workshop(engine, loaded(writer(on(3, kill))))
    shop.dispatch_together(*some)
    assert killed
    assert all_done_once(engine, some)
    assert deliveries(engine) == []


def test_a_group_that_breaks_says_so_in_the_log(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "eventworker.engine.group")
    shop = Workshop(engine, loaded(writer(on(1, failing(ValueError("because"))))))
    shop.dispatch_together(*events(3))
    assert "3 events are done anew in smaller groups: because" in caplog.text


def test_deleting_an_object_in_vain_and_rolling_back_keeps_the_group(engine: Engine) -> None:
    def forget(session: Any) -> None:
        session.rollback()

    shop = Workshop(engine, loaded(Adder(on(0, forget))))
    some = events(2)
    shop.dispatch_together(*some)
    assert names(engine) == ["1"]
    with short_transaction(engine) as connection:
        connection.execute(delete(inbox_table))
    with pytest.raises(IntegrityError), short_transaction(engine) as connection:
        connection.execute(insert(Author).values(name="1"))
