"""Whatever a plugin does with the session of its group, its neighbours are done once."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from sqlalchemy import Engine, delete, event, insert, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from eventworker.db import short_transaction
from eventworker.event import Event
from eventworker.inbox.claims import Outcome, inbox_table
from tests.helpers.databases import Author, break_rule, deliveries, effect_table, effects, write
from tests.helpers.events import make_event
from tests.helpers.groups import Adder, all_done_once, ends, events, failing, names, on, writer
from tests.helpers.plugins import Workshop, loaded


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
