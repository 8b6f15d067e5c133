"""The plugin's own table: how it comes into being, and what is said while it is not there."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from eventworker_audit import AuditWorker, list_opts
from eventworker_audit.cli import main
from eventworker_audit.schema import VERSION_TABLE, is_current, upgrade
from eventworker_audit.table import metadata
from sqlalchemy import Engine, inspect

from eventworker.errors import PluginError
from eventworker.plugin import ENTRY_POINT_GROUP
from eventworker.testing import Harness

MakeHarness = Callable[..., Harness]


def test_with_its_table_the_plugin_is_enabled(make_harness: MakeHarness) -> None:
    assert make_harness().plugin.enabled() is True


def test_without_its_table_the_plugin_says_which_command_makes_it(
    make_harness: MakeHarness,
) -> None:
    with pytest.raises(PluginError, match="eventworker-audit upgrade --config-file"):
        make_harness(prepare=None).plugin.enabled()


def test_a_plugin_that_is_switched_off_does_not_look_for_its_table(
    make_harness: MakeHarness,
) -> None:
    assert make_harness(prepare=None, enabled=False).plugin.enabled() is False


def test_upgrading_twice_changes_nothing(bare_engine: Engine) -> None:
    assert not is_current(bare_engine)
    upgrade(bare_engine)
    assert is_current(bare_engine)
    upgrade(bare_engine)
    assert is_current(bare_engine)


def test_the_version_stands_in_a_table_of_its_own(engine: Engine) -> None:
    names = inspect(engine).get_table_names()

    assert VERSION_TABLE in names
    assert "alembic_version" not in names


def test_the_migrations_make_the_table_that_the_code_uses(engine: Engine) -> None:
    ours = {*metadata.tables, VERSION_TABLE}
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "version_table": VERSION_TABLE,
                "include_name": lambda name, kind, _parents: kind != "table" or name in ours,
            },
        )
        assert compare_metadata(context, metadata) == []


def test_the_command_upgrades_the_database_of_the_configuration_file(
    bare_engine: Engine, tmp_path: Path
) -> None:
    file = tmp_path / "eventworker.conf"
    file.write_text(f"[database]\nconnection = {bare_engine.url}\n")

    assert main(["upgrade", "--config-file", str(file)]) == 0

    assert is_current(bare_engine)


def test_the_command_says_in_one_line_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "eventworker.conf"
    file.write_text("[database]\nconnection = sqlite:////does/not/exist/audit.sqlite\n")

    assert main(["upgrade", "--config-file", str(file)]) == 1

    (line,) = capsys.readouterr().err.splitlines()
    assert line == "eventworker-audit: unable to open database file"


def test_the_distribution_announces_its_plugin_and_its_options() -> None:
    (plugin,) = entry_points(group=ENTRY_POINT_GROUP, name="audit")
    (options,) = entry_points(group="oslo.config.opts", name="eventworker_audit")

    assert plugin.load() is AuditWorker
    assert options.load() is list_opts
    assert [group for group, _ in list_opts()] == ["plugin:audit"]
