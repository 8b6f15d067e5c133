"""A plugin whose effects are in another database: once there, too, whatever happens in between."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, MetaData, exc, func, insert, select, text, update
from sqlalchemy import event as sqlalchemy_event

from eventworker.db import build_engine, clock, short_transaction
from eventworker.errors import ConfigError, PluginError
from eventworker.event import Event
from eventworker.inbox.claims import Outcome, note
from eventworker.inbox.elsewhere import OtherDatabase, elsewhere_table
from eventworker.testing import Harness
from eventworker.testing.watched import Moment
from tests.helpers.databases import (
    METADATA,
    break_rule,
    count,
    deliveries,
    effect_table,
    effects,
    make_tables,
    outcomes,
    write,
)
from tests.helpers.events import make_event
from tests.helpers.plugins import Plugin, Workshop, loaded, time_limits
from tests.servers import PostgresServer

Body = Callable[[Any, Event], None]


@pytest.fixture(autouse=True)
def _limits() -> Iterator[None]:
    with time_limits():
        yield


def opened(url: str) -> OtherDatabase:
    """A second database with the tables for effects; nothing in them is unique."""
    other = OtherDatabase(url, "ledger")
    for each in METADATA[1:]:
        each.create_all(other.engine)
    other.create_table()
    return other


@pytest.fixture(params=["sqlite", "postgresql"])
def other(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OtherDatabase]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/other.sqlite"
    else:
        url = request.getfixturevalue("postgres_url")
    made = opened(url)
    yield made
    made.close()


class Ledger(Plugin):
    """One effect there, one here; `inside` and `after` are what the test adds to its call."""

    def __init__(
        self, other: OtherDatabase, inside: Body | None = None, after: Body | None = None
    ) -> None:
        super().__init__("ledger")
        self.other, self.inside, self.after = other, inside, after

    def handle(self, session: Any, event: Event) -> None:
        self.calls += 1
        with self.other.once(event) as there:
            if there is not None:
                write(there, "there", event.id)
                if self.inside is not None:
                    self.inside(there, event)
        write(session, "here", event.id)
        if self.after is not None:
            self.after(session, event)


class Neighbour(Plugin):
    def __init__(self) -> None:
        super().__init__("neighbour")


def run_due(workshop: Workshop) -> None:
    """What waits in the backlog, as though its time had come."""
    with workshop.engine.begin() as connection:
        connection.execute(text("UPDATE eventworker_delivery SET due_at = '2000-01-01 00:00:00'"))
    workshop.runner.run_due()


def test_the_effect_there_and_the_one_here_happen_once(
    sqlite_engine: Engine, other: OtherDatabase
) -> None:
    plugin, event = Ledger(other), make_event()
    workshop = Workshop(sqlite_engine, loaded(plugin))
    workshop.dispatch(event)
    workshop.dispatch(event)
    assert effects(other.engine) == ["there"]
    assert effects(sqlite_engine) == ["here"]
    assert plugin.calls == 1


def test_what_was_committed_there_is_not_repeated_when_the_call_fails_afterwards(
    sqlite_engine: Engine, other: OtherDatabase
) -> None:
    def fail_once(_session: Any, _event: Event) -> None:
        if plugin.calls == 1:
            raise RuntimeError("between the two commits")

    plugin, event = Ledger(other, after=fail_once), make_event()
    workshop = Workshop(sqlite_engine, loaded(plugin))
    workshop.dispatch(event)
    assert (effects(other.engine), effects(sqlite_engine)) == (["there"], [])

    run_due(workshop)
    assert plugin.calls == 2
    assert (effects(other.engine), effects(sqlite_engine)) == (["there"], ["here"])
    assert outcomes(sqlite_engine) == {(event.id, 1): Outcome.DONE}


@pytest.mark.parametrize(
    "fault",
    [lambda session, _event: session.execute(text("SELECT broken")), lambda *_: 1 / 0],
    ids=["of the database", "of the plugin"],
)
def test_a_block_that_raises_leaves_nothing_there(
    sqlite_engine: Engine, other: OtherDatabase, fault: Body
) -> None:
    def fail_once(session: Any, event: Event) -> None:
        if plugin.calls == 1:
            fault(session, event)

    plugin = Ledger(other, inside=fail_once)
    workshop = Workshop(sqlite_engine, loaded(plugin))
    workshop.dispatch(make_event())
    assert effects(other.engine) == effects(sqlite_engine) == []
    assert count(other.engine, elsewhere_table) == 0

    run_due(workshop)
    assert (effects(other.engine), effects(sqlite_engine)) == (["there"], ["here"])


def test_a_swallowed_error_that_dooms_the_transaction_there_loses_nothing(
    sqlite_engine: Engine, postgres_url: str
) -> None:
    """PostgreSQL would answer the COMMIT with a rollback and no error."""

    def swallow(session: Any, _event: Event) -> None:
        if plugin.calls == 1:
            with suppress(exc.IntegrityError):
                break_rule(session)

    other = opened(postgres_url)
    plugin, event = Ledger(other, inside=swallow), make_event()
    workshop = Workshop(sqlite_engine, loaded(plugin))
    workshop.dispatch(event)
    assert outcomes(sqlite_engine) == {(event.id, 1): Outcome.RETRY}
    assert effects(other.engine) == effects(sqlite_engine) == []

    run_due(workshop)
    assert (effects(other.engine), effects(sqlite_engine)) == (["there"], ["here"])
    other.close()


def test_of_processes_that_have_the_same_event_at_once_one_has_its_effect_there(
    other: OtherDatabase,
) -> None:
    event = make_event()
    start = Barrier(4)

    def handle(_number: int) -> None:
        mine = OtherDatabase(other.engine.url.render_as_string(hide_password=False), "ledger")
        start.wait(10)
        with mine.once(event) as session:
            if session is not None:
                write(session, "there", event.id)
        mine.close()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(handle, range(4)))
    assert effects(other.engine) == ["there"]


@pytest.mark.parametrize("done_there", [False, True])
@pytest.mark.parametrize("engine", ["postgres", "maria"], indirect=True)
def test_a_block_that_learns_that_another_process_was_faster_here_ends_the_call(
    engine: Engine, other: OtherDatabase, done_there: bool
) -> None:
    """A rollback of the main session gives its claim up for a moment, in which a rival takes it."""

    class Rolling(Plugin):
        def handle(self, session: Any, event: Event) -> None:
            sqlalchemy_event.listen(session, "after_rollback", lambda _session: rival(event))
            write(session, "undone", event.id)
            with other.once(event) as there:
                if there is not None:
                    write(there, "there", event.id)
                session.rollback()
            write(session, "here", event.id)

    def rival(event: Event) -> None:
        with short_transaction(engine) as connection:
            if note(connection, event.id, [1], Outcome.DONE):
                write(connection, "rival", event.id)

    event = make_event()
    if done_there:
        with other.once(event):
            pass
    Workshop(engine, loaded(Rolling("ledger"))).dispatch(event)
    assert effects(engine) == ["rival"]
    assert effects(other.engine) == []
    assert outcomes(engine) == {(event.id, 1): Outcome.DONE}


def test_each_plugin_has_an_inbox_of_its_own_there(other: OtherDatabase) -> None:
    event = make_event()
    second = OtherDatabase(other.engine.url.render_as_string(hide_password=False), "bills")
    for database in (other, second, other, second):
        with database.once(event) as session:
            if session is not None:
                write(session, database._plugin)
    assert effects(other.engine) == ["bills", "ledger"]
    second.close()


def test_a_rollback_inside_the_block_starts_it_anew(other: OtherDatabase) -> None:
    event = make_event()
    with other.once(event) as session:
        assert session is not None
        write(session, "undone")
        session.rollback()
        write(session, "kept")
    with other.once(event) as session:
        assert session is None
    assert effects(other.engine) == ["kept"]


def test_whatever_befalls_its_calls_each_event_has_one_effect_there_and_one_here(
    tmp_path: Path,
) -> None:
    other = opened(f"sqlite:///{tmp_path}/other.sqlite")
    failing: list[str] = []

    def fail(place: str) -> None:
        if failing and failing[0] == place:
            raise RuntimeError(failing.pop(0))

    plugin = Ledger(other, lambda *_: fail("inside"), lambda *_: fail("after"))
    made = MetaData()
    effect_table.to_metadata(made)
    with Harness(plugin, "ledger", prepare=made.create_all) as harness:

        @settings(max_examples=25, deadline=None)
        @given(
            deaths=st.lists(st.sampled_from(["write", "commit"]), max_size=2),
            inside=st.integers(0, 2),
            after=st.integers(0, 2),
        )
        def befall(deaths: list[Moment], inside: int, after: int) -> None:
            event = make_event()
            for moment in deaths:
                harness.crash(event, at=moment)
            # A death in the harness is one after the block, which is not entered again then.
            failing[:] = ["inside"] * (0 if deaths else inside) + ["after"] * after
            ending = harness.deliver(event, redelivered=bool(deaths))
            while not ending.done:
                ending = harness.retry(event)
            assert failing == []
            for engine in (other.engine, harness.engine):
                assert effects_of(engine, event) == 1

        befall()
    other.close()


def effects_of(engine: Engine, event: Event) -> int:
    with engine.connect() as connection:
        found = select(func.count()).where(effect_table.c.event_id == str(event.id))
        return connection.scalar(found) or 0


def waiting(engine: Engine) -> tuple[str, int, str]:
    """State, attempts and error of the only delivery that is not done."""
    (row,) = deliveries(engine)
    return row.state, row.attempts, row.error


@pytest.mark.slow
def test_while_the_other_server_is_away_its_plugin_waits_alone(
    postgres_engine: Engine, own_postgres_server: Callable[..., PostgresServer]
) -> None:
    """At the block's start, and in its middle: the main database is on another server."""
    server = own_postgres_server()
    other = opened(server.createdb("other"))
    neighbour = Neighbour()

    def stop(session: Any, _event: Event) -> None:
        if plugin.calls == 1:
            server.stop(immediately=True)
            write(session, "too late")

    plugin, event, later = Ledger(other, inside=stop), make_event(), make_event()
    workshop = Workshop(postgres_engine, loaded(plugin), loaded(neighbour))
    for number, arriving in enumerate((event, later), 1):
        workshop.dispatch(arriving)
        assert (plugin.calls, neighbour.calls) == (number, number)
    assert effects(postgres_engine) == ["neighbour", "neighbour"]
    for row in deliveries(postgres_engine):
        assert (row.state, row.attempts) == ("retry", 1)
        assert row.error.startswith("Retry: the other database of ledger: ")

    server.start()
    run_due(workshop)
    assert effects(other.engine) == ["there", "there"]
    assert effects(postgres_engine) == ["here", "here", "neighbour", "neighbour"]
    assert deliveries(postgres_engine) == []

    server.restart()  # from under a connection that waits in the pool
    workshop.dispatch(make_event())
    assert effects(other.engine) == ["there"] * 3
    assert deliveries(postgres_engine) == []
    other.close()


