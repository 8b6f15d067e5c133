"""A log line is one line, whatever is put into it."""

import io
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventworker.cli import logs
from eventworker.errors import ConfigError
from tests.helpers.commands import restored_logging
from tests.helpers.configuration import configuration

log = logging.getLogger("eventworker.test")

#: What breaks a line, steers a terminal, or turns the direction of writing.
HOSTILE = "a\nb\r\x1b[31mred\x00\x07\x7f\x85\x9b\u2028\u2029\u202e\u2066"


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    with restored_logging(("", "eventworker.audit", "pika", "sqlalchemy", "stevedore")):
        yield


def text_of(**options: object) -> io.StringIO:
    stream = io.StringIO()
    logs.setup(configuration(DEFAULT=options), stream)
    return stream


def test_a_text_line_has_time_level_logger_fields_and_message() -> None:
    stream = text_of()

    log.info("handled", extra={"event": "e1", "plugin": "audit"})

    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d INFO eventworker.test \[event=e1 plugin=audit\] handled\n",
        stream.getvalue(),
    )


def test_a_field_that_is_none_is_left_out_and_one_with_spaces_is_quoted() -> None:
    stream = text_of()

    log.info("x", extra={"event": None, "reason": 'two "words"'})

    assert '[reason="two \\"words\\""] x' in stream.getvalue()


def test_control_characters_are_escaped_in_text() -> None:
    stream = text_of()

    log.info("message %s", HOSTILE, extra={"reason": HOSTILE})

    lines = stream.getvalue().split("\n")
    assert len(lines) == 2
    assert lines[1] == ""
    assert not re.search("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066]", lines[0])
    assert r"a\nb\r\x1b[31mred\x00" in lines[0]


def test_no_line_of_a_traceback_can_pass_for_a_log_line() -> None:
    stream = text_of()

    try:
        raise ValueError("wrong\n2026-11-21 07:00:00 ERROR eventworker forged\r\x1b[2J")
    except ValueError:
        log.exception("failed")

    first, *others = stream.getvalue().rstrip("\n").split("\n")
    assert first.endswith("failed")
    assert others
    assert all(line.startswith("    ") for line in others)
    assert "\x1b" not in stream.getvalue()


def test_json_is_one_object_per_line_with_the_fields_as_keys() -> None:
    stream = text_of(use_json=True)

    try:
        raise ValueError(HOSTILE)
    except ValueError:
        log.exception("failed %s", HOSTILE, extra={"event": "e1", "attempt": 2, "level": "own"})

    (line,) = stream.getvalue().splitlines()
    assert line.isascii()
    assert line.isprintable()
    entry = json.loads(line)
    assert (entry["level"], entry["logger"], entry["event"]) == ("ERROR", "eventworker.test", "e1")
    assert (entry["attempt"], entry["level_"]) == (2, "own")
    assert entry["message"] == f"failed {HOSTILE}"
    assert "ValueError" in entry["exception"]
    assert entry["time"].endswith("+00:00")


def test_a_very_long_message_is_cut() -> None:
    stream = text_of()

    log.info("x" * 1_000_000)

    assert len(stream.getvalue()) < 20_000
    assert "(1000000 characters)" in stream.getvalue()


def test_debug_is_a_matter_of_configuration_and_libraries_have_their_own_level() -> None:
    stream = text_of(debug=True, default_log_levels=["pika=ERROR"])

    log.debug("seen")
    logging.getLogger("pika").warning("unseen")

    assert "seen" in stream.getvalue()
    assert "unseen" not in stream.getvalue()


def test_setting_up_again_replaces_what_was_set_up() -> None:
    first, second = text_of(), text_of()

    log.info("once")

    assert first.getvalue() == ""
    assert second.getvalue().count("once") == 1


def test_a_log_file_that_was_rotated_away_is_opened_anew(tmp_path: Path) -> None:
    text_of(log_dir=str(tmp_path), log_file="events.log")
    log.info("before")
    (tmp_path / "events.log").rename(tmp_path / "events.log.1")

    log.info("after")

    assert (tmp_path / "events.log.1").read_text().endswith("before\n")
    assert (tmp_path / "events.log").read_text().endswith("after\n")


def test_a_folder_alone_gets_a_file_named_after_the_program(tmp_path: Path) -> None:
    logs.setup(
        configuration(DEFAULT={"log_dir": str(tmp_path)}), program="storyboard-worker-daemon"
    )

    log.info("x")

    assert (tmp_path / "storyboard-worker-daemon.log").exists()


def test_a_log_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"log_file: .*/missing/x.log cannot be written: No such"):
        text_of(log_dir=str(tmp_path / "missing"), log_file="x.log")


def test_a_level_that_is_none_is_named() -> None:
    with pytest.raises(ConfigError, match=r"default_log_levels: 'pika=LOUD' is no logger=LEVEL"):
        text_of(default_log_levels=["pika=LOUD"])


def test_a_file_config_is_used_and_a_broken_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "logging.conf"
    path.write_text("[loggers]\nkeys=root\n")
    with pytest.raises(ConfigError, match=rf"log_config_append: {path} cannot be used: "):
        text_of(log_config_append=str(path))
    path.write_text(
        f"[loggers]\nkeys=root\n[handlers]\nkeys=f\n[formatters]\nkeys=\n"
        f"[logger_root]\nlevel=INFO\nhandlers=f\n"
        f"[handler_f]\nclass=FileHandler\nargs=('{tmp_path}/own.log',)\n"
    )
    text_of(log_config_append=str(path))

    log.info("by the file's rules")

    assert (tmp_path / "own.log").read_text() == "by the file's rules\n"


def test_a_command_keeps_what_it_changed_in_the_log_file_if_there_is_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    conf = configuration(DEFAULT={"log_file": str(tmp_path / "events.log")})

    logs.setup_command(conf, debug=False)
    logging.getLogger(logs.AUDIT).info("changed 1")
    assert "changed 1" in capsys.readouterr().err
    assert not (tmp_path / "events.log").exists()

    (tmp_path / "events.log").touch()
    logs.setup_command(conf, debug=False)
    logging.getLogger(logs.AUDIT).info("changed 2")
    assert capsys.readouterr().err == ""
    assert "changed 2" in (tmp_path / "events.log").read_text()


def test_a_command_leaves_out_what_the_libraries_say_of_what_it_says_itself(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The first look at a new broker finds no queue, which pika warns of."""
    logs.setup_command(configuration(), debug=False)
    logging.getLogger("pika.channel").warning("no queue")
    assert capsys.readouterr().err == ""

    logs.setup_command(configuration(), debug=True)
    logging.getLogger("pika.channel").warning("no queue")
    assert "no queue" in capsys.readouterr().err
