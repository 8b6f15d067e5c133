"""The SQL of hooks, on each database; no hook is called here."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select, update

from eventworker.db import Failure, clock, short_transaction
from eventworker.pubsub.facts import NewItem
from eventworker.pubsub.hooks import ending, queue, sessions
from eventworker.pubsub.hooks.queue import Run
from eventworker.pubsub.hooks.table import audit_table, hook_table, run_table
from tests.helpers.hooks import Hooks
from tests.helpers.pubsub import ANN, BEN, entry, item


@pytest.fixture
def hooks(engine: Engine, tmp_path: Path) -> Iterator[Hooks]:
    made = Hooks(engine, tmp_path)
    made.desk.create("news", made.settings.itself)
    made.with_options(admins=frozenset({ANN.bare, BEN.bare}))
    yield made
    made.close()


def change(hooks: Hooks, act: Any, *arguments: Any) -> Any:
    with short_transaction(hooks.engine) as connection:
        return act(connection, *arguments)


def claim(hooks: Hooks, owner: str = "host/1/1", lease: float = 60) -> Run | None:
    claimed: Run | None = change(hooks, queue.claim, lease, owner)
    return claimed


def done(hooks: Hooks, run: Run, owner: str = "host/1/1") -> None:
    change(hooks, queue.done, run, owner, "out\x00")


@pytest.mark.row("HK-10")
def test_each_hook_gets_each_item_in_order_and_one_at_a_time(hooks: Hooks) -> None:
    itself = hooks.settings.itself
    numbers = [hooks.give("news", "python_code", f"{name} = 1") for name in "ab"]
    payload = entry("ü😀" * 5000)
    hooks.desk.publish("news", itself, [NewItem("1", payload), NewItem("2", entry())])
    hooks.desk.publish("news", itself, [item("3")])
    assert len(hooks.rows()) == 6
    assert len({(row.publication, row.n, row.hook_id) for row in hooks.rows()}) == 6
    taken: list[tuple[int, str | None]] = []
    first, second = claim(hooks), claim(hooks)
    assert first is not None
    assert second is not None
    assert {first.hook_id, second.hook_id} == set(numbers)
    assert (first.payload, first.publisher) == (payload, "pubsub.localhost")
    assert claim(hooks) is None
    for run in (first, second):
        taken.append((run.hook_id, run.item_id))
        done(hooks, run)
    while (run := claim(hooks)) is not None:
        taken.append((run.hook_id, run.item_id))
        done(hooks, run)
    for number in numbers:
        assert [name for hook, name in taken if hook == number] == ["1", "2", "3"]
    assert hooks.hook(numbers[0]).runs == 3


def test_owners_take_turns_whatever_number_of_hooks_they_have(hooks: Hooks) -> None:
    """Who has given many hooks keeps nobody waiting who has given one."""
    for n in range(40):
        hooks.give("news", "python_code", f"a = {n}", ANN)
    hooks.give("news", "python_code", "pass", BEN)
    hooks.desk.publish("news", hooks.settings.itself, [item("1"), item("2")])
    owners: list[str] = []
    for _ in range(6):
        run = claim(hooks)
        assert run is not None
        owners.append(run.owner)
        done(hooks, run)
    assert sorted(owners[:2]) == sorted(owners[2:4]) == [ANN.bare, BEN.bare]
    assert owners[4:] == [ANN.bare] * 2


def test_a_claim_passes_over_those_that_it_is_told_to(hooks: Hooks) -> None:
    for actor in (ANN, BEN):
        hooks.give("news", "python_code", "pass", actor)
    hooks.desk.publish("news", hooks.settings.itself, [item("1")])
    run = change(hooks, queue.claim, 60, "host/1/1", [ANN.bare])
    assert run.owner == BEN.bare
    assert change(hooks, queue.claim, 60, "host/1/1", [ANN.bare, "x@y"]) is None
    assert change(hooks, queue.claim, 60, "host/1/1", ["x@y"]).owner == ANN.bare


def test_many_claim_and_nothing_is_taken_twice(hooks: Hooks) -> None:
    for n in range(4):
        hooks.give("news", "python_code", f"a = {n}")
    hooks.desk.publish("news", hooks.settings.itself, [item(str(n)) for n in range(5)])

    def work(n: int) -> list[str]:
        keys, owner, misses = [], f"host/1/{n}", 0
        while misses < 20:
            if (run := claim(hooks, owner)) is None:
                misses += 1
                continue
            keys.append(run.key)
            done(hooks, run, owner)
        return keys

    with ThreadPoolExecutor(3) as threads:
        keys = [key for found in threads.map(work, range(3)) for key in found]
    assert len(keys) == len(set(keys)) == 20


def test_a_lease_that_ends_gives_the_run_to_another_who_alone_may_end_it(hooks: Hooks) -> None:
    number = hooks.give("news", "python_code", "pass")
    hooks.desk.publish("news", hooks.settings.itself, [item("1")])
    slow = claim(hooks, lease=-1)
    other = claim(hooks, "host/2/1")
    assert slow is not None
    assert other is not None
    assert (other.id, other.attempts, other.key) == (slow.id, 2, slow.key)
    change(hooks, queue.fail, slow, "host/1/1", Failure("late"), "")
    assert hooks.rows()[0].state == "pending"
    assert hooks.hook(number).holder == "host/2/1"
    done(hooks, other, "host/2/1")
    assert (hooks.rows()[0].state, hooks.rows()[0].output) == (
        "done",
        "out\N{REPLACEMENT CHARACTER}",
    )


def test_what_the_dead_held_is_free_and_counted(hooks: Hooks) -> None:
    hooks.give("news", "python_code", "pass")
    hooks.desk.publish("news", hooks.settings.itself, [item("1")])
    assert claim(hooks) is not None
    assert change(hooks, queue.holders) == ["host/1/1"]
    change(hooks, queue.release_of, "host/1/1")
    again = claim(hooks)
    assert again is not None
    assert again.attempts == 2
    change(hooks, queue.give_back, again, "host/1/1")
    assert hooks.rows()[0].attempts == 1


def test_broken_hooks_are_passed_over_and_mended(hooks: Hooks) -> None:
    broken = hooks.give("news", "python", "absent")
    hooks.desk.publish("news", hooks.settings.itself, [item("1")])
    run = claim(hooks)
    assert run is not None
    change(hooks, queue.break_hook, run, "host/1/1", "no module", None)
    assert hooks.hook(broken).state == "broken"
    assert claim(hooks) is None
    assert change(hooks, queue.mend, lambda name: None) == 0
    with short_transaction(hooks.engine) as connection:
        connection.execute(update(hook_table).values(free_at=clock(-1)))
    assert change(hooks, queue.mend, lambda name: None) == 1
    assert claim(hooks) is not None


def test_sessions_and_leases_on_each_database(hooks: Hooks) -> None:
    session = change(hooks, sessions.begin, "host/1/2")
    hooks.give("news", "python_code", "a = 'ü'", persistent=False)
    hooks.give("news", "python_code", "b = 1", lease=0.001)
    hooks.desk.publish("news", hooks.settings.itself, [item("1")])
    assert [row.hook_id for row in hooks.rows()] == [
        hooks.list()[0].sha256 and hooks.rows()[0].hook_id
    ]
    assert change(hooks, sessions.begin, "host/1/2") == session
    assert change(hooks, ending.end_overdue, "pubsub.localhost") == 1
    change(hooks, sessions.end, session)
    assert change(hooks, ending.end_overdue, "pubsub.localhost") == 1
    change(hooks, sessions.end_overdue)
    with hooks.engine.connect() as connection:
        what = connection.scalars(select(audit_table.c.what).order_by(audit_table.c.id)).all()
        assert connection.execute(select(run_table)).all() == []
    assert what == ["create", "create", "end", "end"]


def test_the_end_of_a_run_is_kept_and_old_ones_go(hooks: Hooks) -> None:
    hooks.give("news", "python_code", "pass")
    hooks.desk.publish("news", hooks.settings.itself, [item(name) for name in "abc"])
    for _ in range(2):
        run = claim(hooks)
        assert run is not None
        done(hooks, run)
    run = claim(hooks)
    assert run is not None
    change(hooks, queue.fail, run, "host/1/1", Failure("bad\x00", "trace"), "o" * 69999 + "\x00")
    (listed,) = hooks.list()
    assert (listed.error, len(listed.output), listed.runs, listed.failures) == ("bad", 70000, 3, 1)
    assert change(hooks, ending.prune, 1) == 2
    assert change(hooks, ending.prune, 1) == 0
    assert [row.state for row in hooks.rows()] == ["dead"]
    assert change(hooks, queue.give_up, 1) == 0
