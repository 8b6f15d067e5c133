"""The documentation is true: each command and snippet, tried in the order of its page."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from docutils.core import publish_doctree

from tests.acceptance.installation import Installation, clean_environment, copy_of_the_tree
from tests.acceptance.pages.page import ROOT, Block, blocks_of, pages
from tests.acceptance.pages.reader import Reader
from tests.acceptance.pages.shell import Shell
from tests.servers import MariaServer

#: A command that installs eventworker itself, from where the reader stands.
FROM_HERE = re.compile(r"pip install .*?(?<![\w/])\.(?:['\[]|\s|$)", re.MULTILINE)
PAGES = [path for path in pages() if blocks_of(path)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a reader stands: the root of the repository, of a copy that may be littered."""
    return copy_of_the_tree(tmp_path / "eventworker")


@pytest.fixture
def database(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Gives an empty database of a kind."""
    fixtures = {"postgresql": "postgres_url", "mysql": "maria_url", "mariadb": "maria_url"}
    return lambda kind: str(request.getfixturevalue(fixtures[kind]))


@pytest.fixture
def application_maria(maria_server: MariaServer) -> Iterator[MariaServer]:
    """The server with an application's database; what a page makes on it goes afterwards."""
    maria_server.createdb("storyboard")
    yield maria_server
    maria_server.dropdb("storyboard")
    maria_server.execute(f"DROP USER IF EXISTS events@'{maria_server.host}'")


@pytest.mark.parametrize(
    "path",
    # What the examples' pages say is done by test_demo.py and test_examples.py as well.
    [pytest.param(p, marks=[pytest.mark.long] if "examples" in p.parts else []) for p in PAGES],
    ids=lambda path: str(path.relative_to(ROOT)),
)
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
            maria=lambda: request.getfixturevalue("application_maria"),
        )
        for block in blocks:
            try:
                reader.follow(block, path)
            except Exception as error:
                error.add_note(f"{path.relative_to(ROOT)}, line {block.line}")
                raise
        reader.stop_daemons()


def _programs(request: pytest.FixtureRequest, blocks: list[Block], folder: Path) -> str:
    """The PATH: with all commands, or, where the page installs some itself, with a pip that does.

    That pip has what the tests' own environment has, so it fetches nothing. A page that installs
    plugins alone begins where eventworker is.
    """
    path = clean_environment()["PATH"]
    commands = "\n".join(b.source for b in blocks if b.language == "console" and not b.untried)
    if "pip install" not in commands:
        installed: Installation = request.getfixturevalue("installation")
        return f"{installed.bin}:{path}"
    own = Installation(folder.parent / "venv")
    own.link_dependencies()
    own.add_pip()
    (own.bin / "pytest").write_text(f'#!/bin/sh\nexec {own.bin}/python -m pytest "$@"\n')
    (own.bin / "pytest").chmod(0o755)
    if not FROM_HERE.search(commands):
        own.install("--no-deps", request.getfixturevalue("wheels")["eventworker"])
    return f"{own.bin}:{path}"


@pytest.mark.parametrize(
    "path",
    [path for path in pages() if path.name == "README.rst"],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_a_readme_is_read_without_sphinx(path: Path) -> None:
    """As package indexes and forges read it, which leave out a block that they cannot read."""
    strict = {"report_level": 2, "halt_level": 2}
    publish_doctree(path.read_text(), source_path=str(path), settings_overrides=strict)


def test_few_blocks_are_not_tried_and_each_says_why() -> None:
    untried = [block.untried for path in PAGES for block in blocks_of(path) if block.untried]
    assert len(untried) <= 5
    assert all(len(reason) > 10 for reason in untried)
