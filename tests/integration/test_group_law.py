"""The law of groups: however events are grouped, what is committed is what each does alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, func, select
from sqlalchemy.exc import DBAPIError

from eventworker.db import GroupSession
from eventworker.errors import Reject, Retry
from eventworker.event import Event
from tests.helpers.databases import (
    Author,
    break_rule,
    deliveries,
    effect_table,
    empty_tables,
    outcomes,
    rows,
    write,
)
from tests.helpers.events import make_event
from tests.helpers.plugins import Workshop, loaded, time_limits

EVENTS = 6


@pytest.fixture(autouse=True)
def _limits() -> Iterator[None]:
    with time_limits():
        yield


def author(session: Any, name: str) -> Author:
    made = Author(name=name)
    session.add(made)
    return made


def look(session: Any, name: str) -> None:
    """An effect that says which of its own objects the event finds, and that it finds others'."""
    mine = select(func.count()).select_from(Author).where(Author.name.startswith(name[:2]))
    write(session, f"{name} finds {session.scalar(mine)}")


def delete_again(session: Any, name: str) -> None:
    made = author(session, name)
    session.flush()
    session.delete(made)


def undo_a_savepoint(session: Any, name: str) -> None:
    nested = session.begin_nested()
    write(session, name)
    author(session, name)
    nested.rollback()


def keep_a_savepoint(session: Any, name: str) -> None:
    with session.begin_nested():
        author(session, name)


def fail_in_a_savepoint(session: Any, name: str) -> None:
    with suppress(DBAPIError), session.begin_nested():
        write(session, name)
        break_rule(session)


def swallow(session: Any, _name: str) -> None:
    with suppress(DBAPIError):
        break_rule(session)


def undo_and_hear_nothing(session: Any, _name: str) -> None:
    with suppress(BaseException):
        session.rollback()


def work_in_a_block(session: Any, name: str) -> None:
    with session.begin():
        author(session, name)


def fail(_session: Any, name: str) -> None:
    raise ValueError(name)


def retry(_session: Any, _name: str) -> None:
    raise Retry(1000.0)


def reject(_session: Any, name: str) -> None:
    raise Reject(name)


STEPS: dict[str, Callable[[Any, str], object]] = {
    "adds": author,
    "writes": write,
    "looks": look,
    "flushes": lambda session, _: session.flush(),
    "commits": lambda session, _: session.commit(),
    "undoes": lambda session, _: session.rollback(),
    "undoes and hears nothing": undo_and_hear_nothing,
    "closes": lambda session, _: session.close(),
    "expunges": lambda session, _: session.expunge_all(),
    "deletes": delete_again,
    "undoes a savepoint": undo_a_savepoint,
    "keeps a savepoint": keep_a_savepoint,
    "leaves a savepoint open": lambda session, _: session.begin_nested(),
    "fails in a savepoint": fail_in_a_savepoint,
    "works in a block": work_in_a_block,
    "breaks a rule": lambda session, _: break_rule(session),
    "swallows an error": swallow,
    "fails": fail,
    "retries": retry,
    "rejects": reject,
}
#: What an event does, step by step. Most do what most plugins do.
programs = st.lists(
    st.one_of(st.sampled_from(["adds", "writes"]), st.sampled_from(sorted(STEPS))), max_size=4
)
#: What would undo the work of others in one session for all.
ENDINGS = ("undoes", "undoes and hears nothing", "closes", "expunges", "leaves a savepoint open")
sociable = st.lists(
    st.one_of(
        st.sampled_from(["adds", "writes"]), st.sampled_from(sorted(STEPS.keys() - set(ENDINGS)))
    ),
    max_size=4,
)
#: What arrives together: events by number, each redelivered or not. One may come more than once.
groups = st.lists(st.tuples(st.integers(0, EVENTS - 1), st.booleans()), min_size=1, max_size=8)