def test_a_file_that_cannot_be_opened_is_a_database_that_is_away(
    sqlite_engine: Engine, tmp_path: Path
) -> None:
    folder = tmp_path / "unmounted"
    other = OtherDatabase(f"sqlite:///{folder}/other.sqlite", "ledger")
    workshop = Workshop(sqlite_engine, loaded(Ledger(other), max_attempts=3))
    workshop.dispatch(make_event())
    assert waiting(sqlite_engine)[:2] == ("retry", 1)

    folder.mkdir()
    opened(str(other.engine.url)).close()
    run_due(workshop)
    assert (effects(other.engine), effects(sqlite_engine)) == (["there"], ["here"])
    other.close()


def test_an_outage_that_outlasts_the_attempts_ends_in_a_dead_letter(
    sqlite_engine: Engine, tmp_path: Path
) -> None:
    other = OtherDatabase(f"sqlite:///{tmp_path}/unmounted/other.sqlite", "ledger")
    workshop = Workshop(sqlite_engine, loaded(Ledger(other), max_attempts=2))
    workshop.dispatch(make_event())
    run_due(workshop)
    assert waiting(sqlite_engine) == (
        "dead",
        2,
        "Retry: the other database of ledger: the database is away: unable to open database file",
    )


def test_an_error_of_another_database_inside_the_block_is_not_taken_for_its_own(
    other: OtherDatabase, tmp_path: Path
) -> None:
    stranger = build_engine(f"sqlite:///{tmp_path}/missing/stranger.sqlite")
    with pytest.raises(exc.OperationalError), other.once(make_event()):
        stranger.connect()
    with pytest.raises(RuntimeError), other.once(make_event()):
        raise RuntimeError("nor is one of the plugin")


