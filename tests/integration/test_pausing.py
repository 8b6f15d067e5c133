"""A paused plugin is owed everything and called with nothing; its neighbours go on."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from eventworker import migrations
from eventworker.db import short_transaction
from eventworker.engine.registered import RegistryView
from eventworker.errors import PluginError
from eventworker.inbox import backlog, registry
from eventworker.inbox.claims import Outcome
from tests.helpers.commands import Commands
from tests.helpers.databases import deliveries, effects, outcomes
from tests.helpers.events import make_event
from tests.helpers.plugins import Plugin, Workshop, loaded, time_limits


@pytest.fixture(autouse=True)
def _limits() -> Iterator[None]:
    with time_limits():
        yield


def pause(engine: Engine, name: str, **why: str) -> registry.Registered:
    with short_transaction(engine) as connection:
        return registry.pause(connection, name, **why)


def resume(engine: Engine, name: str) -> registry.Registered:
    with short_transaction(engine) as connection:
        return registry.resume(connection, name)


def known(engine: Engine, name: str) -> registry.Registered:
    with short_transaction(engine) as connection:
        (found,) = [each for each in registry.read(connection) if each.name == name]
    return found


def test_events_are_parked_and_acked_while_the_neighbour_goes_on(engine: Engine) -> None:
    a, b = Plugin("a"), Plugin("b")
    shop = Workshop(engine, loaded(a), loaded(b))
    pause(engine, "A")
    for _ in range(3):
        shop.dispatch(make_event())
    shop.dispatch(make_event(), redelivered=True)
    while shop.runner.run_due():
        pass
    assert (a.calls, b.calls) == (0, 4)
    assert {(row.plugin, row.state, row.attempts) for row in deliveries(engine)} == {
        (1, "pending", 0)
    }

    resume(engine, "a")
    shop.dispatch(make_event())
    while shop.runner.run_due():
        pass
    assert (a.calls, b.calls) == (5, 5)
    assert effects(engine) == ["a"] * 5 + ["b"] * 5
    assert set(outcomes(engine).values()) == {Outcome.DONE}
    assert deliveries(engine) == []


def test_what_it_does_not_want_is_not_parked_and_its_own_condition_is_not_asked(
    engine: Engine,
) -> None:
    def never_asked(_: object) -> bool:
        raise AssertionError

    plugin = Plugin("a", resources={"story"}, wants=never_asked)
    shop = Workshop(engine, loaded(plugin))
    pause(engine, "a")
    shop.dispatch(make_event(resource="task"))
    shop.dispatch(make_event(resource="story"))
    assert [(row.state, row.attempts) for row in deliveries(engine)] == [("pending", 0)]


def test_a_pause_in_the_middle_of_a_delivery_holds_for_the_plugins_behind(
    postgres_engine: Engine,  # SQLite has one writer: there a pause waits for the call's end
) -> None:
    engine = postgres_engine
    a, b = Plugin("a", lambda *_: pause(engine, "b") and None), Plugin("b")
    shop = Workshop(engine, loaded(a), loaded(b))
    shop.dispatch(make_event())
    assert (a.calls, b.calls) == (1, 0)
    assert {plugin: outcome for (_, plugin), outcome in outcomes(engine).items()} == {
        1: Outcome.DONE,
        2: Outcome.PENDING,
    }


def test_a_pause_in_the_middle_of_the_backlog_gives_back_what_has_not_begun(
    postgres_engine: Engine,
) -> None:
    engine = postgres_engine
    a = Plugin("a", lambda *_: pause(engine, "a") and None)
    b = Plugin("b")
    shop = Workshop(engine, loaded(a), loaded(b))
    with short_transaction(engine) as connection:
        for _ in range(3):
            backlog.park(connection, make_event(), [1, 2])
    assert shop.runner.run_due() == 6
    assert (a.calls, b.calls) == (1, 3)
    assert [(row.plugin, row.state, row.attempts, row.owner) for row in deliveries(engine)] == [
        (1, "pending", 0, None)
    ] * 2


def test_a_pause_outlasts_restarts_and_being_off(engine: Engine) -> None:
    shop = Workshop(engine, loaded(Plugin("a")))
    pause(engine, "a", by="ann", reason="the disk\nis full")
    shop.register(["a"])
    shop.register([], off=["a"])
    assert not known(engine, "a").is_paused  # it is off
    shop.register(["a"])
    found = known(engine, "a")
    assert found.is_paused
    assert (found.paused_by, found.pause_reason) == ("ann", "the disk is full")


def test_pausing_twice_keeps_the_time_and_takes_the_later_reason(engine: Engine) -> None:
    Workshop(engine, loaded(Plugin("a")))
    assert pause(engine, "a", by="ann", reason="one").paused_at is None
    first = known(engine, "a").paused_at
    assert pause(engine, "a", by="bob", reason="two").paused_at == first
    found = known(engine, "a")
    assert (found.paused_at, found.paused_by, found.pause_reason) == (first, "bob", "two")
    assert first is not None
    assert found.pause == (
        f"plugin a is paused, its events wait (since {first:%Y-%m-%dT%H:%M:%SZ} by bob: two)"
    )


def test_an_unknown_or_retired_plugin_cannot_be_paused_and_retiring_ends_a_pause(
    engine: Engine,
) -> None:
    shop = Workshop(engine, loaded(Plugin("a")))
    pause(engine, "a")
    with short_transaction(engine) as connection:
        registry.retire(connection, "a")
    for verb in (pause, resume):
        with pytest.raises(PluginError, match="plugin a is retired"):
            verb(engine, "a")
        with pytest.raises(PluginError, match="no plugin b is registered"):
            verb(engine, "b")
    shop.register(["a"])
    assert not known(engine, "a").is_paused


def test_a_consumer_says_once_that_it_has_seen_a_pause_and_its_end(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    shop = Workshop(engine, loaded(Plugin("a")), loaded(Plugin("b")))
    pause(engine, "b")
    view: RegistryView = shop.view
    with caplog.at_level(logging.INFO, "eventworker.engine"):
        view.debts()  # so it was at the start, where the daemon says it
        pause(engine, "a", reason="no disk")
        view.debts()
        view.debts()
        resume(engine, "a")
        view.debts()
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2, said
    assert said[0].startswith("plugin a is paused, its events wait (since ")
    assert said[0].endswith(": no disk)")
    assert said[1] == "plugin a is resumed"


@pytest.fixture
def migrated(
    database_url: str, new_engine: Callable[[str], Engine], tmp_path: Path
) -> tuple[Engine, Commands]:
    built = new_engine(database_url)
    migrations.upgrade(built)
    with short_transaction(built) as connection:
        registry.sync(connection, ["ledger", "gone"], [])
        registry.retire(connection, "gone")
    return (
        built,
        Commands(
            tmp_path / "eventworker.conf",
            f"[database]\nconnection = {database_url}\n[notifications]\ndriver = sql\n",
        ),
    )


def row(command: Commands, name: str) -> Any:
    (found,) = [
        each for each in command("plugins", "list", "-O", "json").json if each["name"] == name
    ]
    return found


def test_the_commands_say_what_they_did_and_the_list_shows_it(
    migrated: tuple[Engine, Commands],
) -> None:
    engine, command = migrated
    with short_transaction(engine) as connection:
        backlog.park(connection, make_event(), [1])

    done = command("plugins", "pause", "Ledger", "--reason", "the disk is full")
    assert (done.code, done.out) == (0, "plugin ledger is paused; its events wait\n")
    shown = row(command, "ledger")
    assert (shown["state"], shown["pause_reason"]) == ("paused", "the disk is full")
    assert shown["paused_by"]
    assert shown["since"] == row(command, "ledger")["since"]
    assert "the disk is full" in command("plugins", "list").out
    again = command("plugins", "pause", "ledger", "-O", "json")
    assert again.json == {"paused": "ledger", "changed": False}

    done = command("plugins", "resume", "ledger")
    assert (done.code, done.out) == (0, "plugin ledger is resumed; 1 delivery waits for it\n")
    assert row(command, "ledger")["state"] == "on"
    done = command("plugins", "resume", "ledger")
    assert (done.code, done.out) == (0, "plugin ledger was not paused\n")


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_the_commands_refuse_unknown_and_retired_names_in_one_line(
    migrated: tuple[Engine, Commands], verb: str
) -> None:
    _, command = migrated
    for name, said in (("gone", "plugin gone is retired"), ("typo", "no plugin typo")):
        result = command("plugins", verb, name)
        assert (result.code, result.out) == (1, "")
        assert result.err.startswith(f"eventworker: {said}")
        assert len(result.err.splitlines()) == 1
