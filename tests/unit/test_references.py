"""What docstrings and pages name as a place in the code is there."""

import ast
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
#: Packages of so many modules that they begin with a map of them.
MAPPED = ("eventworker/pubsub", "plugins/eventworker-xmpp/eventworker_xmpp")
REFERENCE = re.compile(r":(?:mod|class|func|meth|data|attr):`~?(eventworker\.[\w.]+)`")


def places() -> list[Path]:
    roots = [ROOT / "eventworker", ROOT / "docs", *(ROOT / "plugins").glob("*/eventworker_*")]
    files = [each for root in roots for each in root.rglob("*.*")]
    return [each for each in files if each.suffix in (".py", ".rst")]


def find(name: str) -> Any:
    """The module, or what a module has of that name.

    :raises AttributeError: if it has not.
    """
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found: Any = import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for each in parts[count:]:
            found = getattr(found, each)
        return found
    raise AttributeError(name)


# Web frameworks that are only looked at here import what is deprecated.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_every_reference_leads_to_something() -> None:
    names = {
        (name, path.relative_to(ROOT))
        for path in places()
        for name in REFERENCE.findall(path.read_text())
    }
    assert len(names) > 50
    dangling = []
    for name, path in sorted(names):
        try:
            find(name)
        except AttributeError:
            dangling.append(f"{path}: {name}")
    assert not dangling


def test_a_reference_to_nothing_is_found_out() -> None:
    with pytest.raises(AttributeError):
        find("eventworker.pubsub.rules.never_written")


@pytest.mark.parametrize("package", MAPPED)
def test_the_map_of_a_package_shows_every_module(package: str) -> None:
    head = ast.get_docstring(ast.parse((ROOT / package / "__init__.py").read_text()))
    shown = set(re.findall(r"\w+", str(head)))
    modules = {each.stem for each in (ROOT / package).glob("*.py")} - {"__init__"}
    assert modules <= shown