def test_a_lock_that_is_not_given_there_is_a_reason_to_come_again(
    sqlite_engine: Engine, postgres_url: str
) -> None:
    def ask_in_vain(session: Any, _event: Event) -> None:
        if plugin.calls == 1:
            session.execute(text("SET LOCAL lock_timeout = '10ms'"))
            with other.engine.begin() as holder:
                holder.execute(text("LOCK TABLE strict"))
                session.execute(text("LOCK TABLE strict"))

    other = opened(postgres_url)
    plugin = Ledger(other, inside=ask_in_vain)
    workshop = Workshop(sqlite_engine, loaded(plugin))
    workshop.dispatch(make_event())
    assert waiting(sqlite_engine)[:2] == ("retry", 1)
    assert "lock timeout" in waiting(sqlite_engine)[2]
    run_due(workshop)
    assert (effects(other.engine), effects(sqlite_engine)) == (["there"], ["here"])
    other.close()


def test_only_old_rows_of_the_plugin_itself_are_forgotten(other: OtherDatabase) -> None:
    old, young = make_event(), make_event()
    for event in (old, young):
        with other.once(event):
            pass
    with other.engine.begin() as connection:
        connection.execute(
            update(elsewhere_table)
            .where(elsewhere_table.c.event_id == old.id)
            .values(at=clock(-100 * 86400.0))
        )
        connection.execute(
            insert(elsewhere_table).values(
                plugin="bills", event_id=old.id, at=clock(-100 * 86400.0)
            )
        )
    assert other.forget(timedelta(days=99)) == 1
    assert other.forget(timedelta(days=99)) == 0
    assert count(other.engine, elsewhere_table) == 2
    with other.once(young) as session:
        assert session is None


