"""The outbox: an event exists with its transaction, and a claim passes over none."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Thread

import pytest
from sqlalchemy import Engine, update
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from eventworker import outbox
from eventworker.db import clock, short_transaction
from eventworker.errors import EncodeError
from eventworker.outbox import queue
from eventworker.outbox.queue import Row
from eventworker.outbox.table import DEAD, READY, SENT, outbox_table
from eventworker.transports.sql import SqlTransport
from eventworker.transports.waiting import Lookout
from tests.helpers.databases import effects, outbox_states, rows, write
from tests.helpers.deliveries import take
from tests.helpers.events import make_event
from tests.servers import wait_until

ME, OTHER = "host/1/100", "host/1/200"


def record(engine: Engine, count: int = 1) -> list[object]:
    with Session(engine) as session:
        made = [outbox.record(session, make_event(resource_id=n)).id for n in range(count)]
        session.commit()
    return list(made)


def claim(engine: Engine, limit: int = 100, lease: float = 60.0, owner: str = ME) -> list[Row]:
    with short_transaction(engine) as connection:
        return queue.claim(connection, limit, lease, owner)


def test_an_event_exists_once_its_transaction_has_committed(engine: Engine) -> None:
    event = make_event(source="tracker")
    with Session(engine) as session:
        write(session, "the change")
        assert outbox.record(session, event) is event
        session.commit()
    (row,) = claim(engine)
    assert (row.id, row.time, row.source, row.resource, row.body, row.claims) == (
        event.id,
        event.time,
        "tracker",
        "story",
        event.encode(),
        1,
    )


def test_a_rollback_takes_the_event_with_it(engine: Engine) -> None:
    with Session(engine) as session:
        write(session, "the change")
        outbox.record(session, make_event())
        session.rollback()
    assert outbox_states(engine) == []
    assert effects(engine) == []


def test_a_savepoint_that_is_undone_takes_its_event_with_it(engine: Engine) -> None:
    with Session(engine) as session:
        kept = outbox.record(session, make_event())
        with session.begin_nested() as nested:
            outbox.record(session, make_event())
            nested.rollback()
        session.commit()
    assert [row.id for row in claim(engine)] == [kept.id]


def test_record_takes_a_connection_and_a_scoped_session_too(engine: Engine) -> None:
    with engine.begin() as connection:
        outbox.record(connection, make_event())
    scoped = scoped_session(sessionmaker(engine))
    outbox.record(scoped, make_event())
    scoped.commit()
    scoped.remove()
    assert outbox_states(engine) == [READY, READY]


def test_an_event_that_cannot_be_sent_is_refused_and_harms_nothing(engine: Engine) -> None:
    with Session(engine) as session:
        write(session, "the change")
        for fields in ({"resource": "a\x00"}, {"resource_after": {"a": "x" * 2**20}}):
            with pytest.raises(EncodeError):
                outbox.record(session, make_event(**fields))
        session.commit()
    assert effects(engine) == ["the change"]
    assert outbox_states(engine) == []


def test_rows_are_claimed_oldest_first_and_once(engine: Engine) -> None:
    made = record(engine, 5)
    first = claim(engine, 3)
    assert [row.id for row in first] == made[:3]
    assert [row.id for row in claim(engine, 3, owner=OTHER)] == made[3:]
    assert claim(engine) == []


def test_a_slow_writer_that_commits_late_is_not_passed_over(postgres_engine: Engine) -> None:
    engine = postgres_engine
    for _ in range(20):
        with Session(engine) as slow:
            early = outbox.record(slow, make_event())
            (later,) = record(engine)
            (row,) = claim(engine)
            assert row.id == later
            assert early.id.int < row.id.int
            with short_transaction(engine) as connection:
                queue.settle(connection, [row.id])
            slow.commit()
        (row,) = claim(engine)
        assert row.id == early.id
        with short_transaction(engine) as connection:
            queue.settle(connection, [row.id])


def test_two_claimers_at_once_share_without_waiting(postgres_engine: Engine) -> None:
    made = record(postgres_engine, 10)
    with (
        short_transaction(postgres_engine) as mine,
        short_transaction(postgres_engine) as theirs,
    ):
        one = queue.claim(mine, 4, 60.0, ME)
        two = queue.claim(theirs, 100, 60.0, OTHER)
    assert [row.id for row in one + two] == made
    assert len(one) == 4


def test_many_claimers_get_every_row_once(engine: Engine) -> None:
    made = record(engine, 60)

    def work(owner: str) -> list[object]:
        got: list[object] = []
        while taken := claim(engine, 4, owner=owner):
            with short_transaction(engine) as connection:
                queue.settle(connection, [row.id for row in taken])
            got += [row.id for row in taken]
        return got

    with ThreadPoolExecutor(3) as pool:
        got = [each for done in pool.map(work, ["a", "b", "c"]) for each in done]
    assert sorted(got, key=str) == sorted(made, key=str)
    assert set(outbox_states(engine)) == {SENT}


def test_a_lease_that_ran_out_frees_the_row_and_the_count_tells(engine: Engine) -> None:
    record(engine)
    (row,) = claim(engine)
    assert claim(engine, owner=OTHER) == []
    with short_transaction(engine) as connection:
        connection.execute(update(outbox_table).values(leased_until=clock(-1.0)))
    (again,) = claim(engine, owner=OTHER)
    assert (again.id, again.claims) == (row.id, 2)
    with short_transaction(engine) as connection:
        assert queue.extend(connection, [row.id], 60.0, ME) == set()
        assert queue.extend(connection, [row.id], 60.0, OTHER) == {row.id}


def test_settled_and_buried_rows_are_never_claimed_again(engine: Engine) -> None:
    sent, dead, _left = claim_after_recording = record(engine, 3)
    assert len(claim(engine)) == len(claim_after_recording)
    with short_transaction(engine) as connection:
        queue.settle(connection, [sent])
        queue.bury(connection, dead, "too large for the broker")
        assert queue.release_owner(connection, ME) == 1
    assert [row.id for row in claim(engine)] == [_left]
    states = {row.id: (row.state, row.error) for row in rows(engine, outbox_table)}
    assert states[sent] == (SENT, None)
    assert states[dead] == (DEAD, "too large for the broker")


def test_a_row_that_was_given_back_is_free_after_its_delay(engine: Engine) -> None:
    soon, later = record(engine, 2)
    claim(engine)
    with short_transaction(engine) as connection:
        queue.give_back(connection, [soon], ME)
        queue.give_back(connection, [later], ME, delay=30.0)
    assert [row.id for row in claim(engine, owner=OTHER)] == [soon]


def test_nobody_gives_back_or_keeps_what_is_anothers(engine: Engine) -> None:
    made = record(engine, 1)
    claim(engine)
    with short_transaction(engine) as connection:
        queue.give_back(connection, made, OTHER)
        assert queue.release_owner(connection, OTHER) == 0
        assert queue.owners(connection) == [ME]
    assert claim(engine, owner=OTHER) == []


def looking(engine: Engine) -> Lookout:
    """A lookout that has seen all there is, and would wait for a minute by itself."""
    lookout = Lookout(engine, poll_interval=60.0)
    for _ in range(2):
        lookout.wait(0.05)
    lookout.looked(found=False)
    assert not lookout.due
    return lookout


def is_woken(engine: Engine, by: Callable[[], object]) -> bool:
    """Whether a look is due early when `by` is called during a wait of 20 seconds."""
    with closing(looking(engine)) as lookout:
        act = Thread(target=by)
        started = time.monotonic()
        act.start()
        lookout.wait(20.0)
        act.join()
        return lookout.due and time.monotonic() - started < 10


@pytest.mark.parametrize("engine", ["sqlite", "postgres"], indirect=True)
def test_a_commit_ends_the_wait_for_it(engine: Engine) -> None:
    assert is_woken(engine, lambda: record(engine))


def test_without_a_commit_the_wait_lasts_its_time(engine: Engine) -> None:
    with closing(looking(engine)) as lookout:
        with Session(engine) as session:
            outbox.record(session, make_event())
            session.rollback()
        started = time.monotonic()
        lookout.wait(0.3)
        assert time.monotonic() - started >= 0.29
        assert not lookout.due


def test_without_a_wake_up_the_next_look_is_due_after_the_poll_interval(engine: Engine) -> None:
    with closing(Lookout(engine, poll_interval=0.2)) as lookout:
        lookout.wait(0.05)
        lookout.looked(found=False)
        lookout.wait(5.0)
        assert lookout.due


def test_what_was_not_empty_is_looked_at_again_at_once(engine: Engine) -> None:
    with closing(looking(engine)) as lookout:
        lookout.looked(found=True)
        assert lookout.due


def test_what_is_acked_is_settled_in_time_while_the_rest_is_in_hand(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(engine, 3)
    subscription = SqlTransport(engine).subscribe(3, ME)
    first, second, _third = take(subscription, 3)
    monkeypatch.setattr("eventworker.transports.sql.SETTLE_WITHIN", 0.05)
    first.ack()
    assert outbox_states(engine) == [READY] * 3
    wait_until(lambda: time.monotonic() >= subscription._settle_at, 5, "the clock stands still")
    second.ack()
    assert outbox_states(engine) == [SENT, SENT, READY]
    subscription.close()
