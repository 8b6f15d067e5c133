"""`eventworker plugin new`: what it writes is clean, and what cannot be is refused in one line."""

import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest
from docutils.core import publish_string

from eventworker.cli.scaffold import NewPlugin
from tests.helpers.commands import Result, run

ROOT = Path(__file__).parents[2]
AUDIT = ROOT / "plugins/eventworker-audit"


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refused(*words: str) -> str:
    """The one line by which it is refused."""
    result = run("plugin", "new", *words)
    assert (result.code, result.out) == (2, "")
    (line,) = result.err.splitlines()
    return line.removeprefix("eventworker: ")


def check(folder: Path, *tool: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *tool], cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_files_and_the_next_steps_are_named() -> None:
    result = run("plugin", "new", "chat-sync")
    assert result.code == 0
    first, *steps = result.out.splitlines()
    assert first.startswith("eventworker-chat-sync: the plugin chat-sync, 17 files; ")
    assert steps[1:] == [
        "  pip install -e './eventworker-chat-sync[test]'",
        "  pytest ./eventworker-chat-sync",
        "  eventworker-chat-sync upgrade --config-file FILE",
        "  storyboard-worker-daemon --config-file FILE",
    ]


def test_programs_get_json(tmp_path: Path) -> None:
    folder = tmp_path / "some where"
    words = ["plugins", "new", "mail", "--package", "acme_mail", "--directory", str(folder)]
    result: Result = run(*words, "-O", "json")
    assert result.json["distribution"] == "acme-mail"
    assert result.json["package"] == "acme_mail"
    assert {Path(name) for name in result.json["files"]} == {
        found for found in folder.rglob("*") if found.is_file()
    }


def test_the_readme_is_right_restructuredtext() -> None:
    assert run("plugin", "new", "mail", "--directory", "made").code == 0
    publish_string(Path("made/README.rst").read_text(), settings_overrides={"halt_level": 2})


def test_the_author_stands_in_the_metadata_as_given() -> None:
    assert run("plugin", "new", "mail", "--author", " 100% Ann, $name & Co ").code == 0
    setup = ConfigParser()
    setup.read("eventworker-mail/setup.cfg", encoding="utf-8")
    assert setup["metadata"]["author"] == "100% Ann, $name & Co"


@pytest.mark.parametrize(
    "words",
    [
        ("x", "--package", "x0"),
        ("w" * 24, "--package", "p" * 38),
        ("two-words_and", "--author", "A"),
    ],
    ids=["short", "long", "words"],
)
def test_what_is_written_is_clean_whatever_the_names_lengths(words: tuple[str, ...]) -> None:
    assert run("plugin", "new", *words, "--directory", "made").code == 0
    check(Path("made"), "ruff", "check", "--no-cache", ".")
    check(Path("made"), "ruff", "format", "--no-cache", "--check", ".")
    text = "".join(path.read_text() for path in Path("made").rglob("*.*") if path.is_file())
    assert "$" not in text


def test_the_audit_plugin_has_the_same_shape() -> None:
    """The example in the docs and the template: what is not about the plugin itself is alike."""
    rendered = dict(NewPlugin("audit", "eventworker_audit", "eventworker developers").files())
    for name in ("cli.py", "schema.py", "migrations/env.py", "migrations/__init__.py"):
        place = Path("eventworker_audit", name)
        assert shape(rendered[place]) == shape((AUDIT / place).read_text()), place
    setup, ours = ConfigParser(), ConfigParser()
    setup.read_string(rendered[Path("setup.cfg")])
    ours.read(AUDIT / "setup.cfg")
    for section in ("options", "options.packages.find", "options.package_data"):
        assert dict(setup[section]) == dict(ours[section])
    for group in ("storyboard.plugin.worker", "oslo.config.opts", "console_scripts"):
        assert setup["options.entry_points"][group] == ours["options.entry_points"][group]


def shape(code: str) -> tuple[list[str], list[str]]:
    """Imports, sorted, since eventworker's are a stranger's over there; and the other lines."""
    lines = [line for line in code.splitlines() if line]
    imports = [line for line in lines if line.startswith(("import ", "from "))]
    return sorted(imports), [line for line in lines if line not in imports]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Chat",
        "2fast",
        "chat sync",
        "chat.sync",
        "chat--sync",
        "-chat",
        "chat-",
        "é",
        "a/b",
        "c" * 25,
    ],
)
def test_a_name_that_cannot_be_is_refused(name: str) -> None:
    words = ["--", name] if name.startswith("-") else [name]
    assert "cannot be a plugin's name: it begins with a letter" in refused(*words)


@pytest.mark.parametrize(
    "package", ["class", "tests", "setup", "acme-mail", "Acme", "a.b", "", "p" * 39]
)
def test_a_package_that_cannot_be_is_refused(package: str) -> None:
    assert "cannot be a package's name" in refused("mail", f"--package={package}")


def test_what_is_installed_already_is_refused() -> None:
    assert refused("audit") == (
        "a plugin audit is installed already, by eventworker-audit; choose another name"
    )
    assert refused("mail", "--package", "eventworker_audit").startswith(
        "there is a package eventworker_audit already"
    )
    assert refused("mail", "--package", "json").startswith("there is a package json already")
    assert refused("mail", "--package", "storyboard_compat").startswith(
        "a distribution storyboard-compat is installed already"
    )


def test_an_author_of_several_lines_is_refused() -> None:
    assert refused("mail", "--author", "A\nlicense = B") == "the author is a line of text"


def test_an_existing_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "eventworker-mail").mkdir()
    assert refused("mail") == "eventworker-mail exists; choose another with --directory"
    assert list((tmp_path / "eventworker-mail").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run("plugin", "new", "mail", "--directory", "file/below")
    assert (result.code, result.err) == (
        1,
        "eventworker: file/below cannot be written: Not a directory\n",
    )
