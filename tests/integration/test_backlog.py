"""Rows of the backlog: parked, claimed, failed, due again, dead; and nobody's twice."""

from typing import Any

import pytest
from sqlalchemy import Engine, update

from eventworker.db import clock, short_transaction
from eventworker.event import Event
from eventworker.inbox import backlog, estate
from eventworker.inbox.backlog import Due, Failure, delivery_table, event_table
from eventworker.inbox.claims import FirstClaim, Outcome, note, run_once
from tests.helpers.databases import count, deliveries, effects, outcomes, write
from tests.helpers.events import STORYBOARD_FIELDS, make_event

ME, OTHER = "host/1/100", "host/1/200"
LEASE = 60.0


class Backlog:
    """The verbs, each in a transaction of its own."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def __getattr__(self, verb: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            with short_transaction(self.engine) as connection:
                return getattr(estate if hasattr(estate, verb) else backlog, verb)(
                    connection, *args, **kwargs
                )

        return call

    def claim(self, *plugins: int, limit: int = 10, owner: str = ME) -> list[Due]:
        with short_transaction(self.engine) as connection:
            return backlog.claim(connection, plugins or (1, 2), limit, LEASE, owner)

    def let_leases_run_out(self) -> None:
        with short_transaction(self.engine) as connection:
            connection.execute(update(delivery_table).values(due_at=clock(-1.0)))

    @property
    def states(self) -> list[tuple[int, str, int]]:
        return sorted((row.plugin, row.state, row.attempts) for row in deliveries(self.engine))

    def outcome(self, event: Event, plugin: int = 1) -> Outcome:
        return outcomes(self.engine)[event.id, plugin]


@pytest.fixture
def rows(engine: Engine) -> Backlog:
    return Backlog(engine)


def test_a_parked_event_is_owed_and_comes_back_whole(rows: Backlog) -> None:
    event = make_event(**STORYBOARD_FIELDS, source="tracker")
    rows.park(event, [1, 2])
    assert rows.states == [(1, "pending", 0), (2, "pending", 0)]
    assert set(outcomes(rows.engine).values()) == {Outcome.PENDING}
    due = rows.claim()
    assert [(each.event, each.plugin, each.attempts) for each in due] == [
        (event, 1, 1),
        (event, 2, 1),
    ]


def test_parking_again_adds_nothing(rows: Backlog) -> None:
    event = make_event()
    rows.park(event, [1])
    rows.park(event, [1, 2])
    assert rows.states == [(1, "pending", 0), (2, "pending", 0)]
    assert count(rows.engine, event_table) == 1


@pytest.mark.parametrize("outcome", [Outcome.DONE, Outcome.DEAD, Outcome.SKIPPED])
def test_what_has_its_outcome_is_not_parked(rows: Backlog, outcome: Outcome) -> None:
    event = make_event()
    with short_transaction(rows.engine) as connection:
        note(connection, event.id, [1], outcome)
    rows.park(event, [1])
    assert rows.states == []
    assert rows.outcome(event) is outcome


def test_a_claim_counts_the_attempt_and_leases_the_row(rows: Backlog) -> None:
    rows.park(make_event(), [1])
    assert [due.attempts for due in rows.claim()] == [1]
    assert rows.claim(owner=OTHER) == []
    assert rows.states == [(1, "pending", 1)]
    assert rows.owners() == [ME]


def test_only_due_rows_of_the_named_plugins_are_claimed_oldest_first(rows: Backlog) -> None:
    events = [make_event(resource_id=number) for number in range(4)]
    for event in events:
        rows.park(event, [1, 3])
    assert rows.claim(2) == []
    first = rows.claim(3, limit=3)
    assert [due.event for due in first] == events[:3]
    assert {due.plugin for due in first} == {3}
    assert [due.event for due in rows.claim(3)] == events[3:]


def test_two_claimers_at_once_share_without_waiting(postgres_engine: Engine) -> None:
    rows = Backlog(postgres_engine)
    for _ in range(4):
        rows.park(make_event(), [1])
    with short_transaction(postgres_engine) as mine, short_transaction(postgres_engine) as theirs:
        one = backlog.claim(mine, [1], 2, LEASE, ME)
        two = backlog.claim(theirs, [1], 4, LEASE, OTHER)
    assert (len(one), len(two)) == (2, 2)
    assert {due.id for due in one}.isdisjoint(due.id for due in two)


def test_a_failure_is_due_again_after_its_delay_and_not_before(rows: Backlog) -> None:
    event = make_event()
    rows.fail_first(event, 1, Failure("ValueError: no", "Traceback", delay=30.0))
    assert rows.states == [(1, "retry", 1)]
    assert rows.outcome(event) is Outcome.RETRY
    assert rows.claim() == []
    rows.let_leases_run_out()
    (due,) = rows.claim()
    assert due.attempts == 2
    rows.fail(due, Failure("again", delay=0.0))
    (due,) = rows.claim()
    assert due.attempts == 3
    (row,) = deliveries(rows.engine)
    assert row.error == "again"


def test_a_failure_without_a_delay_is_a_dead_letter(rows: Backlog) -> None:
    event, other = make_event(), make_event()
    rows.fail_first(event, 1, Failure("rejected: no"))
    rows.park(other, [1])
    (due,) = rows.claim()
    rows.fail(due, Failure("the last one"))
    assert rows.states == [(1, "dead", 1), (1, "dead", 1)]
    assert rows.outcome(event) is rows.outcome(other) is Outcome.DEAD
    rows.let_leases_run_out()
    assert rows.claim() == []


def take(connection_of: Engine, due: Due, what: str) -> bool:
    return run_once(connection_of, due, lambda session: write(session, what))


def test_a_call_that_succeeds_removes_the_row_and_turns_the_inbox(rows: Backlog) -> None:
    event = make_event()
    rows.park(event, [1])
    (due,) = rows.claim()
    assert take(rows.engine, due, "a")
    assert rows.states == []
    assert rows.outcome(event) is Outcome.DONE
    assert not take(rows.engine, due, "a")
    assert effects(rows.engine) == ["a"]


def test_a_lost_lease_cannot_commit(rows: Backlog) -> None:
    rows.park(make_event(), [1])
    (mine,) = rows.claim()
    rows.let_leases_run_out()
    (theirs,) = rows.claim(owner=OTHER)
    assert not take(rows.engine, mine, "mine")
    assert take(rows.engine, theirs, "theirs")
    assert effects(rows.engine) == ["theirs"]


def test_a_lease_that_is_lost_during_the_call_cannot_commit(rows: Backlog) -> None:
    rows.park(make_event(), [1])
    (mine,) = rows.claim()

    def call(session: Any) -> None:
        rows.let_leases_run_out()
        rows.claim(owner=OTHER)
        write(session, "mine")

    if rows.engine.dialect.name == "sqlite":
        assert not run_once(rows.engine, mine, call)
    else:  # there the claim comes first and locks the row, so nobody else can have it
        assert take(rows.engine, mine, "mine")
        assert rows.claim(owner=OTHER) == []


def test_a_late_verdict_on_a_lost_lease_changes_nothing(rows: Backlog) -> None:
    rows.park(make_event(), [1])
    (mine,) = rows.claim()
    rows.let_leases_run_out()
    rows.claim(owner=OTHER)
    before = deliveries(rows.engine)
    rows.fail(mine, Failure("late"))
    rows.give_back(mine)
    rows.skip(mine)
    assert deliveries(rows.engine) == before


def test_giving_back_undoes_the_claim_with_its_attempt(rows: Backlog) -> None:
    rows.park(make_event(), [1])
    (due,) = rows.claim()
    rows.give_back(due)
    assert rows.states == [(1, "pending", 0)]
    assert rows.owners() == []
    (again,) = rows.claim()
    rows.give_back(again, 30.0)
    assert rows.claim() == []


def test_skipping_removes_the_row_and_says_so(rows: Backlog) -> None:
    event = make_event()
    rows.park(event, [1])
    rows.skip(rows.claim()[0])
    assert rows.states == []
    assert rows.outcome(event) is Outcome.SKIPPED


@pytest.mark.parametrize(("uncount", "attempts"), [(True, 0), (False, 1)])
def test_the_leases_of_a_dead_process_are_due_at_once(
    rows: Backlog, uncount: bool, attempts: int
) -> None:
    rows.park(make_event(), [1, 2])
    rows.claim(1)
    rows.claim(2, owner=OTHER)
    assert rows.release_owner(ME, uncount=uncount) == 1
    assert rows.states == [(1, "pending", attempts), (2, "pending", 1)]
    assert rows.owners() == [OTHER]
    assert [due.plugin for due in rows.claim()] == [1]


def test_blame_for_a_call_of_the_backlog_counts_no_second_attempt(rows: Backlog) -> None:
    event = make_event()
    rows.park(event, [1])
    rows.claim()
    assert rows.attempts_of(event.id, 1, ME) == 1
    rows.blame(event.id, 1, Failure("killed", delay=5.0), ME)
    assert rows.states == [(1, "retry", 1)]
    assert rows.attempts_of(event.id, 1, ME) == 0  # it holds no lease any more
    rows.release_owner(ME, uncount=True)
    assert rows.states == [(1, "retry", 1)]


def test_blame_leaves_the_call_of_another_process_alone(rows: Backlog) -> None:
    event = make_event()
    rows.park(event, [1])  # the redelivery, which came before the undertaker
    (due,) = rows.claim(owner=OTHER)
    assert rows.attempts_of(event.id, 1, ME) == 0
    rows.blame(event.id, 1, Failure("killed", delay=0.0), ME)
    assert rows.states == [(1, "pending", 1)]
    assert rows.owners() == [OTHER]
    assert run_once(rows.engine, due, lambda session: write(session, "a"))


def test_blame_for_a_first_call_waits_for_the_events_body(rows: Backlog) -> None:
    event = make_event()
    assert rows.attempts_of(event.id, 1, ME) == 0
    rows.blame(event.id, 1, Failure("killed", delay=0.0), ME)
    assert rows.states == [(1, "retry", 1)]
    assert rows.claim() == []
    rows.park(event, [1])  # the redelivery
    assert [(due.event, due.attempts) for due in rows.claim()] == [(event, 2)]


def test_blame_for_the_last_attempt_is_a_dead_letter(rows: Backlog) -> None:
    event, first = make_event(), make_event()
    rows.park(event, [1])
    rows.claim()
    rows.blame(event.id, 1, Failure("killed"), ME)
    rows.blame(first.id, 1, Failure("killed"), ME)
    assert rows.outcome(event) is rows.outcome(first) is Outcome.DEAD
    assert rows.states == [(1, "dead", 1), (1, "dead", 1)]


def test_blame_for_what_was_committed_after_all_is_dropped(rows: Backlog) -> None:
    event = make_event()
    run_once(rows.engine, FirstClaim(event.id, 1), lambda session: write(session, "a"))
    rows.blame(event.id, 1, Failure("killed"), ME)
    assert rows.states == []
    assert rows.outcome(event) is Outcome.DONE


NASTY = "a NUL \x00, a surrogate \udc80 and 世界"


def test_whatever_an_error_says_can_be_recorded(rows: Backlog) -> None:
    first, second = make_event(path="\x00"), make_event()
    rows.fail_first(first, 1, Failure(NASTY, NASTY, delay=0.0))
    rows.blame(second.id, 1, Failure(NASTY, NASTY), ME)
    (due,) = rows.claim()
    rows.fail(due, Failure(NASTY, NASTY))
    for row in deliveries(rows.engine):
        assert row.error.startswith("a NUL ")
        assert row.traceback.endswith("and 世界")


def test_an_image_with_huge_numbers_can_be_stored(rows: Backlog) -> None:
    event = make_event(resource_after={"huge": 10**60, "tiny": 5e-324})
    rows.park(event, [1])
    assert rows.claim()[0].event == event
