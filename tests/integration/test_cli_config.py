"""The sample, the check, and what every command does about errors."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pika
import pytest
from oslo_config import cfg, generator
from sqlalchemy import Engine

from eventworker import migrations
from eventworker.cli import db
from eventworker.cli import main as main_module
from tests.helpers.commands import Commands, Result, run
from tests.helpers.probe_plugins import install_plugins
from tests.servers import Vhost

ROOT = Path(__file__).parents[2]
GOOD = """
[DEFAULT]
enable_notifications = True
[database]
connection = sqlite:///{folder}/events.sqlite
[notifications]
driver = sql
[plugins]
# Installed beside us in a development environment; it looks for its table.
disabled = audit
"""


@pytest.fixture
def check(tmp_path: Path) -> Callable[..., Result]:
    """Runs `config check` on a good configuration with these lines at its end."""

    def run_check(more: str = "", *words: str) -> Result:
        command = Commands(tmp_path / "eventworker.conf", GOOD.format(folder=tmp_path) + more)
        return command("config", "check", "-O", "json", *words)

    return run_check


def test_the_sample_in_the_tree_is_the_generated_one(tmp_path: Path) -> None:
    made = tmp_path / "made"
    wanted = cfg.ConfigOpts()
    generator.register_cli_opts(wanted)
    wanted([f"--config-file={ROOT}/etc/config-generator.conf", f"--output-file={made}"])
    generator.generate(wanted)

    assert made.read_text() == (ROOT / "etc" / "eventworker.conf.sample").read_text()


def test_the_sample_is_a_configuration_that_can_be_read() -> None:
    result = run("--config-file", f"{ROOT}/etc/eventworker.conf.sample", "config", "check")
    assert "[database] connection is not set" in result.out
    assert "is no option" not in result.out


def test_the_printed_sample_has_the_options_of_installed_plugins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_plugins(tmp_path, monkeypatch, "painter", broken="cracked")

    result = run("config", "sample")

    assert result.code == 0
    section = result.out.partition("[plugin:painter]")[2]
    assert "#painter_colour = red" in section, result.err
    assert "#max_attempts = 10" in section
    assert "plugin cracked: No module named" in result.err


def test_a_good_configuration_has_no_errors(check: Callable[..., Result], tmp_path: Path) -> None:
    result = check()
    assert result.code == 0
    assert result.json["errors"] == []
    assert result.json["files"] == [f"{tmp_path}/eventworker.conf"]
    assert not (tmp_path / "events.sqlite").exists()


def test_an_unchanged_storyboard_conf_is_good_with_warnings(check: Callable[..., Result]) -> None:
    result = check(
        "[cors]\nallowed_origins = https://localhost:9000\n"
        "[notifications]\nrabbit_host = localhost\nrabbit_retry_delay = 10\n"
        "[DEFAULT]\nlock_path = /tmp\n"
    )

    assert result.code == 0
    assert any("[cors] is no section" in each for each in result.json["warnings"])
    assert any("[DEFAULT] lock_path is no option" in each for each in result.json["warnings"])
    assert not any("rabbit" in each for each in result.json["warnings"])


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("[DEFAULT]\nworker_count = 0", "[DEFAULT] worker_count: "),
        ("[database]\nconnection = oracle:", "[database] connection cannot be used"),
        ("[database]\nconnection = nosuch://x/y", "nosuch is not supported"),
        ("[plugins]\nresource_classes = user:no.such:User", "user:no.such:User cannot be imported"),
        ("[retention]\ninbox_days = 2", "[retention] inbox_days = 2 is shorter"),
        ("[pubsub]\nmax_items = many", "[pubsub] max_items"),
        ("[hooks]\ntimeout = long", "[hooks] timeout"),
        ("[hooks]\nisolation = none", "[hooks] isolation"),
        ("[hooks]\ndirectories = hooks", "[hooks] directories: hooks is not an absolute path"),
        ("[hooks]\ndirectories = /", "[hooks] directories: / would show everything"),
        ("[hooks]\nadmins = a b", "[hooks] admins: jid-malformed"),
        ("[pubsub]\nnode_defaults = titel:x", "node_defaults: there is no field pubsub#titel"),
        ("[pubsub]\nnode_defaults = max_items:0", "max_items is a number from 1 to 10000"),
        ("[pubsub]\nservice = a b", "[pubsub] service: jid-malformed: 'a b' is no address"),
        ("[pubsub]\nadmins = a@b@c", "[pubsub] admins: jid-malformed"),
        ("[DEFAULT]\ndefault_log_levels = pika=LOUD", "default_log_levels: 'pika=LOUD'"),
        (
            "[notifications]\ndriver = rabbit\nrabbit_tls = True\nrabbit_tls_ca_file = /no",
            "rabbit_tls_ca_file",
        ),
    ],
)
def test_what_the_daemon_would_refuse_is_an_error(
    check: Callable[..., Result], more: str, expected: str
) -> None:
    result = check(more)
    assert result.code == 2
    assert any(expected in error for error in result.json["errors"]), result.json


def test_a_database_that_is_not_supported_is_an_error(check: Callable[..., Result]) -> None:
    result = check("[database]\nconnection = mysql+mysqldb://root@localhost/events")
    assert "mysql+mysqldb is not supported" in result.json["errors"][0]


def test_a_database_driver_that_is_not_installed_is_an_error_with_the_remedy(
    check: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    result = check("[database]\nconnection = postgresql://events@localhost/events")
    assert "pip install 'eventworker[postgresql]'" in result.json["errors"][0]


def test_all_bad_values_are_told_at_once(check: Callable[..., Result]) -> None:
    errors = check("[DEFAULT]\nworker_count = 0\n[notifications]\nprefetch = x\n").json["errors"]
    assert len(errors) == 2


def test_plugin_sections_are_known_when_the_plugin_is_and_checked(
    check: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_plugins(tmp_path, monkeypatch, "painter")

    good = check("[plugin:painter]\npainter_colour = blue\nlane = slow\n[lane:slow]\n")
    bad = check("[plugin:painter]\nmax_attempts = 0\n[plugin:nobody]\n[lane:empty]\n")

    assert (good.code, good.json["errors"]) == (0, [])
    assert not any("painter" in each or "lane" in each for each in good.json["warnings"])
    assert any("[plugin:painter] max_attempts: " in each for each in bad.json["errors"])
    assert any("no plugin nobody is loaded here" in each for each in bad.json["warnings"])
    assert any("has the lane empty" in each for each in bad.json["warnings"])


def test_the_lane_of_effects_is_known_when_a_plugin_performs(
    check: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    performs = "def perform(self, effect):\n    pass"
    install_plugins(tmp_path, monkeypatch, "painter", declares=performs)
    usual = check("[lane:effects]\nworker_count = 2\n")
    own = check("[plugin:painter]\neffect_lane = mail\n[lane:mail]\n[lane:effects]\n")
    assert not any("lane" in each for each in usual.json["warnings"])
    (warning,) = (each for each in own.json["warnings"] if "lane" in each)
    assert "has the lane effects" in warning


WANTS_TASKS = "resources, methods = {'task'}, {'POST'}"


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("resources = story", "resources = story: the plugin wants only task, so no event would"),
        ("methods = PUT", "methods = PUT: the plugin wants only POST, so no event would"),
        ("condition = statuss < 3", "condition: 'statuss < 3': there is no field statuss"),
    ],
)
def test_filters_that_cannot_be_used_are_errors(
    check: Callable[..., Result],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    line: str,
    error: str,
) -> None:
    install_plugins(tmp_path, monkeypatch, "painter", declares=WANTS_TASKS)
    result = check(f"[plugin:painter]\n{line}\n")
    assert result.code == 2
    assert [each[: len(error) + 17] for each in result.json["errors"]] == [
        f"[plugin:painter] {error}"
    ]


def test_each_plugin_whose_group_cannot_be_used_is_named(
    check: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_plugins(tmp_path, monkeypatch, "painter", "singer", "writer", declares=WANTS_TASKS)
    result = check(
        "[plugin:painter]\ncondition = statuss < 3\n[plugin:singer]\nmax_attempts = 0\n"
        "[plugin:writer]\nmethods = PUT\n"
    )
    assert result.code == 2
    assert [each.partition("[plugin:")[2][:24] for each in result.json["errors"]] == [
        "singer] max_attempts: Sh",
        "painter] condition: 'sta",
        "writer] methods = PUT: t",
    ]


def test_filters_that_are_merely_odd_are_warnings(
    check: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_plugins(tmp_path, monkeypatch, "painter", declares="resources = {'Stories/Comments'}")
    install_plugins(
        tmp_path / "b", monkeypatch, "writer", declares=WANTS_TASKS, distribution="others"
    )
    result = check("[plugin:writer]\nresources = task, user\n")
    assert (result.code, result.json["errors"]) == (0, [])
    assert {each for each in result.json["warnings"] if "wants" in each} == {
        "[plugin:writer] resources names user, but the plugin wants only task",
        "plugin painter wants the resource Stories/Comments; resources are usually singular and "
        "in small letters: story/comment?",
    }


def test_a_plugin_with_an_option_of_our_name_is_broken_and_says_which(
    check: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = 'options = [cfg.IntOpt("methods", help="Ways to paint.")]'
    install_plugins(tmp_path, monkeypatch, "painter", declares=own)
    assert any(
        each.startswith("plugin painter cannot be loaded: PluginError: its option methods has")
        for each in check().json["warnings"]
    )


def test_a_broken_plugin_and_a_switched_off_daemon_are_warnings(
    check: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_plugins(tmp_path, monkeypatch, broken="cracked")
    result = check("[DEFAULT]\nenable_notifications = False\n")
    assert result.code == 0
    assert any("plugin cracked cannot be loaded" in each for each in result.json["warnings"])
    assert any("enable_notifications is False" in each for each in result.json["warnings"])


def test_connecting_finds_missing_tables(
    check: Callable[..., Result], tmp_path: Path, new_engine: Callable[[str], Engine]
) -> None:
    absent = check("", "--connect")
    (tmp_path / "events.sqlite").touch()
    before = check("", "--connect")
    migrations.upgrade(new_engine(f"sqlite:///{tmp_path}/events.sqlite"))
    after = check("", "--connect")

    assert "there is no database file" in absent.json["errors"][0]
    assert "the tables are missing" in before.json["errors"][0]
    assert (after.code, after.json["errors"]) == (0, [])


def test_connecting_finds_a_broker_that_is_away_or_refuses(
    check: Callable[..., Result], vhost: Vhost, tmp_path: Path, new_engine: Callable[[str], Engine]
) -> None:
    migrations.upgrade(new_engine(f"sqlite:///{tmp_path}/events.sqlite"))
    parameters = pika.URLParameters(vhost.url)
    credentials: Any = parameters.credentials
    options = {
        "driver": "rabbit",
        "rabbit_host": parameters.host,
        "rabbit_port": parameters.port,
        "rabbit_userid": credentials.username,
        "rabbit_password": credentials.password,
        "rabbit_virtual_host": parameters.virtual_host,
    }

    def with_options(**changed: object) -> Result:
        values = {**options, **changed}
        text = "".join(f"{name} = {value}\n" for name, value in values.items())
        return check("[notifications]\n" + text, "--connect")

    assert with_options().json["errors"] == []
    for changed in ({"rabbit_port": 1}, {"rabbit_password": "hunter2"}):
        (error,) = with_options(**changed).json["errors"]
        assert error.startswith(f"RabbitMQ at {parameters.host}:")
        assert "hunter2" not in error


def test_a_check_for_people_ends_with_the_verdict(tmp_path: Path) -> None:
    command = Commands(tmp_path / "c.conf", GOOD.format(folder=tmp_path))
    assert command("config", "check").out.endswith("the configuration is good\n")


def test_db_verbs_make_and_show_the_revision(database_url: str, tmp_path: Path) -> None:
    command = Commands(tmp_path / "c.conf", f"[database]\nconnection = {database_url}\n")

    before = command("db", "current", "-O", "json")
    first = command("db", "upgrade")
    second = command("db", "upgrade")
    after = command("db", "current", "-O", "json")

    head = migrations.head()
    assert (before.code, before.json) == (1, {"current": None, "needed": head})
    assert first.out == f"the tables are at revision {head} now, before: none\n"
    assert second.out == f"the tables are at revision {head} already\n"
    assert (after.code, after.json) == (0, {"current": head, "needed": head})


def test_db_upgrade_prints_sql_without_connecting(tmp_path: Path) -> None:
    away = "postgresql+psycopg://nobody:hunter2@127.0.0.1:1/nothing"
    command = Commands(tmp_path / "c.conf", f"[database]\nconnection = {away}\n")

    result = command("db", "upgrade", "--sql")

    assert result.code == 0
    assert "CREATE TABLE eventworker_outbox" in result.out
    assert "hunter2" not in result.out
    assert "CREATE" not in command("db", "upgrade", "--sql", "--from", migrations.head()).out


def test_a_database_that_is_away_is_one_line_without_the_password(tmp_path: Path) -> None:
    away = "postgresql+psycopg://nobody:hunter2@127.0.0.1:1/nothing"
    command = Commands(tmp_path / "c.conf", f"[database]\nconnection = {away}\n")

    result = command("deliveries", "list")

    assert (result.code, len(result.err.splitlines())) == (1, 1)
    assert result.err.startswith("eventworker: the database is away: ")
    assert "hunter2" not in result.err


def test_a_missing_configuration_file_is_one_line_and_exit_code_2() -> None:
    result = run("--config-file", "/nowhere.conf", "db", "current")
    assert (result.code, result.out) == (2, "")
    assert result.err == "eventworker: there is no configuration file /nowhere.conf\n"


def test_common_options_may_stand_before_and_after_the_verb(tmp_path: Path) -> None:
    path = tmp_path / "c.conf"
    path.write_text(GOOD.format(folder=tmp_path))
    run("--config-file", str(path), "db", "upgrade")

    before = run("--config-file", str(path), "-O", "json", "deliveries", "list")
    after = run("deliveries", "list", "-O", "json", "--config-file", str(path))

    assert before.out == after.out == "[]\n"


@pytest.mark.parametrize("words", [(), ("--debug",)])
def test_tracebacks_are_for_debug_only(words: tuple[str, ...], tmp_path: Path) -> None:
    command = Commands(tmp_path / "c.conf", GOOD.format(folder=tmp_path))
    result = command(*words, "deliveries", "list")
    assert result.code == 1
    assert ("Traceback" in result.err) == bool(words)


def test_a_fault_of_ours_is_one_line_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("first\nsecond")

    monkeypatch.setattr(migrations, "current", fail)
    command = Commands(tmp_path / "c.conf", GOOD.format(folder=tmp_path))

    result = command("db", "current")

    assert result.code == 1
    assert result.err.startswith("eventworker: RuntimeError: first second (a fault of eventworker")
    assert db.migrations is migrations


def test_ctrl_c_is_quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(migrations, "current", interrupt)
    command = Commands(tmp_path / "c.conf", GOOD.format(folder=tmp_path))

    result = command("db", "current")

    assert (result.code, result.out, result.err) == (main_module.INTERRUPTED, "", "")


def test_a_reader_that_goes_away_is_no_error() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "eventworker.cli.main", "config", "sample"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A pipe of one page cannot hold the sample, so the write meets the closed end.
        pipesize=4096,
        env={**os.environ, "PYTHONWARNINGS": "error"},
        preexec_fn=lambda: signal.signal(signal.SIGPIPE, signal.SIG_IGN),
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(1)
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert (process.wait(timeout=60), errors) == (0, b"")
