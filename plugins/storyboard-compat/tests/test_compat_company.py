"""Refusing to share an environment with StoryBoard, or with anyone else called that."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from storyboard.company import company, refuse_company


def install(folder: Path, name: str, top_level: str | None) -> None:
    """Make it look as if a distribution were installed in ``folder``."""
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    if top_level:
        (info / "top_level.txt").write_text(f"{top_level}\n")


def test_alone_there_is_no_company() -> None:
    assert company() == []
    refuse_company()


@pytest.mark.parametrize(
    ("name", "top_level"),
    [("storyboard", "storyboard"), ("StoryBoard", None), ("storyboard-fork", "storyboard")],
)
def test_another_storyboard_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, top_level: str | None
) -> None:
    install(tmp_path, name, top_level)
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(ImportError, match=f"pip uninstall {name.lower()}"):
        refuse_company()


@pytest.mark.parametrize(
    ("name", "top_level"),
    [("storyboard_compat", "storyboard"), ("my-storyboard-plugin", "my"), ("other", "other")],
)
def test_ourselves_and_plugins_are_no_company(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, top_level: str
) -> None:
    install(tmp_path, name, top_level)
    monkeypatch.syspath_prepend(tmp_path)

    refuse_company()


def test_the_import_itself_fails_beside_another_storyboard(tmp_path: Path) -> None:
    install(tmp_path, "storyboard", "storyboard")

    result = subprocess.run(
        [sys.executable, "-c", "import storyboard.plugin.event_worker"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 1
    assert "ImportError: storyboard-compat stands in for the package" in result.stderr
