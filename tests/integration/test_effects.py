"""Effects outside the database: added with the event's work or not at all, performed at least once,
each time with the same key."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, delete
from sqlalchemy.event import listen
from sqlalchemy.orm import Session

from eventworker import effects
from eventworker.db import short_transaction
from eventworker.effects import MAX_PAYLOAD, Effect, estate, queue
from eventworker.errors import DatabaseUnavailable, EncodeError, PluginError, Reject, Retry
from eventworker.inbox import registry
from eventworker.inbox.claims import Outcome, inbox_table
from tests.helpers.databases import deliveries, outcomes
from tests.helpers.databases import effects as written
from tests.helpers.effects import Mailer, add, make_due, waiting
from tests.helpers.events import make_event
from tests.helpers.plugins import Plugin, Workshop, loaded, time_limits

ME, OTHER = "host/1/200", "host/1/300"


@pytest.fixture(autouse=True)
def _limits() -> Iterator[None]:
    with time_limits():
        yield


def failing(error: BaseException) -> Any:
    def act(*_: Any) -> None:
        raise error

    return act


def added(engine: Engine, *payloads: Any) -> None:
    """One event whose effects wait, of plugin 1."""
    Workshop(engine, loaded(Mailer(add(*payloads)))).dispatch(make_event())


def claim(engine: Engine, owner: str = ME, plugin: int = 1) -> list[queue.Due]:
    with short_transaction(engine) as connection:
        return queue.claim(connection, plugin, 10, 60.0, owner)


def test_an_effect_is_performed_after_the_commit_with_its_key_and_then_forgotten(
    engine: Engine,
) -> None:
    mailer, event = Mailer(add({"to": "ann"}, ["bob", 2, None, "\u0000ä"])), make_event()
    shop = Workshop(engine, loaded(mailer))
    shop.dispatch(event)
    assert mailer.performed == []
    assert shop.performer.run_due() == 2
    assert mailer.payloads == [{"to": "ann"}, ["bob", 2, None, "\u0000ä"]]
    assert mailer.keys == [f"{event.id}/mailer/1", f"{event.id}/mailer/2"]
    first = mailer.performed[0]
    assert (first.event_id, first.plugin, first.n, first.attempt) == (event.id, "mailer", 1, 1)
    assert abs((first.added_at - event.time).total_seconds()) < 60
    assert waiting(engine) == []
    assert shop.performer.run_due() == 0


def test_add_says_the_key_that_perform_is_given(engine: Engine) -> None:
    said: list[str] = []
    mailer = Mailer(lambda session, _: said.append(effects.add(session, 1)), name="Mailer")
    shop = Workshop(engine, loaded(mailer))
    shop.dispatch(make_event())
    shop.performer.run_due()
    assert said == mailer.keys
    assert said[0].endswith("/mailer/1")


def test_a_call_that_fails_leaves_no_effect(engine: Engine) -> None:
    def body(session: Any, _: Any) -> None:
        effects.add(session, "undone")
        session.commit()
        effects.add(session, "undone, too")
        raise ValueError("no")

    shop = Workshop(engine, loaded(Mailer(body)))
    shop.dispatch(make_event())
    assert waiting(engine) == []
    assert [row.state for row in deliveries(engine)] == ["retry"]


def test_a_call_made_again_gives_the_same_keys(engine: Engine) -> None:
    keys: list[list[str]] = []

    def body(session: Any, _: Any) -> None:
        keys.append([effects.add(session, number) for number in range(3)])
        if len(keys) == 1:
            raise Retry(0)

    shop = Workshop(engine, loaded(Mailer(body)))
    shop.dispatch(make_event())
    shop.runner.run_due()
    assert keys[0] == keys[1]
    assert [row.n for row in waiting(engine)] == [1, 2, 3]


def test_a_rollback_of_the_plugins_takes_the_numbers_back(engine: Engine) -> None:
    def body(session: Any, _: Any) -> None:
        effects.add(session, "kept")
        session.commit()
        effects.add(session, "undone")
        session.rollback()
        with session.begin_nested():
            effects.add(session, "kept, too")
        nested = session.begin_nested()
        effects.add(session, "undone, too")
        nested.rollback()
        effects.add(session, "the last")

    mailer = Mailer(body)
    shop = Workshop(engine, loaded(mailer))
    shop.dispatch(make_event())
    shop.performer.run_due()
    assert [(each.n, each.payload) for each in mailer.performed] == [
        (1, "kept"),
        (2, "kept, too"),
        (3, "the last"),
    ]


def test_each_plugin_and_event_counts_for_itself(engine: Engine) -> None:
    one, two = Mailer(add("a", "b"), name="one"), Mailer(add("c"), name="two")
    shop = Workshop(engine, loaded(one), loaded(two))
    shop.dispatch(make_event())
    shop.dispatch(make_event())
    assert sorted((row.plugin, row.n) for row in waiting(engine)) == [
        *[(1, 1)] * 2,
        *[(1, 2)] * 2,
        *[(2, 1)] * 2,
    ]
    shop.performer.run_due()
    assert (len(set(one.keys)), len(set(two.keys))) == (4, 2)


def test_a_plugin_that_cannot_perform_is_told_when_it_adds(engine: Engine) -> None:
    shop = Workshop(engine, loaded(Plugin("quiet", add(1))))
    shop.dispatch(make_event())
    (row,) = deliveries(engine)
    assert "plugin quiet has no perform(effect)" in row.error
    assert written(engine) == waiting(engine) == []


def test_effects_are_added_inside_handle_or_not_at_all(engine: Engine) -> None:
    kept: list[Any] = []
    shop = Workshop(engine, loaded(Mailer(lambda session, _: kept.append(session))))
    shop.dispatch(make_event())
    with Session(engine) as mine:
        for session in (mine, kept[0], None):
            with pytest.raises(PluginError, match="inside handle"):
                effects.add(session, 1)
    assert waiting(engine) == []


@pytest.mark.parametrize(
    "payload", [{1, 2}, float("nan"), b"bytes", "\ud800", "x" * MAX_PAYLOAD, make_event()]
)
def test_what_is_no_json_or_too_large_is_refused(sqlite_engine: Engine, payload: Any) -> None:
    refused: list[str] = []

    def body(session: Any, _: Any) -> None:
        with pytest.raises(EncodeError, match="the payload of an effect"):
            effects.add(session, payload)
        refused.append("yes")

    Workshop(sqlite_engine, loaded(Mailer(body))).dispatch(make_event())
    assert refused == ["yes"]
    assert waiting(sqlite_engine) == []


def test_the_largest_payload_comes_through(engine: Engine) -> None:
    mailer = Mailer(add("ä" * (MAX_PAYLOAD // 2 - 1)))
    shop = Workshop(engine, loaded(mailer))
    shop.dispatch(make_event())
    shop.performer.run_due()
    assert [len(payload) for payload in mailer.payloads] == [MAX_PAYLOAD // 2 - 1]


def test_a_delayed_effect_waits(engine: Engine) -> None:
    mailer = Mailer(lambda session, _: effects.add(session, "later", delay=3600.0) and None)
    shop = Workshop(engine, loaded(mailer))
    shop.dispatch(make_event())
    assert shop.performer.run_due() == 0
    make_due(engine)
    assert shop.performer.run_due() == 1
    assert mailer.payloads == ["later"]


@pytest.mark.parametrize("delay", [-1.0, float("nan"), float("inf"), 1e9])
def test_a_delay_that_is_none_is_the_plugins_mistake(sqlite_engine: Engine, delay: float) -> None:
    shop = Workshop(
        sqlite_engine, loaded(Mailer(lambda session, _: effects.add(session, 1, delay=delay)))
    )
    shop.dispatch(make_event())
    (row,) = deliveries(sqlite_engine)
    assert "ValueError: the delay" in row.error
    assert waiting(sqlite_engine) == []


def test_an_event_that_the_inbox_has_forgotten_adds_new_effects_beside_the_dead_ones(
    engine: Engine,
) -> None:
    event, mailer = make_event(), Mailer(add("mail"), failing(Reject("no")))
    shop = Workshop(engine, loaded(mailer))
    shop.dispatch(event)
    shop.performer.run_due()
    with short_transaction(engine) as connection:
        connection.execute(delete(inbox_table))
    shop.dispatch(event)
    assert [(row.n, row.state) for row in waiting(engine)] == [(1, "dead"), (2, "pending")]


def test_a_failed_attempt_is_made_again_after_a_pause_with_the_same_key(engine: Engine) -> None:
    mailer = Mailer(add("mail"), failing(ConnectionError("refused")))
    shop = Workshop(engine, loaded(mailer, backoff=600.0))
    shop.dispatch(make_event())
    assert (shop.performer.run_due(), shop.performer.run_due()) == (1, 0)
    (row,) = waiting(engine)
    assert (row.state, row.attempts, row.owner) == ("retry", 1, None)
    assert row.error == "ConnectionError: refused"
    assert "Traceback" in row.traceback
    assert 449 < (row.due_at - row.created_at).total_seconds() < 811

    mailer.act = None
    make_due(engine)
    assert shop.performer.run_due() == 1
    assert mailer.keys[0] == mailer.keys[1]
    assert [each.attempt for each in mailer.performed] == [1, 2]
    assert waiting(engine) == []
    assert mailer.calls == 1


@pytest.mark.parametrize(
    ("error", "state", "said"),
    [
        (Retry(0.0), "retry", "asked to be called again"),
        (Reject("no such address"), "dead", "rejected: no such address"),
        (SystemExit(3), "retry", "SystemExit: 3"),
        (ValueError("\x00\ud800"), "retry", "ValueError: ?"),
    ],
)
def test_the_verdicts_are_those_of_handle(
    engine: Engine, error: BaseException, state: str, said: str
) -> None:
    shop = Workshop(engine, loaded(Mailer(add(1), failing(error))))
    shop.dispatch(make_event())
    shop.performer.run_due()
    (row,) = waiting(engine)
    assert (row.state, row.attempts) == (state, 1)
    assert said in row.error


def test_after_its_attempts_an_effect_is_a_dead_letter_and_the_others_go_on(engine: Engine) -> None:
    def act(effect: Effect) -> None:
        if effect.payload == "bad":
            raise ValueError("no")

    mailer = Mailer(add("good", "bad", "better"), act)
    shop = Workshop(engine, loaded(mailer, effect_max_attempts=2, backoff=0.0))
    shop.dispatch(make_event())
    shop.performer.run_due()
    shop.performer.run_due()
    assert shop.performer.run_due() == 0
    assert mailer.payloads == ["good", "bad", "better", "bad"]
    assert [(row.payload, row.state, row.attempts) for row in waiting(engine)] == [
        ('"bad"', "dead", 2)
    ]
    assert set(outcomes(engine).values()) == {Outcome.DONE}


def test_one_that_takes_too_long_is_interrupted(engine: Engine) -> None:
    def act(_: Effect) -> None:
        while True:
            pass

    shop = Workshop(engine, loaded(Mailer(add(1), act), effect_timeout=0.1))
    shop.dispatch(make_event())
    shop.performer.run_due()
    (row,) = waiting(engine)
    assert (row.state, row.attempts) == ("retry", 1)
    assert "HandlerTimeout" in row.error


def test_a_claim_counts_the_attempt_and_leases_the_row(engine: Engine) -> None:
    added(engine, "a", "b")
    assert [due.attempts for due in claim(engine)] == [1, 1]
    assert claim(engine, OTHER) == []
    assert [(row.state, row.attempts, row.owner) for row in waiting(engine)] == [
        ("pending", 1, ME)
    ] * 2


def test_a_lease_that_ran_out_gives_the_effect_to_another_and_the_first_one_has_no_say(
    engine: Engine,
) -> None:
    added(engine, "a")
    (mine,) = claim(engine)
    make_due(engine)
    (theirs,) = claim(engine, OTHER)
    assert theirs.attempts == 2
    with short_transaction(engine) as connection:
        queue.done(connection, mine)
        queue.give_back(connection, mine)
    (row,) = waiting(engine)
    assert (row.attempts, row.owner) == (2, OTHER)


def test_attempts_that_never_came_back_are_counted_too(engine: Engine) -> None:
    mailer = Mailer(add(1))
    shop = Workshop(engine, loaded(mailer, effect_max_attempts=2))
    shop.dispatch(make_event())
    for _ in range(2):
        claim(engine, OTHER)
        make_due(engine)
    shop.performer.run_due()
    assert mailer.performed == []
    (row,) = waiting(engine)
    assert row.state == "dead"
    assert "2 times in a row" in row.error


def test_two_claimers_at_once_share_without_waiting(postgres_engine: Engine) -> None:
    added(postgres_engine, *range(6))
    with short_transaction(postgres_engine) as mine, short_transaction(postgres_engine) as theirs:
        one = queue.claim(mine, 1, 2, 60.0, ME)
        two = queue.claim(theirs, 1, 4, 60.0, OTHER)
    assert (len(one), len(two)) == (2, 4)
    assert {due.id for due in one}.isdisjoint(due.id for due in two)


def test_leases_of_a_dead_process_are_freed_with_or_without_their_attempts(engine: Engine) -> None:
    added(engine, "a")
    for uncount, attempts in ((False, 1), (True, 1)):
        assert len(claim(engine)) == 1
        with short_transaction(engine) as connection:
            assert estate.owners(connection) == [ME]
            assert estate.release_owner(connection, OTHER, uncount=uncount) == 0
            assert estate.release_owner(connection, ME, uncount=uncount) == 1
        (row,) = waiting(engine)
        assert (row.attempts, row.owner) == (attempts, None)


@pytest.mark.parametrize("change", ["pause", "retire"])
def test_effects_of_a_plugin_that_is_not_called_wait(engine: Engine, change: str) -> None:
    mailer = Mailer(add("mail"))
    shop = Workshop(engine, loaded(mailer))
    shop.dispatch(make_event())
    with short_transaction(engine) as connection:
        getattr(registry, change)(connection, "mailer")
    assert shop.performer.run_due() == 0
    assert [row.attempts for row in waiting(engine)] == [0]
    with short_transaction(engine) as connection:
        registry.sync(connection, ["mailer"], [])
        registry.resume(connection, "mailer")
    assert shop.performer.run_due() == 1


def test_a_plugin_that_is_paused_meanwhile_has_the_rest_given_back(engine: Engine) -> None:
    def act(_: Effect) -> None:
        with short_transaction(engine) as connection:
            registry.pause(connection, "mailer")

    mailer = Mailer(add("first", "second", "third"), act)
    shop = Workshop(engine, loaded(mailer))
    shop.dispatch(make_event())
    shop.performer.run_due()
    assert mailer.payloads == ["first"]
    assert [(row.attempts, row.owner) for row in waiting(engine)] == [(0, None)] * 2


def test_a_process_that_is_told_to_stop_finishes_one_effect_and_gives_the_rest_back(
    engine: Engine,
) -> None:
    mailer, other = Mailer(add("first", "second")), Mailer(add("third"), name="other")
    shop = Workshop(engine, loaded(mailer), loaded(other))
    shop.dispatch(make_event())
    mailer.act = lambda _: setattr(shop, "stopping", True)
    assert shop.performer.run_due() == 2
    assert (mailer.payloads, other.payloads) == (["first"], [])
    assert [(row.attempts, row.owner) for row in waiting(engine)] == [(0, None)] * 2


def test_effects_of_a_plugin_that_is_off_or_cannot_perform_any_more_wait(engine: Engine) -> None:
    added(engine, "mail")
    shop = Workshop(engine, loaded(Plugin("mailer")))
    assert shop.performer.run_due() == 0
    shop = Workshop(engine, loaded(Mailer()))
    shop.register([], ["mailer"])
    assert shop.performer.run_due() == 0
    shop.register(["mailer"])
    assert shop.performer.run_due() == 1


def test_an_outage_after_an_effect_was_performed_does_not_perform_it_again(
    postgres_engine: Engine, shared_postgres_url: str, new_engine: Callable[[str], Engine]
) -> None:
    """The end of the call is written down when the database is back."""
    outside = new_engine(shared_postgres_url)

    def end_all_connections(_: Effect) -> None:
        with outside.connect() as connection:
            connection.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    mailer = Mailer(add("first", "second"), end_all_connections)
    shop = Workshop(postgres_engine, loaded(mailer))
    shop.dispatch(make_event())
    with pytest.raises(DatabaseUnavailable):
        shop.performer.run_due()
    assert mailer.payloads == ["first"]
    assert len(waiting(outside)) == 2
    mailer.act = None
    shop.performer.run_due()
    assert mailer.payloads == ["first", "second"]
    assert [each.attempt for each in mailer.performed] == [1, 1]
    assert waiting(outside) == []


def test_on_sqlite_a_look_that_finds_nothing_due_needs_no_write_lock(
    sqlite_engine: Engine,
) -> None:
    mailer = Mailer(add("ann"))
    shop = Workshop(sqlite_engine, loaded(mailer))
    shop.dispatch(make_event())
    assert shop.performer.run_due() == 1
    begun: list[str] = []
    listen(sqlite_engine, "begin", lambda connection: begun.append(_kind(connection)))
    with short_transaction(sqlite_engine):
        assert shop.performer.run_due() == 0
    assert begun.count("write") == 1  # the one around it


def _kind(connection: Connection) -> str:
    immediate = connection.get_execution_options().get("eventworker_immediate")
    return "write" if immediate else "read"
