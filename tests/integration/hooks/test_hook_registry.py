"""Giving hooks, taking them away, and who may."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from eventworker.db import short_transaction
from eventworker.pubsub.errors import PubSubError
from eventworker.pubsub.facts import Affiliated
from eventworker.pubsub.hooks import ending, sessions
from eventworker.pubsub.hooks.files import FileRefused
from eventworker.pubsub.hooks.registry import HookRefused
from eventworker.pubsub.hooks.table import audit_table
from eventworker.pubsub.rules import Affiliation
from tests.helpers.hooks import Hooks
from tests.helpers.pubsub import ANN, BEN, form, item

SOURCE = "def hook(host, client, item): pass\n"


def audit(hooks: Hooks) -> list[tuple[str, str, str | None]]:
    with hooks.engine.connect() as connection:
        rows = connection.execute(select(audit_table).order_by(audit_table.c.id))
        return [(row.what, row.actor, row.sha256) for row in rows]


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.row("HK-1")
def test_a_file_is_kept_with_its_absolute_path(
    hooks: Hooks, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "neat.py").write_text(SOURCE)
    monkeypatch.chdir(folder)
    hooks.give("news", "python_file", "neat.py")
    (listed,) = hooks.list()
    assert (listed.arg, listed.service) == (str(folder / "neat.py"), "pubsub.localhost")
    assert listed.sha256 == digest(SOURCE)


@pytest.mark.row("HK-1")
def test_a_file_has_to_be_there(hooks: Hooks, folder: Path) -> None:
    with pytest.raises(FileRefused, match="cannot be read"):
        hooks.give("news", "python_file", str(folder / "absent.py"))
    assert hooks.list() == []


@pytest.mark.row("HK-9")
def test_nodes_of_another_service_have_no_hooks_here(hooks: Hooks) -> None:
    hooks.give("news", "python_code", "pass", service="PubSub.localhost/x")
    with pytest.raises(HookRefused, match="not this service"):
        hooks.give("news", "python_code", "pass", service="pubsub.example.org")


@pytest.mark.parametrize("name", ["", "a-b", "a/b", "../x", "a..b", "a.", "os;x", "a b"])
def test_what_names_no_module_is_refused(hooks: Hooks, name: str) -> None:
    with pytest.raises(HookRefused, match="no name of a module"):
        hooks.give("news", "python", name)


@pytest.mark.parametrize("code", ["", "  ", "if:", "x = '\x00'", "(" * 500])
def test_what_is_no_code_is_refused(hooks: Hooks, code: str) -> None:
    with pytest.raises(HookRefused):
        hooks.give("news", "python_code", code)


def test_code_is_not_run_when_it_is_given(hooks: Hooks, tmp_path: Path) -> None:
    hooks.give("news", "python_code", f"open({str(tmp_path / 'x')!r}, 'w')")
    assert not (tmp_path / "x").exists()


@pytest.mark.row("HK-14")
def test_hooks_are_off_by_default(hooks: Hooks) -> None:
    hooks.with_options(enabled=False)
    with pytest.raises(HookRefused, match="hooks are off"):
        hooks.give("news", "python_code", "pass")


@pytest.mark.row("HK-14")
def test_only_admins_of_hooks_give_and_take_and_see_them(hooks: Hooks) -> None:
    hooks.give("news", "python_code", "pass", ANN)
    for refused in (
        lambda: hooks.give("news", "python_code", "pass", BEN),
        lambda: hooks.take("news", BEN),
        lambda: hooks.list(BEN),
    ):
        with pytest.raises(HookRefused, match=r"ben@example.org is not among \[hooks\] admins"):
            refused()
    assert len(hooks.list(ANN)) == 1


def test_an_admin_of_the_service_is_none_of_hooks(hooks: Hooks) -> None:
    actor = hooks.settings.itself.__class__("root@example.org", is_admin=True)
    with pytest.raises(HookRefused):
        hooks.give("news", "python_code", "pass", actor)


@pytest.mark.row("HK-14")
def test_nobody_hears_by_a_hook_what_he_may_not_read(hooks: Hooks) -> None:
    itself = hooks.settings.itself
    hooks.desk.configure("news", itself, form(access_model="whitelist"))
    with pytest.raises(PubSubError, match="closed-node"):
        hooks.give("news", "python_code", "pass", ANN)
    member = [Affiliated("news", ANN.bare, Affiliation.MEMBER)]
    hooks.desk.change_node_affiliations("news", itself, member)
    hooks.give("news", "python_code", "pass", ANN)


def test_the_same_hook_is_given_once(hooks: Hooks) -> None:
    hooks.give("news", "python_code", "pass")
    with pytest.raises(HookRefused, match="has this hook already"):
        hooks.give("news", "python_code", "pass")
    hooks.give("news", "python_code", "pass", ANN)
    hooks.give("other", "python_code", "pass")
    assert len(hooks.list()) == 3


def test_an_account_has_so_many_hooks_and_the_service_any_number(hooks: Hooks) -> None:
    hooks.with_options(max_hooks=2)
    for n in range(4):
        hooks.give("news", "python_code", f"a = {n}")
    hooks.give("news", "python_code", "a = 0", ANN)
    hooks.give("news", "python_code", "a = 1", ANN, lease=0.001)
    hooks.give("other", "python_code", "a = 2", ANN)
    with pytest.raises(HookRefused, match="has 2 hooks, which is the most"):
        hooks.give("news", "python_code", "a = 3", ANN)
    hooks.take("news", ANN)
    hooks.give("news", "python_code", "a = 3", ANN)


@pytest.mark.row("HK-7")
def test_delete_by_type_and_argument_or_all_of_a_node(hooks: Hooks, folder: Path) -> None:
    (folder / "neat.py").write_text(SOURCE)
    neat = str(folder / "neat.py")

    def fill() -> None:
        for code in ("a = 1", "b = 1"):
            hooks.give("news", "python_code", code)
        hooks.give("news", "python_file", neat)
        hooks.give("other", "python_file", neat)

    fill()
    assert hooks.take("news", type="python_code", arg="a = 1") == 1
    assert hooks.take("news", type="python_code", arg="a = 1") == 0
    assert hooks.take("news", type="python_file", arg=f"{folder}/../hooks/neat.py") == 1
    assert hooks.take("news", arg="b = 1") == 1
    assert [each.node for each in hooks.list()] == ["other"]
    hooks.take("other")
    fill()
    assert hooks.take("news", type="python_code") == 2
    assert hooks.take("news", type="", arg="") == 1
    assert hooks.take("other") == 1
    assert hooks.list() == []


def test_each_account_sees_and_takes_its_own(hooks: Hooks) -> None:
    hooks.give("news", "python_code", "pass")
    hooks.give("news", "python_code", "pass", ANN)
    assert [each.owner for each in hooks.list(ANN)] == ["ann@example.org"]
    assert hooks.take("news", ANN) == 1
    assert [each.owner for each in hooks.list()] == ["pubsub.localhost"]


@pytest.mark.row("HK-13")
def test_a_node_whose_last_hook_is_taken_has_nothing_to_run(hooks: Hooks) -> None:
    itself = hooks.settings.itself
    for code in ("a = 1", "b = 1"):
        hooks.give("news", "python_code", code)
    hooks.desk.publish("news", itself, [item("1")])
    assert len(hooks.rows()) == 2
    assert hooks.take("news", arg="a = 1") == 1
    assert len(hooks.rows()) == 1
    assert hooks.take("news") == 1
    hooks.desk.publish("news", itself, [item("2")])
    assert hooks.rows() == []


@pytest.mark.row("HK-8")
def test_a_list_has_what_the_seed_names_first(hooks: Hooks) -> None:
    from dataclasses import asdict

    hooks.give("news", "python_code", "pass")
    fields = asdict(hooks.list()[0])
    assert list(fields)[:5] == ["service", "node", "type", "arg", "persistent"]
    assert fields["persistent"] is True


@pytest.mark.row("HK-14")
def test_whatever_is_done_to_a_hook_is_in_the_audit(hooks: Hooks, folder: Path) -> None:
    (folder / "neat.py").write_text(SOURCE)
    itself = hooks.settings.service
    hooks.give("news", "python_file", str(folder / "neat.py"))
    (folder / "neat.py").write_text(SOURCE + "# more\n")
    hooks.give("news", "python_file", str(folder / "neat.py"))
    hooks.give("news", "python_code", "pass", ANN)
    hooks.take("news")
    new = digest(SOURCE + "# more\n")
    assert audit(hooks) == [
        ("create", itself, digest(SOURCE)),
        ("approve", itself, new),
        ("create", ANN.jid, digest("pass")),
        ("delete", itself, new),
        ("delete", itself, digest("pass")),
    ]


@pytest.mark.row("HK-6")
def test_a_temporary_hook_needs_a_daemon_or_a_lease(hooks: Hooks) -> None:
    with pytest.raises(HookRefused, match="none runs hooks right now"):
        hooks.give("news", "python_code", "pass", persistent=False)
    with pytest.raises(HookRefused, match="has no lease"):
        hooks.give("news", "python_code", "pass", persistent=True, lease=5)
    hooks.give("news", "python_code", "pass", lease=60)
    (listed,) = hooks.list()
    assert not listed.persistent
    assert listed.lease_until is not None


def change(hooks: Hooks, act: Any, *arguments: Any) -> Any:
    with short_transaction(hooks.engine) as connection:
        return act(connection, *arguments)


@pytest.mark.row("HK-6")
def test_temporary_hooks_end_with_their_session_and_persistent_ones_do_not(hooks: Hooks) -> None:
    number = change(hooks, sessions.begin, "daemon")
    assert change(hooks, sessions.begin, "daemon") == number
    hooks.give("news", "python_code", "a = 1", persistent=False)
    hooks.give("news", "python_code", "b = 1")
    change(hooks, sessions.begin, "daemon")
    assert change(hooks, ending.end_overdue, "pubsub.localhost") == 0
    change(hooks, sessions.end, number)
    hooks.desk.publish("news", hooks.settings.itself, [item("1")])
    assert change(hooks, ending.end_overdue, "pubsub.localhost") == 1
    assert [each.arg for each in hooks.list()] == ["b = 1"]
    assert len(hooks.rows()) == 1
    assert audit(hooks)[-1][0] == "end"


@pytest.mark.row("HK-6")
def test_a_lease_that_is_over_ends_a_hook(hooks: Hooks) -> None:
    hooks.give("news", "python_code", "pass", lease=0.001)
    hooks.desk.publish("news", hooks.settings.itself, [item("1")])
    assert hooks.list() == []
    assert hooks.rows() == []
    assert change(hooks, ending.end_overdue, "pubsub.localhost") == 1
