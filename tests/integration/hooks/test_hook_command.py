"""``eventworker pubsub hook``."""

from pathlib import Path

import pytest

from tests.helpers.commands import Commands
from tests.helpers.hooks import Hooks, need_full_isolation
from tests.helpers.pubsub import ANN, item

SOURCE = "def hook(host, client, item): pass\n"


@pytest.fixture
def command(hooks: Hooks, folder: Path, tmp_path: Path) -> Commands:
    text = f"""
[database]
connection = {hooks.engine.url}
[hooks]
enabled = True
directories = {folder}
admins = {ANN.bare}
isolation = {hooks.options.isolation}
"""
    return Commands(tmp_path / "eventworker.conf", text)


@pytest.mark.row("HK-1", "HK-7", "HK-8", "HK-15")
@pytest.mark.parametrize("words", [("pubsub", "hook"), ("pubsub", "node", "hook")])
def test_create_list_and_delete_with_the_flags_of_the_seed(
    command: Commands,
    folder: Path,
    words: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (folder / "neat.py").write_text(SOURCE)
    monkeypatch.setenv("HOME", str(folder))
    node = "urn:xmpp:microblog:0"
    made = command(*words, "create", "-n", node, "-t", "python_file", "--persistent", "~/neat.py")
    assert (made.code, made.err) == (0, "")
    made = command(*words, "create", "--node", node, "--type", "python", "-P", "neat")
    assert made.code == 0
    listed = command(*words, "list", "-O", "json")
    assert [list(each.items())[:5] for each in listed.json] == [
        [
            ("service", "pubsub.localhost"),
            ("node", node),
            ("type", "python_file"),
            ("arg", str(folder / "neat.py")),
            ("persistent", True),
        ],
        [
            ("service", "pubsub.localhost"),
            ("node", node),
            ("type", "python"),
            ("arg", "neat"),
            ("persistent", True),
        ],
    ]
    assert "python_file" in command(*words, "list").out
    gone = command(*words, "delete", "-n", node, "-t", "python_file", "--arg", "~/neat.py")
    assert gone.out == "1 hook deleted\n"
    assert command(*words, "delete", "-n", node, "-t", "", "-a", "", "-O", "json").json == {
        "deleted": 1
    }
    assert command(*words, "list", "-O", "json").json == []


@pytest.mark.row("HK-4")
def test_code_may_come_from_standard_input(command: Commands, hooks: Hooks) -> None:
    made = command(
        "pubsub",
        "hook",
        "create",
        "-n",
        "news",
        "-t",
        "python_code",
        "-P",
        "-",
        stdin=b"print(item.id)\nprint('\xc3\xbc')\n",
    )
    assert made.code == 0
    hooks.desk.publish("news", hooks.settings.itself, [item("7")])
    hooks.run_all()
    (listed,) = command("pubsub", "hook", "list", "-O", "json").json
    assert (listed["output"], listed["runs"], listed["state"]) == ("7\n\u00fc\n", 1, "ok")


@pytest.mark.row("HK-11", "HK-12")
def test_a_list_tells_what_went_wrong(command: Commands, hooks: Hooks) -> None:
    for code in ("1 / 0", "print(1)"):
        command("pubsub", "hook", "create", "-n", "news", "-t", "python_code", "-P", code)
    command("pubsub", "hook", "create", "-n", "news", "-t", "python", "-P", "absent")
    hooks.desk.publish("news", hooks.settings.itself, [item("7")])
    hooks.run_all()
    said = {each["arg"]: each for each in command("pubsub", "hook", "list", "-O", "json").json}
    assert said["1 / 0"]["error"] == "ZeroDivisionError: division by zero"
    assert said["print(1)"]["error"] is None
    assert said["absent"]["state"] == "broken"
    assert "No module named 'absent'" in said["absent"]["error"]
    assert said["absent"]["waiting"] == 1


@pytest.mark.row("HK-6", "HK-14")
@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["-t", "python_code", "pass"], "none runs hooks right now"),
        (
            ["-t", "python_code", "-P", "--as", "ben@example.org", "pass"],
            "not among [hooks] admins",
        ),
        (["-t", "python_code", "-P", "--as", "@", "pass"], "jid-malformed"),
        (["-t", "python_code", "-P", "if"], "the code is not Python"),
        (["-t", "python_file", "-P", "/etc/passwd"], "is in none of [hooks] directories"),
        (["-t", "python_file", "-P", "x.py"], "is in none of [hooks] directories"),
        (["-t", "python_code", "-P", "-s", "other.org", "pass"], "is not this service"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    command: Commands, words: list[str], reason: str
) -> None:
    made = command("pubsub", "hook", "create", "-n", "news", *words)
    assert (made.code, made.out, made.err.count("\n")) == (1, "", 1)
    assert reason in made.err
    assert command("pubsub", "hook", "list", "-O", "json").json == []


def test_an_account_gives_and_lists_its_own(command: Commands) -> None:
    create = ("pubsub", "hook", "create", "-n", "news", "-t", "python_code")
    assert command(*create, "--lease", "60", "--as", "Ann@example.org", "pass").code == 0
    assert command(*create, "--lease", "60", "--events", "retract,delete", "pass").code == 0
    listed = command("pubsub", "hook", "list", "-O", "json", "--as", "ann@example.org").json
    assert [(each["owner"], each["persistent"]) for each in listed] == [("ann@example.org", False)]
    everybody = command("pubsub", "hook", "list", "-O", "json").json
    assert [each["events"] for each in everybody] == [["items"], ["retract", "delete"]]


@pytest.mark.parametrize(
    "words",
    [
        ["create", "-n", "news", "-t", "shell", "ls"],
        ["create", "-t", "python", "x"],
        ["create", "-n", "news", "-t", "python_code", "--lease", "0", "pass"],
        ["create", "-n", "news", "-t", "python_code", "--events", "all", "pass"],
        ["delete"],
    ],
)
def test_a_wrong_command_line_is_refused(command: Commands, words: list[str]) -> None:
    assert command("pubsub", "hook", *words).code == 2


@pytest.mark.row("HK-14")
def test_without_the_option_no_hook_is_taken(hooks: Hooks, tmp_path: Path) -> None:
    off = Commands(tmp_path / "off.conf", f"[database]\nconnection = {hooks.engine.url}\n")
    made = off("pubsub", "hook", "create", "-n", "news", "-t", "python_code", "-P", "pass")
    assert (made.code, "hooks are off" in made.err) == (1, True)


@pytest.mark.row("HK-14")
def test_check_says_whether_hooks_can_run(
    command: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_full_isolation()
    said = command("pubsub", "hook", "check")
    assert (said.code, "Landlock, seccomp" in said.out) == (0, True)
    monkeypatch.setenv("PATH", "/nonexistent")
    said = command("pubsub", "hook", "check")
    assert said.code == 1
    assert "no hook can run here: bubblewrap (bwrap) is not installed" in said.err
