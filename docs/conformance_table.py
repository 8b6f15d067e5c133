"""The directive ``conformance-table``: what XEP-0060 and our own promises ask, and which test shows
that it is so.

The rows are those of ``conformance.csv``. A test names the rows that it shows by a marker,
``@pytest.mark.row("S7")``, which is read from its source. For a row without a test
``conformance-not-done.csv`` says why there is none.
"""

from __future__ import annotations

import ast
import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

HERE = Path(__file__).parent
ROOT = HERE.parent
LEVELS = {"M": "must", "S": "should", "O": "may", "own": "our own"}


@dataclass(frozen=True)
class Row:
    """What is required, and the tests that show it, each as (file, name)."""

    id: str
    level: str
    requirement: str
    tests: tuple[tuple[str, str], ...]
    not_done: str


class ConformanceTable(Directive):
    """The whole table."""

    def run(self) -> list[nodes.Node]:
        environment = self.state.document.settings.env
        for file in (HERE / "conformance.csv", HERE / "conformance-not-done.csv", *test_files()):
            environment.note_dependency(str(file))
        found = marked(test_files())
        return [_table(list(rows(found)))]


def rows(found: dict[str, set[tuple[str, str]]]) -> Iterator[Row]:
    """The table's rows with those of the tests that are marked so."""
    reasons = not_done()
    for id, level, requirement in _cells_of("conformance.csv"):
        tests = tuple(sorted(found.get(id, ())))
        yield Row(id, LEVELS[level], requirement, tests, reasons.get(id, ""))


def not_done() -> dict[str, str]:
    """Rows without a test, each with the reason."""
    return dict(_cells_of("conformance-not-done.csv"))


def _cells_of(name: str) -> list[list[str]]:
    with (HERE / name).open(newline="") as file:
        return list(csv.reader(file))[1:]


def test_files() -> list[Path]:
    """Where tests are: of eventworker and of each distribution under plugins/."""
    folders = [ROOT / "tests", *(ROOT / "plugins").glob("*/tests")]
    return sorted(file for folder in folders for file in folder.rglob("test_*.py"))


def marked(files: Iterable[Path]) -> dict[str, set[tuple[str, str]]]:
    """The tests that carry a row's id, by that id.

    :raises ValueError: for a marker whose ids are not written out.
    """
    found: dict[str, set[tuple[str, str]]] = {}
    for file in files:
        source = file.read_text()
        if "mark.row(" not in source:
            continue
        for test, id in _marks(ast.parse(source, str(file)), ""):
            found.setdefault(id, set()).add((str(file.relative_to(ROOT)), test))
    return found


def _marks(node: ast.AST, inside: str) -> Iterator[tuple[str, str]]:
    """Test and id of each marker below a node; the test is empty for a marker of the module."""
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("mark.row"):
        for each in node.args:
            if not isinstance(each, ast.Constant) or not isinstance(each.value, str):
                raise ValueError(f"{inside}: {ast.unparse(node)} does not write its rows out")
            yield inside, each.value
        return
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        inside = f"{inside}.{node.name}".lstrip(".")
    for below in ast.iter_child_nodes(node):
        yield from _marks(below, inside)


def _table(rows: list[Row]) -> nodes.Node:
    head = nodes.thead("", _row("Row", "Level", "What is required", "Shown by"))
    body = nodes.tbody("", *(_row(r.id, r.level, r.requirement, *_shown(r)) for r in rows))
    widths = [nodes.colspec(colwidth=width) for width in (7, 8, 40, 45)]
    return nodes.table("", nodes.tgroup("", *widths, head, body, cols=4), classes=["longtable"])


def _shown(row: Row) -> list[nodes.Node]:
    if not row.tests:
        return [nodes.paragraph("", f"not done: {row.not_done}" if row.not_done else "not shown")]
    files: dict[str, list[str]] = {}
    for file, test in row.tests:
        files.setdefault(file, []).append(test)
    shown: list[nodes.Node] = []
    for file, tests in files.items():
        line = nodes.paragraph("", "", nodes.emphasis("", file))
        for test in filter(None, tests):
            line += [nodes.Text(" "), nodes.literal("", test)]
        shown.append(line)
    return shown


def _row(id: str, level: str, requirement: str, *shown: str | nodes.Node) -> nodes.row:
    blocks = [nodes.paragraph("", each) if isinstance(each, str) else each for each in shown]
    cells = [nodes.entry("", nodes.paragraph("", text)) for text in (id, level, requirement)]
    return nodes.row("", *cells, nodes.entry("", *blocks))


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_directive("conformance-table", ConformanceTable)
    return {"parallel_read_safe": True}
