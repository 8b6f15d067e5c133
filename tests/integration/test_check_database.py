"""A plugin may look at the database before its first event, and be broken rather than fail."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, insert, text

from eventworker import migrations
from eventworker.db import build_engine
from eventworker.engine.loader import Discovery, check_databases
from eventworker.errors import ConfigError, DatabaseUnavailable
from tests.helpers.commands import Commands
from tests.helpers.databases import deliveries, effect_table, effects
from tests.helpers.events import make_event
from tests.helpers.plugins import Plugin, Workshop, loaded
from tests.helpers.subscriptions import worker


def check(connection: Connection) -> None:
    """A table is missing; it has written before it notices."""
    connection.execute(insert(effect_table).values(event_id="", what="checking"))
    if connection.dialect.has_table(connection, "wanted"):
        return
    raise ConfigError("there is no table wanted")


def found(*plugins: Any) -> Discovery:
    return Discovery(loaded=[loaded(each) for each in plugins])


def test_a_plugin_that_finds_its_table_missing_is_broken_and_costs_the_others_nothing(
    engine: Engine,
) -> None:
    plugins = found(Plugin("plain"), Plugin("picky", check_database=check))
    check_databases(plugins, engine)
    assert [each.name for each in plugins.loaded] == ["plain"]
    assert plugins.broken == {"picky": "ConfigError: there is no table wanted"}
    assert effects(engine) == []


def test_its_events_wait_without_an_attempt_until_the_table_is_there(
    database_url: str, new_engine: Callable[[str], Engine]
) -> None:
    engine = new_engine(database_url)
    migrations.upgrade(engine)
    effect_table.metadata.create_all(engine)
    plugin = Plugin("picky", check_database=check)
    plugins = found(plugin)
    check_databases(plugins, engine)
    shop = Workshop(engine, *plugins.loaded)
    shop.register(["picky"])
    shop.dispatch(make_event())
    (waiting,) = deliveries(engine)
    assert (waiting.state, waiting.attempts) == ("pending", 0)

    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE wanted (id int)"))
    plugins = found(plugin)
    check_databases(plugins, engine)
    restarted = Workshop(engine, *plugins.loaded)
    assert restarted.runner.run_due() == 1
    assert deliveries(engine) == []
    assert effects(engine) == ["picky"]


def test_a_database_that_is_away_breaks_no_plugin() -> None:
    engine = build_engine("postgresql+psycopg://nobody@127.0.0.1:1/events")
    plugins = found(Plugin("picky", check_database=check))
    with pytest.raises(DatabaseUnavailable):
        check_databases(plugins, engine)
    assert [each.name for each in plugins.loaded] == ["picky"]
    engine.dispose()


def test_a_connection_that_is_lost_in_the_middle_breaks_no_plugin(postgres_engine: Engine) -> None:
    def killed(connection: Connection) -> None:
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    plugins = found(Plugin("picky", check_database=killed))
    with pytest.raises(DatabaseUnavailable):
        check_databases(plugins, postgres_engine)
    assert [each.name for each in plugins.loaded] == ["picky"]


def test_a_plugin_whose_own_other_database_is_away_is_broken_alone(engine: Engine) -> None:
    """Else nobody's events would be handled for as long as that one is away."""

    def look(_connection: Connection) -> None:
        create_engine("postgresql+psycopg://nobody@127.0.0.1:1/other").connect()

    plugins = found(Plugin("plain"), Plugin("picky", check_database=look))
    check_databases(plugins, engine)
    assert [each.name for each in plugins.loaded] == ["plain"]
    assert "Connection refused" in plugins.broken["picky"]


def test_a_wrong_table_of_the_subscription_plugin_is_found_before_its_first_event(
    engine: Engine,
) -> None:
    plugin = loaded(worker(notification_table="missing"), name="subscription")
    plugins = Discovery(loaded=[plugin])
    check_databases(plugins, engine)
    assert plugins.broken == {
        "subscription": "ConfigError: [plugin:subscription] notification_table: "
        "there is no table missing in the database"
    }


def test_config_check_and_plugins_list_say_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/events.sqlite"
    engine = create_engine(url)
    migrations.upgrade(engine)
    engine.dispose()
    command = Commands(
        tmp_path / "eventworker.conf",
        f"[DEFAULT]\nenable_notifications = True\n[database]\nconnection = {url}\n"
        "[notifications]\ndriver = sql\n[plugins]\nonly = subscription\n"
        "[plugin:subscription]\nenabled = True\n"
        "belongs_to = story:eventworker_subscription(target_id,project):project\n",
    )
    sentence = "belongs_to: table eventworker_subscription has no column project; it has "
    assert sentence not in command("config", "check").out
    checked = command("config", "check", "--connect", "-O", "json")
    (warning,) = checked.json["warnings"]
    assert warning.startswith("plugin subscription cannot be loaded: ConfigError: ")
    assert sentence in warning
    here = {row["name"]: row["here"] for row in command("plugins", "list", "-O", "json").json}
    assert sentence in here["subscription"]
