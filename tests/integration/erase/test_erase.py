"""Erasing: what is kept of an event beyond its id is gone, wherever it stood, and nothing else."""

import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, insert, select, update

from eventworker import effects as effects_outside
from eventworker.db import clock, metadata, short_transaction
from eventworker.effects.table import effect_table as performed_later
from eventworker.effects.table import shared_table
from eventworker.engine import eraser
from eventworker.engine.eraser import Eraser
from eventworker.engine.kept import PLACES
from eventworker.engine.loader import Discovery
from eventworker.erasure import Erasure
from eventworker.event import Event
from eventworker.inbox import backlog
from eventworker.inbox.backlog import Failure, delivery_table, event_table
from eventworker.inbox.claims import FirstClaim, Outcome, run_once
from eventworker.inbox.quarantine import quarantine_table
from eventworker.outbox import queue
from eventworker.outbox.table import outbox_table
from tests.helpers.databases import (
    Author,
    count,
    deliveries,
    effect_table,
    effects,
    outcomes,
    rows,
    write,
)
from tests.helpers.effects import Mailer
from tests.helpers.erasing import (
    ADA,
    CANARY,
    by_ada,
    confirmed,
    everything,
    failed,
    ready,
    sent,
    unreadable,
)
from tests.helpers.events import make_event
from tests.helpers.plugins import Plugin, Workshop, loaded, time_limits


def erase(engine: Engine, erasure: Erasure = ADA, **options: Any) -> eraser.Erased:
    return Eraser(engine, erasure, **options).run()


def test_nothing_of_an_author_is_left_but_ids_and_all_of_the_others_is(engine: Engine) -> None:
    mine = [sent(engine, by_ada()), failed(engine, by_ada())]
    unreadable(engine, by_ada())
    others = make_event(author_id=8, resource_after={"text": "other"})
    sent(engine, others)
    failed(engine, make_event(author_id=77))
    unreadable(engine, make_event(author_id=8))
    before = {
        table: count(engine, table) for table in (outbox_table, event_table, quarantine_table)
    }
    assert CANARY in everything(engine)

    erased = erase(engine)

    assert CANARY not in everything(engine)
    assert dict(erased.rows) == {
        "eventworker_outbox": 1,
        "eventworker_event": 1,
        "eventworker_delivery": 1,
        "eventworker_effect": 0,
        "eventworker_effect_shared": 0,
        "eventworker_quarantine": 1,
    }
    assert (erased.waiting, erased.held) == (set(), set())
    after = {table: count(engine, table) for table in before}
    assert after == {table: number - 1 for table, number in before.items()}
    assert outcomes(engine)[mine[0].id, 1] is Outcome.DONE
    assert outcomes(engine)[mine[1].id, 1] is Outcome.DISCARDED


def test_an_erased_event_that_comes_again_is_not_handled_again(engine: Engine) -> None:
    event = sent(engine, by_ada())
    erase(engine)
    claim = FirstClaim(event.id, 1)
    assert not run_once(engine, claim, lambda session: write(session, "again"))
    assert effects(engine) == ["done", "done"]


@pytest.mark.parametrize(
    "make", [ready, confirmed, lambda engine, event: failed(engine, event, 60.0)]
)
def test_what_is_still_to_be_handled_is_left_and_told(
    engine: Engine, make: Callable[[Engine, Event], Event]
) -> None:
    event = make(engine, by_ada())
    before = everything(engine)
    erased = erase(engine)
    assert erased.waiting == {event.id}
    assert everything(engine) == before


def test_a_dead_letter_of_one_plugin_waits_for_the_other_ones_retry(engine: Engine) -> None:
    event = failed(engine, by_ada())
    with short_transaction(engine) as connection:
        backlog.park(connection, event, [2])
    assert erase(engine).waiting == {event.id}
    assert len(deliveries(engine)) == 2


def test_open_work_can_be_erased_too_and_is_discarded(engine: Engine) -> None:
    waiting_one = ready(engine, by_ada())
    retrying = failed(engine, by_ada(), 60.0)
    in_the_broker = confirmed(engine, by_ada())
    erased = erase(engine, open_too=True)
    assert CANARY not in everything(engine)
    assert erased.waiting == set()
    # Of the one nobody had heard yet: should it come again, both know that it is over.
    events = (waiting_one, retrying, in_the_broker)
    gone = {(event.id, plugin) for event in events for plugin in (1, 2)}
    assert outcomes(engine) == dict.fromkeys(gone, Outcome.DISCARDED)