def test_making_the_table_twice_changes_nothing(other: OtherDatabase) -> None:
    other.require_table()
    other.create_table()
    other.require_table()


def test_the_printed_sql_makes_the_same_table(database_url: str) -> None:
    other = OtherDatabase(database_url, "ledger")
    with other.engine.connect() as connection:
        for statement in other.create_table_sql().split(";\n"):
            if statement:
                connection.execute(text(statement))
        connection.commit()
    event = make_event()
    with other.once(event) as session:
        assert session is not None
    other.create_table()
    with other.once(event) as session:
        assert session is None
    other.close()


def test_a_missing_table_is_named_with_what_makes_it(database_url: str) -> None:
    other = OtherDatabase(database_url, "ledger")
    with pytest.raises(PluginError, match=r"plugin ledger; OtherDatabase\.create_table"):
        other.require_table()
    other.close()


def test_asking_for_the_table_of_a_database_that_is_away_is_no_error(tmp_path: Path) -> None:
    OtherDatabase(f"sqlite:///{tmp_path}/missing/other.sqlite", "ledger").require_table()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (None, "its URL is not set"),
        ("nonsense", "its URL cannot be used"),
        ("oracle://somewhere/x", "its URL"),
    ],
)
def test_a_url_that_cannot_be_used_is_named_by_its_plugin(url: str | None, reason: str) -> None:
    with pytest.raises(ConfigError, match=f"the other database of plugin ledger: {reason}"):
        OtherDatabase(url, "ledger")


def test_the_table_is_no_business_of_the_main_databases_migrations(engine: Engine) -> None:
    make_tables(engine)
    with pytest.raises(exc.DatabaseError), engine.connect() as connection:
        connection.execute(text("SELECT * FROM eventworker_inbox_elsewhere"))
