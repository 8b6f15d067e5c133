"""Printing what a verb found: a table for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from eventworker.cli.logs import escaped

FORMATS = ("table", "json")
#: Longest text in a column of a table; JSON has all of it.
WIDEST = 80


def show_list(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], output: str) -> None:
    """Print rows: a JSON array of objects, or an aligned table with these columns."""
    if output == "json":
        print(_json([dict(row) for row in rows]))
        return
    lines = [[name.replace("_", " ").upper() for name in columns]]
    lines += [[_cut(_text(row[name])) for name in columns] for row in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(columns))]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print("  ".join(cells).rstrip())


def show_one(fields: Mapping[str, Any], output: str) -> None:
    """Print one thing: a JSON object, or a line for each field; longer texts are indented."""
    if output == "json":
        print(_json(dict(fields)))
        return
    width = max(len(name) for name in fields) + 1
    for name, value in fields.items():
        label = f"{name.replace('_', ' ')}:".ljust(width)
        if isinstance(value, dict | list):
            value = json.dumps(value, indent=2, default=_plain, ensure_ascii=False)
        lines = [escaped(line) for line in value.split("\n")] if isinstance(value, str) else []
        if len(lines) > 1:
            print(label.rstrip(), *lines, sep="\n    ")
        else:
            print(label, _text(value))


def say(text: str, fields: Mapping[str, Any], output: str) -> None:
    """Print the outcome of a verb: a sentence, or a JSON object."""
    print(_json(dict(fields)) if output == "json" else escaped(text))


def plural(count: int, one: str, many: str = "") -> str:
    """``1 delivery``, ``2 deliveries``."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def _json(value: Any) -> str:
    # ASCII: what a stranger's event holds cannot steer the terminal.
    return json.dumps(value, indent=2, default=_plain)


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return str(value)


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return escaped(str(value))


def _cut(text: str) -> str:
    return text if len(text) <= WIDEST else text[: WIDEST - 3] + "..."
