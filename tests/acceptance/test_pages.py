"""The documentation is true: each command and snippet, tried in the order of its page."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.installation import Installation, clean_environment, copy_of_the_tree
from tests.acceptance.pages.page import ROOT, Block, blocks_of, pages
from tests.acceptance.pages.reader import Reader
from tests.acceptance.pages.shell import Shell

PAGES = [path for path in pages() if blocks_of(path)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a reader stands: the root of the repository, of a copy that may be littered."""
    return copy_of_the_tree(tmp_path / "eventworker")


@pytest.fixture
def database(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Gives an empty database of a kind."""
    return lambda kind: str(request.getfixturevalue({"postgresql": "postgres_url"}[kind]))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_page_says_can_be_done(
    path: Path,
    folder: Path,
    database: Callable[[str], str],
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder)
    blocks = blocks_of(path)
    # A reader has not asked for warnings to be errors, and pip's own would be.
    env = {**clean_environment(), "PATH": _programs(request, blocks, folder), "PYTHONWARNINGS": ""}
    with Shell(folder, env) as shell:
        reader = Reader(
            shell,
            folder,
            database,
            vhost=lambda: request.getfixturevalue("vhost"),
            rabbitmqctl=lambda *words: request.getfixturevalue("rabbit_server").ctl(*words),
        )
        for block in blocks:
            try:
                reader.follow(block, path)
            except Exception as error:
                error.add_note(f"{path.relative_to(ROOT)}, line {block.line}")
                raise
        reader.stop_daemons()


def _programs(request: pytest.FixtureRequest, blocks: list[Block], folder: Path) -> str:
    """The PATH: with all commands, or, where the page installs them itself, with a pip that does.

    That pip has what the tests' own environment has, so it fetches nothing.
    """
    path = clean_environment()["PATH"]
    installs = any("pip install" in b.source for b in blocks if b.language == "console")
    if not installs:
        installed: Installation = request.getfixturevalue("installation")
        return f"{installed.bin}:{path}"
    own = Installation(folder.parent / "venv")
    own.link_dependencies()
    (own.bin / "pip").write_text(
        f'#!/bin/sh\nexec {sys.executable} -m pip --python {own.bin}/python "$@" '
        "--no-build-isolation --quiet --disable-pip-version-check\n"
    )
    (own.bin / "pip").chmod(0o755)
    return f"{own.bin}:{path}"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_block_that_is_not_tried_says_why(path: Path) -> None:
    for block in blocks_of(path):
        assert not block.untried or len(block.untried) > 10
