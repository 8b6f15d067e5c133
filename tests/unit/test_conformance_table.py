"""The table of conformance: what it reads of the tests, and that no row of it is left open."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def table() -> ModuleType:
    spec = importlib.util.spec_from_file_location("conformance", DOCS / "conformance_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patched:  # for its dataclass
        patched.setitem(sys.modules, "conformance", module)
        spec.loader.exec_module(module)
    return module


def test_each_row_of_a_marker_is_in_the_table(table: ModuleType) -> None:
    found = table.marked(table.test_files())
    known = {row.id for row in table.rows(found)}
    assert {id: tests for id, tests in found.items() if id not in known} == {}


def test_each_row_has_a_test_or_a_reason_why_not(table: ModuleType) -> None:
    rows = list(table.rows(table.marked(table.test_files())))
    assert [row.id for row in rows if not row.tests and not row.not_done] == []


def test_no_reason_is_given_for_what_a_test_shows(table: ModuleType) -> None:
    found = table.marked(table.test_files())
    assert set(table.not_done()) & set(found) == set()
    assert set(table.not_done()) <= {row.id for row in table.rows(found)}


def test_no_row_is_there_twice(table: ModuleType) -> None:
    ids = [row.id for row in table.rows({})]
    assert len(ids) == len(set(ids))


def test_markers_are_found_wherever_they_may_stand(
    table: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "ROOT", tmp_path)
    file = tmp_path / "test_all.py"
    file.write_text(
        "import pytest\n"
        'pytestmark = pytest.mark.row("T2")\n'
        '@pytest.mark.row("S1", "S2")\n'
        "async def test_one(): ...\n"
        '@pytest.mark.parametrize("n", [1, pytest.param(2, marks=pytest.mark.row("S3"))])\n'
        "def test_two(n): ...\n"
        '@pytest.mark.row("S4")\n'
        "class TestMany:\n"
        '    @pytest.mark.row("S5")\n'
        "    def test_three(self): ...\n"
    )
    assert {id: tests for id, [(_, tests)] in table.marked([file]).items()} == {
        "T2": "",
        "S1": "test_one",
        "S2": "test_one",
        "S3": "test_two",
        "S4": "TestMany",
        "S5": "TestMany.test_three",
    }


def test_rows_that_are_not_written_out_are_refused(table: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "test_some.py"
    file.write_text("@pytest.mark.row(ROW)\ndef test_it(): ...\n")
    with pytest.raises(ValueError, match=r"test_it: .*ROW"):
        table.marked([file])
