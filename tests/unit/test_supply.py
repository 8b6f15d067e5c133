"""The lock of a release, its bill of materials, and what is said about vulnerabilities."""

import json
import re
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tools import supply

REPORT = {"name": "pika", "version": "1.4.4", "vulns": []}
FLAW = {"id": "X-2026-1", "fix_versions": ["1.4.5"], "aliases": [], "description": ""}


def locked() -> dict[str, str]:
    """Name to version."""
    found = re.findall(r"^([a-z0-9-]+)==(\S+) \\$", supply.LOCK.read_text(), re.MULTILINE)
    return dict(found)


def test_the_lock_pins_all_that_is_needed_at_run_time() -> None:
    extras = [{"extra": name} for name in ("", *supply.EXTRAS)]
    for text in requires("eventworker") or []:
        needed = Requirement(text)
        marker = needed.marker
        if marker is None or any(marker.evaluate(each) for each in extras):
            version = locked()[re.sub(r"[._]", "-", needed.name.lower())]
            assert needed.specifier.contains(version), text


def test_the_lock_has_hashes_and_no_addresses() -> None:
    text = supply.LOCK.read_text()
    assert "://" not in text
    assert "--index" not in text
    entries = re.split(r"^(?=[a-z])", text, flags=re.MULTILINE)[1:]
    assert len(entries) == len(locked())
    assert all("--hash=sha256:" in entry for entry in entries)


@pytest.mark.parametrize(
    ("report", "errors", "code", "word"),
    [
        ({"dependencies": [REPORT]}, "", supply.CLEAN, "nothing is known against 1"),
        (
            {"dependencies": [REPORT, {**REPORT, "vulns": [FLAW]}]},
            "",
            supply.VULNERABLE,
            "pika 1.4.4: X-2026-1, mended in 1.4.5",
        ),
        (
            {"dependencies": [REPORT, {"name": "mako", "skip_reason": "not found"}]},
            "",
            supply.UNKNOWN,
            "of 1 of 2 packages",
        ),
        ({"dependencies": []}, "", supply.UNKNOWN, "no clean bill"),
        (None, "Traceback\nConnectionError: no such host\n", supply.UNKNOWN, "no such host"),
    ],
)
def test_an_audit_that_could_not_ask_is_told_from_a_clean_one(
    report: object, errors: str, code: int, word: str
) -> None:
    found, text = supply.verdict("" if report is None else json.dumps(report), errors)
    assert (found, word in text) == (code, True), text


@pytest.mark.slow
def test_the_bill_of_materials_lists_the_lock_and_is_reproducible(tmp_path: Path) -> None:
    pytest.importorskip("cyclonedx_py", reason="pip install 'eventworker[audit]'")
    first, second = (supply.sbom(tmp_path / name) for name in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()
    bill = json.loads(first.read_text())
    assert {each["name"]: each["version"] for each in bill["components"]} == locked()
    assert bill["metadata"]["component"]["name"] == "eventworker"