class Performer:
    """Does what the event's program says."""

    name = "performer"
    transactional = True

    def __init__(self, programs: list[list[str]]) -> None:
        self.programs = programs

    def enabled(self) -> bool:
        return True

    def handle(self, session: Any, event: Event) -> None:
        number = int(event.resource_id or 0)
        for position, step in enumerate(self.programs[number]):
            # No two events want the same name: of those that do, any may be the first.
            STEPS[step](session, f"{number}-{position}")


class Batcher(Performer):
    """Does what the programs of all its events say, one after the other."""

    def handle_batch(self, session: Any, events: list[Event]) -> None:
        for event in events:
            self.handle(session, event)


Arrivals = list[list[tuple[int, bool]]]


def committed(
    engine: Engine, performer: Performer, arrivals: Arrivals, largest: int = 100
) -> dict[str, Any]:
    """All that there is in the end, when the events have come like this."""
    empty_tables(engine)
    plugin = loaded(performer, backoff=1000.0, backoff_max=1000.0)
    shop = Workshop(engine, plugin, refresh=60.0, largest_group=largest)
    for arrival in arrivals:
        parcels = [shop.delivery(EXAMPLES[n], redelivered=again) for n, again in arrival]
        shop.dispatcher.dispatch(*parcels)
        assert all(each.is_settled for each in parcels)
    while shop.runner.run_due():
        pass
    ends = {number_of(event_id): end.name for (event_id, _), end in outcomes(engine).items()}
    with engine.connect() as connection:
        return {
            "ends": dict(sorted(ends.items())),
            "attempts": sorted(
                (number_of(row.event_id), row.state, row.attempts) for row in deliveries(engine)
            ),
            "authors": sorted(connection.scalars(select(Author.name))),
            "effects": sorted(row.what for row in rows(engine, effect_table)),
        }


EXAMPLES = [make_event(resource_id=number) for number in range(EVENTS)]
NUMBERS = {event.id: number for number, event in enumerate(EXAMPLES)}
number_of = NUMBERS.__getitem__
ALONE: Arrivals = [[(number, False)] for number in range(EVENTS)]
TOGETHER: Arrivals = [[(number, False) for number in range(EVENTS)]]

unhurried = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
with_examples = given(
    doing=st.lists(programs, min_size=EVENTS, max_size=EVENTS),
    arrivals=st.lists(groups, max_size=3),
    largest=st.sampled_from([2, 4, 100]),
)


def obeys_the_law(
    engine: Engine, performer: Performer, arrivals: Arrivals, largest: int = 100
) -> None:
    alone = committed(engine, performer, ALONE)
    grouped = committed(engine, performer, arrivals + TOGETHER, largest)
    assert grouped == alone


@settings(unhurried, max_examples=60)
@with_examples
def test_groups_commit_what_each_event_does_alone(
    sqlite_engine: Engine, doing: list[list[str]], arrivals: Arrivals, largest: int
) -> None:
    obeys_the_law(sqlite_engine, Performer(doing), arrivals, largest)


@pytest.mark.parametrize("kind", ["postgres", "maria"])
@settings(unhurried, max_examples=10)
@with_examples
def test_so_they_do_on_servers(
    request: pytest.FixtureRequest,
    kind: str,
    doing: list[list[str]],
    arrivals: Arrivals,
    largest: int,
) -> None:
    engine = request.getfixturevalue(f"{kind}_engine")
    obeys_the_law(engine, Performer(doing), arrivals, largest)


@settings(unhurried, max_examples=30)
@given(
    doing=st.lists(sociable, min_size=EVENTS, max_size=EVENTS),
    arrivals=st.lists(groups, max_size=3),
)
def test_so_do_batches(sqlite_engine: Engine, doing: list[list[str]], arrivals: Arrivals) -> None:
    obeys_the_law(sqlite_engine, Batcher(doing), arrivals)


def test_the_law_convicts_a_group_in_which_nothing_can_be_undone(
    sqlite_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the tests above can fail."""
    monkeypatch.setattr(GroupSession, "rollback", lambda _: None)
    with pytest.raises(AssertionError):
        obeys_the_law(sqlite_engine, Performer([["adds", "undoes", "adds"]] * EVENTS), [])