def test_the_body_of_what_was_discarded_is_not_stored_again(engine: Engine) -> None:
    """It was on its way in the broker, or in a first call, of which no row tells."""
    event = ready(engine, by_ada())
    erase(engine, open_too=True)
    with short_transaction(engine) as connection:
        backlog.park(connection, event, [1, 2])
        backlog.fail_first(connection, event, 1, Failure(str(event.id), delay=0.0))
    assert CANARY not in everything(engine)
    assert deliveries(engine) == []


@pytest.mark.parametrize("open_too", [False, True])
def test_what_a_process_has_in_hand_is_left(engine: Engine, open_too: bool) -> None:
    leased, called = ready(engine, by_ada()), failed(engine, by_ada(), 0.0)
    with short_transaction(engine) as connection:
        queue.claim(connection, 10, 60.0, "host/1")
        backlog.claim(connection, [1], 10, 60.0, "host/1")
    erased = erase(engine, open_too=open_too)
    assert erased.held == {leased.id, called.id}
    assert sum(erased.rows.values()) == 0
    assert (count(engine, outbox_table), len(deliveries(engine))) == (1, 1)


def test_a_row_that_another_transaction_has_locked_is_in_hand(engine: Engine) -> None:
    """A call whose lease has run out goes on in its transaction, and is not waited for."""
    if engine.dialect.name == "sqlite":
        pytest.skip("there one transaction writes at a time")
    event = failed(engine, by_ada(), 60.0)
    with engine.begin() as other:
        other.execute(select(delivery_table.c.id).with_for_update())
        erased = erase(engine, open_too=True)
    assert erased.held == {event.id}
    assert len(deliveries(engine)) == 1


def test_a_plugin_that_is_owed_the_event_at_this_moment_keeps_it(engine: Engine) -> None:
    """The transaction that parks has stored the event; the erasure waits for its deliveries."""
    if engine.dialect.name == "sqlite":
        pytest.skip("there one transaction writes at a time")
    event = sent(engine, by_ada())
    with short_transaction(engine) as connection:
        backlog.store(connection, event)  # left by a row that is done
    result: list[eraser.Erased] = []
    with engine.begin() as parking:
        backlog.store(parking, event)
        thread = threading.Thread(target=lambda: result.append(erase(engine)))
        thread.start()
        thread.join(timeout=30)
        assert not thread.is_alive(), "it waits"
        parking.execute(insert(delivery_table).values(_pending(event.id)))
    assert result[0].held == {event.id}
    assert count(engine, event_table) == 1


def _pending(event_id: UUID) -> dict[str, Any]:
    return {
        "event_id": event_id,
        "plugin": 2,
        "state": "pending",
        "attempts": 0,
        "due_at": clock(),
        "created_at": clock(),
    }


def test_by_resource_and_by_event(engine: Engine) -> None:
    chosen = sent(engine, make_event(resource="story", resource_id=42))
    below = sent(
        engine,
        make_event(resource="project", resource_id=1, sub_resource="story", sub_resource_id=42),
    )
    other = sent(engine, make_event(resource="story", resource_id=43))
    assert erase(engine, Erasure(event=chosen.id)).rows["eventworker_outbox"] == 1
    assert erase(engine, Erasure(resource=("story", "42"))).rows["eventworker_outbox"] == 1
    assert [row.id for row in rows(engine, outbox_table)] == [other.id]
    assert (below.id, 1) in outcomes(engine)


def test_an_event_in_quarantine_is_found_by_the_id_beside_it(engine: Engine) -> None:
    event = by_ada()
    unreadable(engine, event)
    unreadable(engine, by_ada(resource_id=5))
    assert erase(engine, Erasure(event=event.id)).rows["eventworker_quarantine"] == 1
    assert count(engine, quarantine_table) == 1


