"""A plugin's effect and its inbox row stand together, whatever the plugin does to its session."""

from typing import Any

import pytest
from sqlalchemy import Engine, select, text
from sqlalchemy.exc import DBAPIError

from eventworker.errors import HandlerTimeout
from tests.helpers.calls import Handled
from tests.helpers.databases import Author, effect_table, write


@pytest.fixture
def handled(engine: Engine) -> Handled:
    return Handled(engine)


class Failed(Exception):
    pass


def write_and_fail(session: Any, what: str) -> None:
    write(session, what)
    raise Failed


def test_effect_and_inbox_row_are_committed_together(handled: Handled) -> None:
    assert handled.by(lambda session: write(session, "a"))
    assert handled.effects == ["a"]
    assert handled.is_done


def test_an_event_that_is_done_is_not_handled_again(handled: Handled) -> None:
    called: list[str] = []

    def call(session: Any) -> None:
        called.append("once")
        write(session, "a")

    assert handled.by(call)
    assert not handled.by(call)
    assert called == ["once"]
    assert handled.effects == ["a"]


@pytest.mark.parametrize("error", [Failed, SystemExit, KeyboardInterrupt, HandlerTimeout])
def test_a_call_that_raises_leaves_nothing(handled: Handled, error: type[BaseException]) -> None:
    def call(session: Any) -> None:
        write(session, "a")
        raise error

    with pytest.raises(error):
        handled.by(call)
    assert handled.left_nothing
    assert handled.by(lambda session: write(session, "second try"))
    assert handled.effects == ["second try"]


def test_a_commit_before_the_failure_does_not_keep_the_effect(handled: Handled) -> None:
    def call(session: Any) -> None:
        write(session, "a")
        session.commit()
        write(session, "b")
        session.commit()
        raise Failed

    with pytest.raises(Failed):
        handled.by(call)
    assert handled.left_nothing


def test_rollback_goes_back_to_the_last_commit(handled: Handled) -> None:
    def call(session: Any) -> None:
        write(session, "kept")
        session.commit()
        write(session, "undone")
        session.rollback()
        write(session, "undone, too")
        session.rollback()
        write(session, "last")

    assert handled.by(call)
    assert handled.effects == ["kept", "last"]
    assert handled.is_done


def test_rollback_without_a_commit_goes_back_to_the_start(handled: Handled) -> None:
    def call(session: Any) -> None:
        write(session, "undone")
        session.rollback()
        write(session, "kept")

    assert handled.by(call)
    assert handled.effects == ["kept"]
    assert handled.is_done


@pytest.mark.parametrize("times", [1, 2, 3])
def test_rollback_before_anything_was_done_changes_nothing(handled: Handled, times: int) -> None:
    def call(session: Any) -> None:
        for _ in range(times):
            session.rollback()
        write(session, "kept")

    assert handled.by(call)
    assert handled.effects == ["kept"]
    assert handled.is_done


def test_rolling_everything_back_still_counts_as_handled(handled: Handled) -> None:
    def call(session: Any) -> None:
        write(session, "undone")
        session.rollback()
        session.rollback()

    assert handled.by(call)
    assert handled.effects == []
    assert handled.is_done


def test_objects_that_were_added_but_not_flushed_are_forgotten_by_a_rollback(
    handled: Handled,
) -> None:
    def call(session: Any) -> None:
        session.add(Author(id=1, name="undone"))
        session.rollback()
        session.add(Author(id=2, name="kept"))

    assert handled.by(call)
    with handled.engine.connect() as connection:
        assert connection.scalars(select(Author.name)).all() == ["kept"]
    assert handled.is_done


def test_objects_are_flushed_at_the_end_and_can_be_used_after_a_commit(handled: Handled) -> None:
    def call(session: Any) -> None:
        author = Author(id=1, name="first")
        session.add(author)
        session.commit()
        author.name = author.name + " changed"

    assert handled.by(call)
    with handled.engine.connect() as connection:
        assert connection.scalars(select(Author.name)).all() == ["first changed"]


