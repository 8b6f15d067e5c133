"""What the verbs print, and what they take."""

import argparse
import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from eventworker import __version__
from eventworker.cli import arguments, output, replaying
from tests.helpers.commands import run

ROWS = [
    {"id": 1, "due_at": datetime(2026, 11, 21, 7, tzinfo=UTC), "error": None},
    {"id": 20, "due_at": None, "error": "bad\n\x1b[2Jthing " + "x" * 200},
]
GROUPS = {
    "db": ("upgrade", "current"),
    "config": ("sample", "check"),
    "plugins": ("list", "retire", "backfill"),
    "deliveries": ("list", "show", "retry", "discard"),
    "outbox": ("status", "list", "retry", "reconcile"),
}


def test_a_table_is_aligned_and_cut_and_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    output.show_list(ROWS, ("id", "due_at", "error"), "table")

    head, first, second = capsys.readouterr().out.splitlines()
    assert head == "ID  DUE AT                ERROR"
    assert first == "1   2026-11-21T07:00:00Z  -"
    assert second.startswith(r"20  -                     bad\n\x1b[2Jthing xx")
    assert second.endswith("...")


def test_json_has_whole_values_and_iso_times(capsys: pytest.CaptureFixture[str]) -> None:
    output.show_list(ROWS, ("id",), "json")

    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert json.loads(text)[0]["due_at"] == "2026-11-21T07:00:00Z"
    assert json.loads(text)[1]["error"] == ROWS[1]["error"]


def test_one_thing_is_shown_field_by_field(capsys: pytest.CaptureFixture[str]) -> None:
    output.show_one(
        {"id": UUID(int=7), "in_call": True, "traceback": "a\nb\x1b", "event": {"x": [1]}}, "table"
    )

    assert capsys.readouterr().out.splitlines() == [
        "id:        00000000-0000-0000-0000-000000000007",
        "in call:   yes",
        "traceback:",
        "    a",
        r"    b\x1b",
        "event:",
        "    {",
        '      "x": [',
        "        1",
        "      ]",
        "    }",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30m", timedelta(minutes=30)),
        ("1.5h", timedelta(hours=1.5)),
        ("7d", timedelta(days=7)),
        ("2026-11-21", datetime(2026, 11, 21, tzinfo=UTC)),
        ("2026-11-21T07:00:00Z", datetime(2026, 11, 21, 7, tzinfo=UTC)),
        ("2026-11-21T07:00:00+02:00", datetime(2026, 11, 21, 5, tzinfo=UTC)),
    ],
)
def test_since_is_a_duration_or_a_time(text: str, expected: object) -> None:
    assert arguments.since(text) == expected


@pytest.mark.parametrize("text", ["yesterday", "5", "-5m", "5 m", ""])
def test_since_refuses_what_is_neither(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="30m, 2h or 7d"):
        arguments.since(text)


def test_a_duration_beyond_all_bounds_is_a_usage_error() -> None:
    result = run("deliveries", "list", "--since", "99999999999999d")
    assert result.code == 2
    assert "Traceback" not in result.err


def test_ids_are_numbers_and_those_of_the_quarantine_begin_with_q() -> None:
    assert str(replaying.identifier("17")) == "17"
    assert str(replaying.identifier("q12")) == "q12"
    for text in ("", "q", "x1", "-1", "1" * 30):
        with pytest.raises(argparse.ArgumentTypeError):
            replaying.identifier(text)


def test_the_version_is_printed() -> None:
    result = run("--version")
    assert (result.code, result.out) == (0, f"eventworker {__version__}\n")


@pytest.mark.parametrize(
    "words", [("publish",), *((group, verb) for group, verbs in GROUPS.items() for verb in verbs)]
)
def test_the_help_of_every_verb_has_an_example_of_it(words: tuple[str, ...]) -> None:
    result = run(*words, "--help")
    assert result.code == 0
    assert " ".join(words) in result.out.partition("example:")[2]


def test_an_unknown_verb_is_a_usage_error() -> None:
    assert run("dance").code == 2
    assert run().code == 2
