"""The faults' fixtures, and the table at the end of a run."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.site import Site
from tests.faults.databases import proxy_before
from tests.faults.proxy import Proxy
from tests.faults.scene import Scene, row_of, seed_of

FAILED = pytest.StashKey[bool]()
COLUMNS = ("fault", "on", "test", "proof", "events", "dead")
COLUMNS += ("lost", "duplicated", "phantom", "inversions", "recovery")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is not the one proof of its family is for `make faults` alone."""
    for item in items:
        if Path(__file__).parent in item.path.parents and not item.get_closest_marker("family"):
            item.add_marker(pytest.mark.faults)


def pytest_report_header(config: pytest.Config) -> str:
    return f"faults: --seed {seed_of(config)}"


@pytest.fixture
def make_scene(request: pytest.FixtureRequest) -> Iterator[Callable[..., Scene]]:
    """Makes the scene of a fault: ``make_scene("F1", site)``."""
    scenes: list[Scene] = []

    def record(row: dict[str, Any]) -> None:
        row["test"] = request.node.name
        request.node.user_properties.append(("fault", json.dumps(row)))

    def make(fault: str, site: Site, **more: Any) -> Scene:
        scenes.append(Scene(fault, site, seed_of(request.config), record, **more))
        return scenes[-1]

    yield make
    judged = all(scene.judged for scene in scenes)
    assert judged or request.node.stash.get(FAILED, False), "without a verdict it proves nothing"


@pytest.fixture
def proxied() -> Iterator[Callable[[Site], Proxy]]:
    """Puts a proxy between a site's daemons and their database."""
    made: list[Proxy] = []

    def put(site: Site) -> Proxy:
        made.append(proxy_before(site))
        return made[-1]

    yield put
    for proxy in made:
        proxy.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


def _order(row: dict[str, Any]) -> tuple[int, str]:
    digits = "".join(each for each in row["fault"].partition(" ")[0] if each.isdigit())
    return int(digits or 0), row["on"]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    rows = [row for each in reports if each.when == "call" for row in row_of(each.user_properties)]
    if not rows:
        return
    rows.sort(key=_order)
    terminalreporter.section(f"faults (seed {seed_of(config)})")
    for row in rows:
        bad = row["lost"] + row["duplicated"] + row["phantom"] + row["inversions"]
        recovery = "-" if row["recovery"] is None else f"{row['recovery']:.1f} s"
        terminalreporter.line(
            f"{row['fault']:5} {row['on']:20} {row['events']:6} events  lost {row['lost']}  "
            f"duplicated {row['duplicated']}  phantom {row['phantom']}  "
            f"inversions {row['inversions']}  recovery {recovery:>7}  "
            f"{row['test']}: {row['proof']}",
            red=bool(bad),
        )
    total = sum(row["events"] for row in rows)
    terminalreporter.line(f"{len(rows)} runs, {total} events")
    if path := config.getoption("--faults-csv"):
        with Path(path).open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