def test_a_block_of_begin_is_kept_at_its_end_and_undone_by_an_error(handled: Handled) -> None:
    def call(session: Any) -> None:
        with session.begin():
            write(session, "kept")
        with pytest.raises(Failed), session.begin():
            write_and_fail(session, "undone")
        with session.begin() as same:
            write(same, "kept, too")

    assert handled.by(call)
    assert handled.effects == ["kept", "kept, too"]
    assert handled.is_done


def test_a_block_that_fails_as_the_first_thing_undoes_itself_alone(handled: Handled) -> None:
    def call(session: Any) -> None:
        with pytest.raises(Failed), session.begin():
            raise Failed
        write(session, "kept")

    assert handled.by(call)
    assert handled.effects == ["kept"]
    assert handled.is_done


def test_a_plugins_own_savepoint_is_undone_alone(handled: Handled) -> None:
    def call(session: Any) -> None:
        write(session, "before")
        with pytest.raises(Failed), session.begin_nested():
            write_and_fail(session, "undone")
        with session.begin_nested():
            write(session, "inside")
        write(session, "after")

    assert handled.by(call)
    assert handled.effects == ["after", "before", "inside"]
    assert handled.is_done


def test_commit_and_rollback_reach_through_a_plugins_open_savepoints(handled: Handled) -> None:
    def call(session: Any) -> None:
        session.begin_nested()
        write(session, "kept")
        session.begin_nested()
        write(session, "kept, too")
        session.commit()
        session.begin_nested()
        write(session, "undone")
        session.begin_nested()
        write(session, "undone, too")
        session.rollback()

    assert handled.by(call)
    assert handled.effects == ["kept", "kept, too"]
    assert handled.is_done


def test_a_savepoint_that_is_left_open_is_part_of_the_effect(handled: Handled) -> None:
    def call(session: Any) -> None:
        write(session, "before")
        session.begin_nested()
        write(session, "inside")

    assert handled.by(call)
    assert handled.effects == ["before", "inside"]
    assert handled.is_done


def test_close_undoes_what_was_not_committed_and_the_session_goes_on(handled: Handled) -> None:
    def call(session: Any) -> None:
        session.close()
        write(session, "kept")
        session.commit()
        write(session, "undone")
        session.close()
        assert session.scalars(select(effect_table.c.what)).all() == ["kept"]
        write(session, "last")

    assert handled.by(call)
    assert handled.effects == ["kept", "last"]
    assert handled.is_done


def test_what_follows_a_commit_and_a_close_can_be_undone_alone(handled: Handled) -> None:
    def call(session: Any) -> None:
        write(session, "kept")
        session.commit()
        session.close()
        write(session, "undone")
        session.rollback()
        session.close()
        session.rollback()

    assert handled.by(call)
    assert handled.effects == ["kept"]
    assert handled.is_done


def test_a_with_block_around_the_session_behaves_like_any_sessions(handled: Handled) -> None:
    def call(session: Any) -> None:
        with session:
            write(session, "kept")
            session.commit()
            write(session, "undone")

    assert handled.by(call)
    assert handled.effects == ["kept"]
    assert handled.is_done


def test_what_a_plugin_commits_is_not_seen_elsewhere_before_its_end(handled: Handled) -> None:
    seen: list[list[str]] = []

    def call(session: Any) -> None:
        write(session, "a")
        session.commit()
        seen.append(handled.effects)

    assert handled.by(call)
    assert seen == [[]]
    assert handled.effects == ["a"]


def test_what_a_statement_was_given_is_not_told_by_its_error(handled: Handled) -> None:
    """Errors end up in logs and dead letters; what users wrote should not."""

    def call(session: Any) -> None:
        session.execute(text("SELECT * FROM nowhere WHERE name = :name"), {"name": "canary-7f3"})

    with pytest.raises(DBAPIError) as caught:
        handled.by(call)
    assert "canary-7f3" not in str(caught.value)