def test_an_outbox_row_that_is_no_event_is_searched_as_text(engine: Engine) -> None:
    event = ready(engine, by_ada())
    with short_transaction(engine) as connection:
        connection.execute(update(outbox_table).values(body=b'{"author_id": 7, ' + b"}"))
        queue.bury(connection, event.id, f"never: {CANARY}")
    erase(engine)
    assert count(engine, outbox_table) == 0


def test_many_rows_are_erased_in_bites_and_the_rest_by_the_next_run(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eraser, "_BITE", 3)
    for number in range(10):
        sent(engine, by_ada(resource_id=number))
        sent(engine, make_event(author_id=8, resource_id=number))
    interrupted = Eraser(engine, ADA)
    looked_at: list[int] = []

    def stop_after_the_second_page(count: int) -> None:
        looked_at.append(count)
        if count >= 6:
            raise KeyboardInterrupt

    interrupted.progress = stop_after_the_second_page
    with pytest.raises(KeyboardInterrupt):
        interrupted.run()
    done = interrupted.erased.rows["eventworker_outbox"]
    assert 0 < done < 10
    assert erase(engine).rows["eventworker_outbox"] == 10 - done
    assert count(engine, outbox_table) == 10


def test_a_dry_run_counts_and_changes_nothing(engine: Engine) -> None:
    sent(engine, by_ada())
    failed(engine, by_ada())
    unreadable(engine, by_ada())
    before = everything(engine)
    told = erase(engine, dry_run=True)
    assert everything(engine) == before
    assert told.rows == erase(engine).rows
    assert sum(told.rows.values()) == 4


class Keeping(Plugin):
    """A plugin with a table of its own."""

    def erase(self, connection: Any, erasure: Erasure) -> int:
        if erasure.author == "9":
            raise RuntimeError("not them")
        return int(connection.execute(self.table.delete()).rowcount)

    table: Any = None


def test_plugins_erase_what_they_keep_and_one_that_fails_is_named(engine: Engine) -> None:
    plugin = Keeping("keeper", table=effect_table)
    plugins = Discovery(loaded=[loaded(plugin), loaded(Plugin("plain"))])
    with short_transaction(engine) as connection:
        write(connection, CANARY)

    for erasure, dry_run in ((ADA, True), (Erasure(author="9"), False)):
        asked = Eraser(engine, erasure, dry_run=dry_run)
        asked.ask(plugins)
        assert effects(engine) == [CANARY]
    assert asked.erased.failed == {"keeper": "RuntimeError: not them"}

    asked = Eraser(engine, ADA)
    asked.ask(plugins)
    assert effects(engine) == []
    assert asked.erased.rows == {"plugin keeper": 1}


def test_the_payloads_of_effects_go_with_their_event(engine: Engine) -> None:
    def body(session: Any, _event: Event) -> None:
        session.execute(insert(Author).values(id=1, name=CANARY))
        effects_outside.add(session, {"text": CANARY})
        each = select(Author.id.label("to"), Author.name)
        effects_outside.add_each(session, each, shared={"about": CANARY})

    event = by_ada()
    with time_limits():
        Workshop(engine, loaded(Mailer(body, name="audit"))).dispatch(ready(engine, event))
    with short_transaction(engine) as connection:
        queue.settle(connection, [event.id])
    assert count(engine, shared_table) == 1
    assert erase(engine).waiting == {event.id}
    assert count(engine, performed_later) == 2

    erased = erase(engine, open_too=True)
    assert erased.rows["eventworker_effect"] == 2
    assert erased.rows["eventworker_effect_shared"] == 1
    assert [count(engine, table) for table in (performed_later, shared_table)] == [0, 0]
    assert outcomes(engine)[event.id, 1] is Outcome.DONE


def test_every_table_with_a_body_is_a_place() -> None:
    """A new table that keeps payload has to be named in PLACES, or here with its reason."""
    otherwise = {
        "eventworker_quarantine",  # has no event id; Eraser looks through it by itself
        "eventworker_pubsub_item",  # pubsub-publish erases it, and what hooks were given of it
        "eventworker_pubsub_hook_run",
        "eventworker_pubsub_hook",  # why its file could not be loaded
    }
    with_payload = {
        table.name
        for table in metadata.sorted_tables
        if {"body", "payload", "error", "traceback"} & set(table.columns.keys())
    }
    assert with_payload == {place.table.name for place in PLACES} | otherwise
